"""Logs: structlog over the standard library's logging, one line an event, as text or as JSON (setting log.format).

Normal work is silent at info level except for start, ready, rebalance and stop; libraries speak from warning on, unless log.level is debug.
"""

from __future__ import annotations

import logging.config
import sys
from typing import TYPE_CHECKING

import structlog

from pipeline import settings

if TYPE_CHECKING:
    from structlog.typing import Processor

LIBRARIES = ("aiohttp", "aiokafka", "asyncio", "faust", "mode", "stomp.py", "uvicorn")


def setup(part: str) -> structlog.stdlib.BoundLogger:
    """Configure the logging of this process and give the logger of its part, such as `bridge`."""
    logging.config.dictConfig(logging_config())
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(part)
    return logger


def set_level(level: str) -> None:
    """Another log.level from now on. Libraries that a part has made silent stay so."""
    logging.getLogger().setLevel(level.upper())
    for library in map(logging.getLogger, LIBRARIES):
        if library.level < logging.CRITICAL:
            library.setLevel("DEBUG" if level == "debug" else "WARNING")


def logging_config() -> dict[str, object]:
    """A `logging.config.dictConfig` of the settings log.level and log.format; Faust takes it as its `logging_config`."""
    log = settings.load().log
    level = log.level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered(log.format)],
            }
        },
        "handlers": {"default": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"}},
        "root": {"level": level, "handlers": ["default"]},
        "loggers": {name: {"level": level if level == "DEBUG" else "WARNING"} for name in LIBRARIES},
    }


def _shared() -> list[Processor]:
    """What every line carries, also those of libraries that log with the standard library alone."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendered(form: str) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Plain tracebacks: the rich ones show local variables, and those hold callers' numbers.
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
