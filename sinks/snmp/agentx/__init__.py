"""A subagent of a master agent by AgentX, RFC 2741 (section numbers in this package are its own).

codec       PDUs as data, to and from bytes
answers     what a subagent answers to a request; pure
subagent    the session over TCP or a Unix socket
"""
