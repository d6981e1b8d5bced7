"""The settings that the folds know, in their units."""

from __future__ import annotations

from agents.lifetime import Terms
from pipeline.settings import Settings


def terms_of(settings: Settings) -> Terms:
    """How long sessions and calls live."""
    return Terms(
        timeout=round(settings.cdr.call_timeout * 1000),
        lateness=round(settings.fold.lateness * 1000),
        keep_timed_out=round(settings.cdr.keep_timed_out * 1000),
    )
