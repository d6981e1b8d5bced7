"""What can go wrong with the Config Server: one kind, and it passes."""


class Away(Exception):
    """The Config Server does not answer, lets nobody in, or has no application object. The message says why and what to do."""
