"""Sinks: what was folded becomes rows in a SQL store. The Faust app is `sinks.app`: `faust -A sinks worker`."""
