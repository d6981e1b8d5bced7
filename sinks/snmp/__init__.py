"""Figures by SNMP: one MIB tree, served through a master agent (AgentX) or by an agent of our own, and its notifications.

    mib         the declaration of the tree; smi writes it out as the MIB file
    tree        the tree with values: get, get-next
    agentx/     subagent of a master agent (RFC 2741)
    agent       an agent of our own
    conditions  what is raised and cleared, and when

Knows nothing of SQL; the values come from `sinks.views`.
"""
