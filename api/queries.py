"""Queries: what the HTTP interface asks of Redis."""

import time
from dataclasses import asdict
from typing import Any

from api.answers import AlertsRow, ModelRow, Outlook, Overlay, Said, SeriesRow
from api.metrics import Metrics
from api.overlay import overlay
from api.readable import decoded
from shared.alerts import Alerts
from shared.candle import Candle, Series
from shared.forecast import Forecast
from shared.model_record import ModelRecord
from shared.reader import ForecastReader, UnknownSeries, neighbours
from shared.view import View
from shared.wire import decode_forecast

_HOURS, _DAYS = 24, 7


class Queries:
    """Answers from Redis; safe to be asked by several threads.

    Raises
    ------
    UnknownSeries
        From every method that takes a series which does not exist.
    InvalidValue
        From every method that takes a name which is none.
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, view: View, reader: ForecastReader) -> None:
        self._view = view
        self._reader = reader
        self._alerts = Alerts(view.link)
        self._metrics = Metrics(view)

    def ping(self) -> None:
        """Ask whether Redis is there."""
        self._view.link.now_ms()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return metrics for Prometheus in a format that is accepted, and its content type."""
        return self._metrics.render(accept)

    def rows(self) -> list[SeriesRow]:
        """Return how each series stands; one that cannot be read is as one without a forecast."""
        names = self._view.series()
        spoilt = self._view.faults(names)
        names = [series for series in names if series not in spoilt]
        pairs = zip(self._view.models(names), self._view.forecasts(names), strict=True)
        now_ms = _now_ms()
        return [_row(record, decoded(raw), now_ms) for record, raw in pairs]

    def history(self, name: str, since: int) -> list[Forecast]:
        """Return what was said since a time (UTC milliseconds), by revision."""
        return self._reader.history(str(self.known(name)), since)

    def candles(self, name: str, count: int) -> list[Candle]:
        """Return the newest candles, oldest first."""
        return self._view.newest(self.known(name), count)

    def overlay(self, name: str, horizon: int) -> Overlay:
        """Return what was said so many candles ahead, beside what then happened."""
        series = self.known(name)
        history = self._reader.history(name)
        since = min((one.candle_open_time for one in history), default=None)
        closes = {
            one.open_time + series.timeframe.ms: one.close
            for one in self._view.newest(series, since=since)
        }
        return overlay(name, history, closes, horizon)

    def outlook(self, market: str) -> Outlook:
        """Return the hours and the days of a market."""
        hours, days = (Series.parse(f"{market}:{frame}") for frame in ("1h", "1d"))
        raw = self._view.forecasts([hours, days])
        if not any(raw):
            raise UnknownSeries(f"no forecast for {hours}, nor for {days}")
        by_hours, by_days = (said(decode_forecast(one)) if one else None for one in raw)
        return Outlook(
            market=market,
            hours=by_hours and _first(by_hours, _HOURS),
            days=by_days and _first(by_days, _DAYS),
        )

    def skill(self, name: str) -> dict[str, Any]:
        """Return all scores of a series' model."""
        (record,) = self._view.models([self.known(name)])
        return record.scores

    def model(self, name: str) -> ModelRow:
        """Return the model behind a series."""
        (record,) = self._view.models([self.known(name)])
        version, alias = record.snapshot_version, record.snapshot_alias
        return ModelRow(
            series=name,
            fingerprint=record.fingerprint,
            learned=record.sequence,
            since=record.since,
            revision=record.revision,
            rebuilds=record.rebuilds,
            restores=record.restores,
            rollbacks=record.rollbacks,
            snapshot={"version": version, "alias": alias} if version else None,
            champion=asdict(record.champion) if record.champion else None,
        )

    def alerts(self, count: int) -> AlertsRow:
        """Return what is raised now, and what was told last."""
        alerts = self._alerts
        return AlertsRow(
            raised=alerts.raised(), newest=alerts.newest(count), judged=alerts.are_judged()
        )

    def known(self, name: str) -> Series:
        """Return a series that exists."""
        series = Series.parse(name)
        if not self._view.knows(series):
            raise UnknownSeries(f"no series={name!r}; {neighbours(name, self._reader.series())}")
        return series


def _row(record: ModelRecord, newest: Forecast | None, now_ms: int) -> SeriesRow:
    series = record.series
    return SeriesRow(
        series=str(series),
        exchange=series.exchange,
        symbol=series.symbol,
        timeframe=str(series.timeframe),
        paused=record.paused,
        learned=record.sequence,
        waiting=record.waiting,
        status=newest.status if newest else None,
        stale=newest.is_stale(now_ms) if newest else None,
        last_close=newest.last_close if newest else None,
        candle_close_time=newest.candle_close_time if newest else None,
        issued_at=newest.issued_at if newest else None,
        valid_until=newest.valid_until if newest else None,
        skill=list(newest.skill) if newest else [],
        drift=newest.drift if newest else None,
        below_champion_since=record.below_since,
    )


def said(forecast: Forecast) -> Said:
    """Return a forecast, and whether it is stale by this machine's clock."""
    return Said.model_construct(**dict(forecast), stale=forecast.is_stale(_now_ms()))


def _first(whole: Said, count: int) -> Said:
    """Return a forecast of the first steps of another."""
    names = ("target_times", "quantiles", "median", "volatility", "prob_up")
    kept = {name: getattr(whole, name)[:count] for name in names}
    return whole.model_copy(update=kept)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
