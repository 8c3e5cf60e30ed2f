"""structlog for our lines and for those of the libraries: console on a terminal, else JSON."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure(*, level: str = "info", fmt: str = "auto") -> None:
    """Send every log line to standard error in one format.

    Parameters
    ----------
    level
        Lowest level shown.
    fmt
        ``console``, ``json`` or ``auto`` (console where standard error is a terminal).
    """
    as_json = fmt == "json" or (fmt == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:
        shared.append(structlog.processors.format_exc_info)
    # No locals of the frames in a traceback: some are secrets.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else plain
    structlog.configure(
        # First of all: a line that is not shown must not cost what it takes to write it.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
