"""What can go wrong with the Config Server: it passes, by itself or by what the message says."""


class Away(Exception):
    """The Config Server does not answer, lets nobody in, or has no application object. The message says why and what to do."""


class Refused(Away):
    """It is there, and does not let us in: to wait is of no use."""
