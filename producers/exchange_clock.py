"""ExchangeClock: an exchange's own time, by this machine's clock and how far the two are apart."""

from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import structlog

from producers.client import Ccxt
from producers.rows import ExchangeError

_PERIOD_MS = 3_600_000
_RETRY_MS = 60_000
# So far two clocks of this machine run apart before one of them must have been set.
_STEP_MS = 1_000

log = structlog.get_logger(__name__)


class ExchangeClock:
    """An exchange's own time.

    It is this machine's, and how far the exchange's was ahead when it was measured last: once an
    hour, and when this machine's clock was set; until then the exchange's has not stepped. An
    exchange without a clock says in the headers of an answer, to the second, when it was sent.

    Parameters
    ----------
    source
        The ccxt exchange.
    monotonic
        Seconds that nobody can set.
    call
        Calls a function of the exchange, with its errors translated.
    header
        A header of its last answer; empty where there is none.

    Attributes
    ----------
    is_unsure
        Whether this machine's clock was set, and the exchange's was not heard since.
    question
        What was asked last: asked again, its answer says what time it is.
    """

    def __init__(
        self,
        source: Ccxt,
        monotonic: Callable[[], float],
        call: Callable[[Callable[[], Any]], Any],
        header: Callable[[str], str],
    ) -> None:
        self._source = source
        self._monotonic = monotonic
        self._call = call
        self._header = header
        self._ahead_ms = 0
        self._due_ms = 0
        self._is_failing = self._is_measured = self.is_unsure = False
        self._apart_ms = self._apart()
        self.question: Callable[[], Any] | None = None

    def now_ms(self) -> int:
        """Return the exchange's time, UTC milliseconds."""
        self._see_step()
        return self._source.milliseconds() + self._ahead_ms

    def check(self) -> None:
        """Measure how far the exchange's clock is ahead, if it is time.

        Candles come without it: while the measurement fails, the last one holds.
        """
        self._see_step()
        can_be_asked = self._source.has.get("fetchTime")
        measure = self._measure if can_be_asked else self.is_unsure and self.question
        if self._source.milliseconds() < self._due_ms or not measure:
            return
        apart_ms = self._apart()
        try:
            self._call(measure)
            if not can_be_asked:
                self.hear()
        except ExchangeError as error:
            if not self._is_failing:
                log.warning("exchange_clock_unknown", kept_ms=self._ahead_ms, error=str(error))
            self._is_failing = True
        else:
            self._is_failing = False
            self._apart_ms = apart_ms  # a step meanwhile has spoilt it: it will be seen
        if self._is_failing or self.is_unsure:
            self._due_ms = self._source.milliseconds() + _RETRY_MS

    def hear(self) -> None:
        """Where there is no clock to be asked for, see once an hour when it sent its answer."""
        now_ms = self._source.milliseconds()
        if now_ms < self._due_ms or self._source.has.get("fetchTime"):
            return
        with suppress(ValueError):  # it does not say
            sent_s = parsedate_to_datetime(self._header("date")).timestamp()
            age_s = int(self._header("age") or 0)  # of an answer out of a cache
            self._set(round(1_000 * (sent_s + age_s)) - now_ms)

    def _see_step(self) -> None:
        step_ms = self._apart() - self._apart_ms
        if abs(step_ms) <= _STEP_MS:
            return
        if self._is_measured:
            self._ahead_ms -= round(step_ms)
            self.is_unsure = True
        self._apart_ms += step_ms
        self._due_ms = 0

    def _measure(self) -> None:
        before_ms = self._source.milliseconds()
        time_ms = self._source.fetch_time()
        # It may have slept first, for the sake of its rate limit.
        before_ms = max(before_ms, int(self._source.lastRestRequestTimestamp))
        between_ms = (before_ms + self._source.milliseconds()) // 2
        self._set(0 if time_ms is None else int(time_ms) - between_ms)

    def _set(self, ahead_ms: int) -> None:
        self._ahead_ms, self._apart_ms = ahead_ms, self._apart()
        self._due_ms = self._source.milliseconds() + _PERIOD_MS
        self._is_measured, self.is_unsure = True, False

    def _apart(self) -> float:
        return self._source.milliseconds() - 1_000 * self._monotonic()
