"""Room: whether Redis has memory left for more candles."""

import time
from collections.abc import Callable

import structlog

_LIMIT = 0.9
_PERIOD_S = 1.0

log = structlog.get_logger(__name__)


class Room:
    """Redis's memory, of which at most nine tenths are for the asking.

    What lies beyond is for what is under way already: under a full memory RQ itself stops.

    Parameters
    ----------
    used_share
        Asks Redis for the share of ``maxmemory`` in use.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, used_share: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._used_share = used_share
        self._clock = clock
        self._due = 0.0
        self._short = False

    def wait_s(self) -> float:
        """Seconds to wait before anything is appended; Redis is asked once in as many."""
        now = self._clock()
        if now < self._due:
            return 0.0
        if self._is_short():
            return _PERIOD_S
        self._due = now + _PERIOD_S
        return 0.0

    def _is_short(self) -> bool:
        """Ask Redis now, and say so where it has changed."""
        share = self._used_share()
        short = share > _LIMIT
        if short != self._short:
            log.warning("memory_short" if short else "memory_back", used_share=round(share, 3))
        self._short = short
        return short
