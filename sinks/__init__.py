"""Sinks: what was folded becomes rows in a SQL store.

    faust -A sinks worker --without-web

`worker` is the Faust app; `sql` knows nothing of Faust.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Faust looks for `sinks.app`; whoever only wants the store must not make an app by importing it.
    if name == "app":
        from sinks.worker import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
