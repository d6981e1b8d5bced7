"""How instants, spans and numbers are written, in JSON and on pages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

UNKNOWN = "\N{EN DASH}"


def instant(ts: int | None, zone: ZoneInfo) -> str | None:
    """YYYY-MM-DDTHH:mm:ss.SSS and the offset of the reporting time zone, Z for UTC."""
    if ts is None:
        return None
    return (
        datetime.fromtimestamp(ts // 1000, zone)
        .replace(microsecond=ts % 1000 * 1000)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def clock(ts: int | None, zone: ZoneInfo, pattern: str = "%H:%M:%S") -> str:
    return UNKNOWN if ts is None else datetime.fromtimestamp(ts // 1000, zone).strftime(pattern)


def moment(ts: int | None, zone: ZoneInfo) -> str:
    return clock(ts, zone, "%Y-%m-%d %H:%M:%S")


def exactly(ts: int | None, zone: ZoneInfo) -> str:
    return UNKNOWN if ts is None else f"{clock(ts, zone)}.{ts % 1000:03d}"


def offset(ts: int, zone: ZoneInfo, *, dst: bool = False) -> str:
    """The zone's offset from UTC at that instant, or the part of it that is daylight saving."""
    at = datetime.fromtimestamp(ts // 1000, zone)
    seconds = round(((at.dst() if dst else at.utcoffset()) or at - at).total_seconds())
    return f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02d}:{abs(seconds) % 3600 // 60:02d}"


def duration(ms: float | None) -> str:
    """h:mm:ss or m:ss; a dash if unknown."""
    if ms is None:
        return UNKNOWN
    minutes, seconds = divmod(int(ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def number(n: int) -> str:
    return f"{n:,}"


def age(ms: int) -> str:
    """How long ago, as exact as anyone needs."""
    if ms < 10_000:
        return f"{max(ms, 0) / 1000:.1f} s"
    if ms < 120_000:
        return f"{ms // 1000} s"
    if ms < 7_200_000:
        return f"{ms // 60_000} min"
    return f"{ms // 3_600_000} h" if ms < 172_800_000 else f"{ms // 86_400_000} days"
