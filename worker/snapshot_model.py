"""What MLflow runs to load a snapshot: it travels with each version, as code and never as pickle.

MLflow executes this file from the version's folder, which holds our packages in an archive under
``code`` and the signed state under ``artifacts``; nothing of ours imports it.
"""

import atexit
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


def _refuse_foreign_code(code: Path) -> None:
    """Raise where this process has other code than the snapshot's under the names of ours.

    Python imports a package once: if one of the same name is there already, that one would run in
    place of what came with the version.
    """
    for shipped in sorted(code.rglob("*.py")):
        parts = shipped.relative_to(code).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        try:
            spec = importlib.util.find_spec(name)
        except (ModuleNotFoundError, ValueError):
            spec = None
        origin = Path(spec.origin) if spec and spec.origin else None
        if not origin or not origin.is_file() or origin.read_bytes() != shipped.read_bytes():
            raise ImportError(
                f"this process has imported a package {parts[0]!r} that is not the snapshot's "
                f"({name} would be {origin or 'missing'}); load the model in a process of its own"
            )


def _unpack(archive: Path) -> None:
    """Put our packages where they can be imported, for as long as the process lives."""
    folder, process = tempfile.mkdtemp(prefix="candlecast-"), os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # a fork that ends leaves it to who has made it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    shutil.unpack_archive(archive, folder)
    sys.path.insert(0, folder)
    _refuse_foreign_code(Path(folder))


_here = Path(__file__).parent
if (_here / "MLmodel").is_file():  # else MLflow has a look at it before there is a version
    _unpack(_here / "code" / "candlecast.zip")

from models import state  # noqa: E402 -- only once it is known to be the snapshot's
from models.learner import Learner  # noqa: E402
from shared.candle import Candle, Series, Timeframe  # noqa: E402
from shared.errors import InvalidValue, StateError  # noqa: E402
from shared.forecast import QUANTILE_LEVELS  # noqa: E402

_FAR_MS = 10**13  # the year 2286
_PRICES = ("open", "high", "low", "close", "volume")


class SnapshotModel(PythonModel):
    """A learner as it was committed: it learns the candles given and forecasts what follows."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check key and state at once, so that a version that cannot forecast fails to load.

        Raises
        ------
        StateError
            When the signing key is missing or not the one that the state was signed with, or what
            the version says of itself is not what was signed.
        """
        self._series, self._fingerprint = _about(Path(context.artifacts["about"]))
        self._state = Path(context.artifacts["state"]).read_bytes()
        self._signer = _signer()
        self._learner()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 -- MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 -- MLflow's signature
    ) -> pd.DataFrame:
        """Forecast what follows the candles given; every call starts from the saved state.

        Parameters
        ----------
        model_input
            Closed candles of the series, oldest first: open_time (datetimes or milliseconds, UTC),
            open, high, low, close, volume. Those that the snapshot has learned already are
            skipped; without newer ones (or any) the forecast is the snapshot's own.

        Returns
        -------
        pandas.DataFrame
            One row for each horizon: candle_open_time (of the last candle learned), horizon,
            target_time, q0.025 ... q0.975, median, volatility, prob_up.

        Raises
        ------
        InvalidValue
            When a candle is malformed, off the timeframe's grid or out of order.
        """
        learner = self._learner()
        cursor = learner.hours.open_time or 0
        candles = list(_candles(model_input, self._series.timeframe))
        newer = [candle for candle in candles if candle.open_time > cursor]
        learner.learn_many(newer)
        if newer:
            cursor = newer[-1].open_time
        return _table(learner, cursor)

    def _learner(self) -> Learner:
        return state.load(self._state, self._signer, self._fingerprint, self._series)


def _about(file: Path) -> tuple[Series, str]:
    """Read of which series and model the state is to be; the signature covers both."""
    try:
        about = json.loads(file.read_text())
        return Series.parse(about["series"]), str(about["fingerprint"])
    except (InvalidValue, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{file} does not say of which model the version is: {error!r}") from error


def _signer() -> state.Signer:
    """Take the key as the workers do, which cannot be asked here: environment, else key file."""
    key = os.environ.get("CANDLECAST_STATE_KEY")
    file = Path(os.environ.get("CANDLECAST_DATA_DIR", ".candlecast")) / "state.key"
    if not key and not file.is_file():
        raise StateError(
            "no key to check the snapshot's state with: set CANDLECAST_STATE_KEY to the key of "
            f"the workers that learned it, or CANDLECAST_DATA_DIR to their data folder ({file} "
            "does not exist)"
        )
    previous = os.environ.get("CANDLECAST_STATE_KEY_PREVIOUS")
    modules = os.environ.get("CANDLECAST_STATE_MODULES", "").split(",")
    return state.Signer(
        (key or file.read_text().strip()).encode(),
        previous.encode() if previous else None,
        [name.strip() for name in modules if name.strip()],
    )


def _candles(table: pd.DataFrame, timeframe: Timeframe) -> Iterator[Candle]:
    missing = [name for name in ("open_time", *_PRICES) if name not in table]
    if not len(table):  # a frame of rows without columns is "empty", too
        return
    if missing:
        raise InvalidValue("columns", list(table), f"add {', '.join(missing)}")
    last = -1
    columns: list[list[Any]] = [
        _milliseconds(table["open_time"]).tolist(),
        *(table[name].tolist() for name in _PRICES),
    ]
    for row in zip(*columns, strict=True):
        try:
            open_time, prices = int(row[0]), [float(number) for number in row[1:]]
            whole = open_time == float(row[0])
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidValue(
                "candle", row, "give numbers; open_time in whole milliseconds (UTC)"
            ) from error
        if not whole:
            raise InvalidValue("open_time", row[0], "give whole milliseconds (UTC)")
        if open_time >= _FAR_MS:
            raise InvalidValue("open_time", open_time, "give milliseconds (UTC), no smaller units")
        timeframe.check_open_time(open_time)
        if open_time <= last:
            raise InvalidValue("open_time", open_time, "sort the candles, oldest first, each once")
        last = open_time
        yield Candle(open_time, *prices)


def _milliseconds(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Read open times as candle files have them: datetimes (UTC) or milliseconds."""
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times
    return pd.to_datetime(times, utc=True).dt.as_unit("ms").astype("int64")


def _table(learner: Learner, cursor: int) -> pd.DataFrame:
    outlook = learner.outlook()
    columns: dict[str, Any] = {
        "candle_open_time": cursor,
        "horizon": range(1, len(outlook.target_times) + 1),
        "target_time": outlook.target_times,
    }
    for position, level in enumerate(QUANTILE_LEVELS):
        columns[f"q{level}"] = outlook.quantiles[:, position]
    for name in ("median", "volatility", "prob_up"):
        columns[name] = getattr(outlook, name)
    return pd.DataFrame(columns)


set_model(SnapshotModel())
