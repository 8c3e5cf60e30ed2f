"""Notifier: judges rules by each new forecast, and by the clock, and tells what has changed."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import structlog

from shared.alert import Alert, OutsideRule, Rule, Seen, Verdict
from shared.alerts import Alerts
from shared.errors import CandlecastError
from shared.following import Following, is_past
from shared.forecast import Forecast
from shared.reader import AsyncForecastReader
from shared.view import View

_LOOK_AROUND_S = 15.0
_CLOCK_S = 1.0
_RETRY_S = 1.0
# What comes in bursts is read at once: one reading names all series.
_REST_S = 0.25

log = structlog.get_logger(__name__)


class Notifier:
    """Tells once when a rule begins to hold for a series, and once when it holds no more.

    What is raised is kept in Redis: a restart tells nothing twice. Of several notifiers one judges.

    Parameters
    ----------
    reader, view
        Of the same Redis.
    alerts
        Where it is told.
    rules
        Each with a name of its own.
    """

    def __init__(
        self, reader: AsyncForecastReader, view: View, alerts: Alerts, rules: Sequence[Rule]
    ) -> None:
        self._reader = reader
        self._view = view
        self._alerts = alerts
        self._rules = rules
        self._longest = max(
            (rule.horizon for rule in rules if isinstance(rule, OutsideRule)), default=0
        )
        self._raised: dict[tuple[str, str], Alert] = {}
        self._begin()

    def _begin(self) -> None:
        """Know of nothing: another may have judged meanwhile."""
        self._following = Following(())
        self._names: set[str] | None = None
        self._exist: set[str] = set()
        self._below: dict[str, int | None] = {}
        # A forecast is judged with those before it.
        self._said: dict[str, deque[Forecast]] = defaultdict(
            lambda: deque(maxlen=self._longest + 1)
        )
        # What was read and is still to be judged.
        self._new: deque[Forecast] = deque()
        self._look_at = self._clock_at = 0.0

    async def run(self) -> None:
        """Go on until it is cancelled; whatever fails is tried again."""
        log.info("notifier_started", rules=[rule.name for rule in self._rules])
        while True:
            try:
                with self._alerts.judging() as is_mine:
                    if is_mine:
                        self._begin()
                        await self._go_on(is_mine)
            except CandlecastError as error:
                log.warning("rules_not_judged", error=str(error), next_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _go_on(self, is_mine: Callable[[], bool]) -> None:
        """Judge as long as the right to is ours, also behind an outage."""
        while True:
            try:
                if not await asyncio.to_thread(is_mine):
                    return
                await self.step()
            except CandlecastError as error:
                log.warning("rules_not_judged", error=str(error), next_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def step(self) -> None:
        """Take what is new, or wait for it some seconds, and judge."""
        if time.monotonic() >= self._look_at:
            await self._look_around()
            self._look_at = time.monotonic() + _LOOK_AROUND_S
        elif self._names:
            await asyncio.sleep(_REST_S)
            self._new += await self._reader.news(self._following)
        else:
            await asyncio.sleep(_RETRY_S)
        await asyncio.to_thread(self._judge_all, await self._reader.now_ms())

    async def _look_around(self) -> None:
        """See which series there are, how their models are doing, and what is new."""
        names = await asyncio.to_thread(self._look_at_models)
        if self._names is None:
            await self._look_back(names)
        elif names != self._names:
            # All that a new series has said is news.
            self._following.change(self._reader.following(sorted(names)))
            for gone in {*self._said} - self._exist:
                del self._said[gone]
        self._names = names

    async def _look_back(self, names: set[str]) -> None:
        """Begin with the newest forecast of each series, and know those before as rules need."""
        following = Following(self._reader.following(sorted(names)))
        newest = await self._reader.begin(following)
        for said in newest if self._longest else ():
            history = await self._reader.history(said.series)
            earlier = (one for one in history if one != said and is_past(one, said))
            self._said[said.series] = deque(earlier, self._longest + 1)
        self._following = following
        self._new += newest

    def _look_at_models(self) -> set[str]:
        """Return the series that can be read; one that cannot stops no other."""
        series = self._view.series()
        spoilt = self._view.faults(series)
        models = self._view.models([one for one in series if one not in spoilt])
        self._below = {str(model.series): model.below_since for model in models}
        self._exist = {str(one) for one in series}
        return {*self._below}

    def _judge_all(self, now_ms: int) -> None:
        """Judge each new forecast, and now and then all series by the clock."""
        self._raised = {(alert.rule, alert.series): alert for alert in self._alerts.raised()}
        while self._new:
            forecast, said = self._new[0], self._said[self._new[0].series]
            if not is_past(forecast, said[-1] if said else None):
                said.append(forecast)
            self._judge(forecast.series, now_ms)
            self._new.popleft()  # now that all is told of it
        if time.monotonic() >= self._clock_at:
            for series in [*self._said]:
                self._judge(series, now_ms)
            self._clear(now_ms)
            self._clock_at = time.monotonic() + _CLOCK_S

    def _clear(self, now_ms: int) -> None:
        """Take back what no rule, or no series, holds any more."""
        wanted = {rule.name: rule for rule in self._rules}
        for (name, series), alert in [*self._raised.items()]:
            if series not in self._exist or name not in wanted or not wanted[name].concerns(series):
                text = "the rule, or the series, is no more"
                cleared = {"state": "cleared", "at": now_ms, "text": text, "value": None}
                self._tell(alert.model_copy(update=cleared))

    def _judge(self, series: str, now_ms: int) -> None:
        if series not in (self._names or ()) or not self._said[series]:
            return
        *earlier, forecast = self._said[series]
        below_since = self._below.get(series)
        seen = Seen(forecast=forecast, earlier=earlier, now_ms=now_ms, below_since=below_since)
        # While a model catches up it speaks of what has been decided long ago.
        was_late = forecast.is_stale(forecast.issued_at)
        for rule in self._rules:
            is_asked = rule.concerns(series) and (rule.judges_the_past or not was_late)
            verdict = rule.judge(seen) if is_asked else None
            if verdict and verdict.is_raised != ((rule.name, series) in self._raised):
                self._tell(_alert(rule, seen, verdict))

    def _tell(self, alert: Alert) -> None:
        place = alert.rule, alert.series
        if alert.state == "raised":
            self._raised[place] = alert
        else:
            self._raised.pop(place, None)
        if self._alerts.tell(alert):
            facts = {"rule": alert.rule, "series": alert.series, "text": alert.text}
            log.info("alert", state=alert.state, **facts)


def _alert(rule: Rule, seen: Seen, verdict: Verdict) -> Alert:
    return Alert(
        rule=rule.name,
        kind=rule.kind,
        series=seen.forecast.series,
        state="raised" if verdict.is_raised else "cleared",
        at=seen.now_ms,
        text=verdict.text,
        value=verdict.value,
        limit=verdict.limit,
        revision=seen.forecast.revision,
    )
