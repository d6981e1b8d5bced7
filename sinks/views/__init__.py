"""The view: one process that keeps the present figures of tenants, components and the pipeline, and shows them by SNMP and /metrics.

    python -m sinks.views

It reads without a group, keeps nothing on disk, and may start again at any time.
"""
