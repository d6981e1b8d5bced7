"""Keys of the agents' tables as bytes: readable in any Kafka tool, sortable, and taken apart again here.

dimension   RM|tenant|102   RM|tenant-own|102   MCP|component|301   MCP|component_type|   RM|app|310   RM|dn|8005550123
activity    RM|tenant|102@1795000200000/3       bin start in ms, source partition
tick        @/3
bin         RM|tenant|102@HOUR/1795000200000
"""

from __future__ import annotations

from typing import NamedTuple

KINDS = ("component_type", "component", "tenant", "tenant-own", "app", "dn")


class Dimension(NamedTuple):
    """One value of one dimension, for one component type. `tenant` rows include the tenant's descendants, `tenant-own` rows don't."""

    comp: str
    kind: str
    value: str

    def pack(self) -> bytes:
        return f"{self.comp}|{self.kind}|{self.value}".encode()

    @staticmethod
    def unpack(packed: bytes) -> Dimension:
        comp, kind, value = packed.decode().split("|", 2)
        return Dimension(comp, kind, value)


def activity_key(dimension: bytes, start: int, partition: int) -> bytes:
    return b"%s@%d/%d" % (dimension, start, partition)


def tick_key(partition: int) -> bytes:
    return b"@/%d" % partition


def is_tick(key: bytes) -> bool:
    return key.startswith(b"@")


def split_activity(key: bytes) -> tuple[bytes, int, int]:
    """dimension, bin start, source partition"""
    dimension, _, rest = key.rpartition(b"@")
    start, _, partition = rest.partition(b"/")
    return dimension, int(start), int(partition)


def bin_key(dimension: bytes, granularity: str, start: int) -> bytes:
    return b"%s@%s/%d" % (dimension, granularity.encode(), start)


def split_bin(key: bytes) -> tuple[bytes, str, int]:
    """dimension, granularity, bin start"""
    dimension, _, rest = key.rpartition(b"@")
    granularity, _, start = rest.partition(b"/")
    return dimension, granularity.decode(), int(start)
