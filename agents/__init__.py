"""The agents: billing messages folded into calls and bins.

    faust -A agents worker

The way of a message through this package: `calls` (agent) -> `calls_fold` -> `session`, `call` -> `contributions` -> `figures`
-> `tenants` (agent) -> `chains`, `bins`. Everything but `calls`, `tenants` and `worker` is pure: no clock, no I/O, no Faust.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Sinks and reports import the pure modules: they must not start an app by that.
    if name == "app":
        from agents.worker import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
