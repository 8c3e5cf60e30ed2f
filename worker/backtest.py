"""The live code path over a file of candles, without Redis: every forecast, scored."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.learner import Learner, Outlook
from shared.candle import Candle, Series
from shared.forecast import QUANTILE_LEVELS
from worker.publish import significant

_ORIGINS_A_CHUNK = 1_000
_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        ("candle_open_time", _TIME),
        ("horizon", pa.int16()),
        ("last_close", pa.float64()),
        ("target_time", _TIME),
        *((f"q{level:g}", pa.float64()) for level in QUANTILE_LEVELS),
    ]
)


class Backtest:
    """Forecasts of several series in one ``forecasts.parquet``, scores in ``report.json``.

    Parameters
    ----------
    out
        Folder; made where it is missing.
    """

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        # Under another name until it is whole: half a backtest must not look like one.
        self._part = out / "forecasts.parquet.part"
        self._writer = pq.ParquetWriter(self._part, SCHEMA, compression="zstd")
        self.report: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish both files, or leave what was there before as it was."""
        self._writer.close()
        if kind:
            self._part.unlink()
            return
        self._part.replace(self.out / "forecasts.parquet")
        (self.out / "report.json").write_text(json.dumps(self.report, indent=2) + "\n")

    def run(self, series: Series, candles: Iterable[Candle], learner: Learner) -> Iterator[int]:
        """Learn and forecast candle by candle; yield how many are done after each chunk.

        One row for each origin and horizon: ``target_time`` is the close of the target candle,
        quantiles are prices.
        """
        chunk: list[tuple[Candle, Outlook]] = []
        for candle in candles:
            learner.learn_one(candle)
            chunk.append((candle, learner.outlook()))
            if len(chunk) == _ORIGINS_A_CHUNK:
                self._write(series, chunk)
                chunk.clear()
                yield learner.sequence
        if chunk:
            self._write(series, chunk)
        self.report[str(series)] = {"candles": learner.sequence, "scores": learner.scores()}
        yield learner.sequence

    def summary(self) -> Iterator[str]:
        """Yield lines for people: skill and coverage of each series by horizon."""
        for name, result in self.report.items():
            yield f"{name}: {result['candles']} candles"
            yield "  ahead  CRPS skill  MAE skill  90 % band covered"
            for horizon, scores in result["scores"]["horizons"].items():
                total = scores["total"]
                crps, mae = _percent(total["crps_skill"]), _percent(total["mae_skill"])
                covered = _percent(total["coverage_90"], sign="")
                yield f"  {horizon:>5}  {crps:>10}  {mae:>9}  {covered:>17}"

    def _write(self, series: Series, chunk: list[tuple[Candle, Outlook]]) -> None:
        horizons = len(chunk[0][1].target_times)
        quantiles = significant(np.concatenate([outlook.quantiles for _, outlook in chunk]))
        opened = np.repeat([candle.open_time for candle, _ in chunk], horizons)
        closes = np.repeat([candle.close for candle, _ in chunk], horizons)
        targets = np.concatenate([outlook.target_times for _, outlook in chunk])
        columns = [
            pa.array([str(series)] * len(opened)),
            pa.array(opened, _TIME),
            pa.array(np.tile(np.arange(1, horizons + 1, dtype=np.int16), len(chunk))),
            pa.array(closes),
            pa.array(targets.astype(np.int64), _TIME),
            *(pa.array(quantiles[:, level]) for level in range(len(QUANTILE_LEVELS))),
        ]
        self._writer.write_table(pa.table(columns, schema=SCHEMA))


def _percent(share: float | None, sign: str = "+") -> str:
    return "-" if share is None else f"{share:{sign}.2%}"
