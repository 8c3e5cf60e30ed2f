"""Notifier: judges rules by each new forecast, and by the clock, and tells what has changed."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence

import structlog

from shared.alert import Alert, OutsideRule, Rule, Seen, Verdict
from shared.alerts import Alerts
from shared.errors import CandlecastError
from shared.following import Following
from shared.forecast import Forecast
from shared.reader import AsyncForecastReader
from shared.view import View

_LOOK_AROUND_S = 15.0
_RETRY_S = 1.0

log = structlog.get_logger(__name__)


class Notifier:
    """Tells once when a rule begins to hold for a series, and once when it holds no more.

    What is raised is kept in Redis: a restart tells nothing twice, and of several notifiers with
    the same rules only one tells.

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
        self._following = Following(())
        self._names: list[str] = []
        self._drifts: dict[str, int | None] = {}
        longest = [rule.horizon for rule in rules if isinstance(rule, OutsideRule)]
        # A forecast is judged with those before it.
        self._said: dict[str, deque[Forecast]] = defaultdict(
            lambda: deque(maxlen=max(longest, default=0) + 1)
        )
        self._raised: dict[tuple[str, str], Alert] = {}
        # What was read and is still to be judged.
        self._new: list[Forecast] = []
        self._look_at = 0.0

    async def run(self) -> None:
        """Go on until it is cancelled; whatever fails is tried again."""
        while True:
            try:
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
            self._new += await self._reader.news(self._following)
        else:
            await asyncio.sleep(_RETRY_S)
        await asyncio.to_thread(self._judge_all, await self._reader.now_ms())

    async def _look_around(self) -> None:
        """See which series there are, how their models are doing, and what is new."""
        names = await asyncio.to_thread(self._look_at_models)
        if names != self._names:
            self._following.change(self._reader.following(names))
        if any(isinstance(rule, OutsideRule) for rule in self._rules):
            for name in {*names} - {*self._names}:
                self._said[name].extend((await self._reader.history(name))[:-1])
        if names != self._names:
            self._new += await self._reader.begin(self._following)
        for gone in {*self._said} - {*names}:
            del self._said[gone]
        self._names = names

    def _look_at_models(self) -> list[str]:
        """Return the series there are; one that cannot be read stops no other."""
        names = self._view.series()
        spoilt = self._view.faults(names)
        models = self._view.models([series for series in names if series not in spoilt])
        self._drifts = {str(model.series): model.below_since for model in models}
        return [*self._drifts]

    def _judge_all(self, now_ms: int) -> None:
        """Judge each new forecast, then all series by the clock, and tell what has changed."""
        self._raised = {(alert.rule, alert.series): alert for alert in self._alerts.raised()}
        for forecast in self._new:
            said = self._said[forecast.series]
            if forecast not in said:
                said.append(forecast)
                self._judge(forecast.series, now_ms)
        self._new = []
        for series in [*self._said]:
            self._judge(series, now_ms)
        wanted = {rule.name: rule for rule in self._rules}
        for (name, series), alert in [*self._raised.items()]:
            if series not in self._names or name not in wanted or not wanted[name].concerns(series):
                text = "the rule, or the series, is no more"
                cleared = {"state": "cleared", "at": now_ms, "text": text, "value": None}
                self._tell(alert.model_copy(update=cleared))

    def _judge(self, series: str, now_ms: int) -> None:
        if not self._said[series]:
            return
        *earlier, forecast = self._said[series]
        drift_since = self._drifts.get(series)
        seen = Seen(forecast=forecast, earlier=earlier, now_ms=now_ms, drift_since=drift_since)
        for rule in self._rules:
            verdict = rule.judge(seen) if rule.concerns(series) else None
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
