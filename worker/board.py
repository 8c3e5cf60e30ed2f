"""What the demo shows of each series: newest forecast, candles learned, skill, latency."""

from dataclasses import dataclass

from rich.table import Table

from shared.forecast import Forecast
from shared.store import Store
from shared.wire import decode_forecast

_AHEAD = (1, 6, 24)


@dataclass(frozen=True, slots=True)
class Row:
    """One series as text."""

    series: str
    status: str
    learned: str
    close: str
    ahead: tuple[str, ...]
    skill: str
    latency: str
    version: str

    def line(self) -> str:
        """Return the row as one plain line."""
        bands = ", ".join(f"+{n} {text}" for n, text in zip(_AHEAD, self.ahead, strict=True))
        return (
            f"{self.series}  learned {self.learned}  close {self.close}  {bands}  "
            f"skill {self.skill}  push to forecast {self.latency}  {self.status}  "
            f"model version {self.version}"
        )


def rows(store: Store) -> list[Row]:
    """Return what there is to show now, one row a series."""
    names = store.series()
    records = store.models(names)
    return [
        _row(decode_forecast(raw), record.snapshot_version, record.waiting)
        for raw, record in zip(store.forecasts(names), records, strict=True)
        if raw
    ]


def _row(said: Forecast, version: int | None, waiting: int) -> Row:
    low, high = said.quantile_levels.index(0.05), said.quantile_levels.index(0.95)
    ahead = (
        f"{said.median[n - 1]:.7g} [{said.quantiles[n - 1][low]:.7g}, "
        f"{said.quantiles[n - 1][high]:.7g}]"
        if n <= said.horizons
        else "-"
        for n in _AHEAD
    )
    scored = [skill.crps for skill in said.skill if skill.crps is not None]
    return Row(
        series=said.series,
        status=f"{waiting} waiting" if waiting else said.status,
        learned=str(said.sequence),
        close=f"{said.last_close:.7g}",
        ahead=tuple(ahead),
        skill=f"{sum(scored) / len(scored):+.1%}" if scored else "-",
        latency="backlog" if said.latency_ms is None else f"{said.latency_ms} ms",
        version=str(version or "-"),
    )


def table(shown: list[Row]) -> Table:
    """Return the rows as a table for a terminal."""
    out = Table(caption="median [90 % band] of the close; skill: CRPS against the baseline")
    headings = ("series", "learned", "close", *(f"+{n} candles" for n in _AHEAD))
    for heading in (*headings, "skill", "push to forecast", "status", "version"):
        # Whole names and numbers: a narrow terminal gets more lines to a band, not cut figures.
        out.add_column(heading, no_wrap=heading in {"series", "learned", "close"})
    for row in shown:
        values = (row.series, row.learned, row.close, *row.ahead, row.skill, row.latency)
        out.add_row(*values, row.status, row.version)
    return out


def failing(store: Store) -> list[str]:
    """Return what producers say of exchanges that do not answer."""
    told = (one["exchanges"].items() for one in store.producers.read().values())
    return [
        f"{name} FAILING: {how.get('error')}"
        for exchanges in told
        for name, how in exchanges
        if how.get("failing")
    ]
