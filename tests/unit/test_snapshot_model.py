"""The candles that a loaded snapshot is given, in a process of its own as MLflow loads it."""

import json
import subprocess
import sys

CODE = """
import json, pandas
from shared.candle import Timeframe
from shared.errors import InvalidValue
from worker.snapshot_model import _candles
said = []
moment = pandas.Timestamp("1970-01-01 02:00")
moments = (moment, moment.tz_localize("UTC"), moment.tz_localize("Europe/Berlin"))
numbers = (7_200_000, 7_200_000.0, 7_200_000.5, "7200000", "soon", float("nan"), float("inf"))
for time in (*moments, *numbers):
    frame = pandas.DataFrame([[time, 2, 3, 1, 2, 0]])
    frame.columns = ["open_time", "open", "high", "low", "close", "volume"]
    try:
        said.append([candle.open_time for candle in _candles(frame, Timeframe("1h"))])
    except InvalidValue as error:
        said.append(error.field)
print(json.dumps(said))
"""
STRANGE = """
import json, pandas
from shared.candle import Timeframe
from shared.errors import InvalidValue
from worker.snapshot_model import _candles
names = ["open_time", "open", "high", "low", "close", "volume"]
nanoseconds = pandas.DataFrame([[1_700_000_000_000_000_000, 2, 3, 1, 2, 0]], columns=names)
nameless = pandas.DataFrame(index=[0, 1])  # what MLflow leaves of columns that it does not know
said = []
for frame in (nanoseconds, nameless, nameless.iloc[:0]):
    try:
        said.append(list(_candles(frame, Timeframe("1h"))))
    except InvalidValue as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_open_times_are_whole_milliseconds_in_any_type() -> None:
    """A fraction of a millisecond is refused, not cut off, like what is no time at all."""
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    whole = [7_200_000]
    refused = ["candle", "candle", "candle"]
    moments = [whole, whole, [3_600_000]]
    assert json.loads(ran.stdout) == [*moments, whole, whole, "open_time", whole, *refused]


def test_candles_that_cannot_be_meant_are_refused() -> None:
    """Nanoseconds would be a candle of the far future, unknown columns no candle at all."""
    ran = subprocess.run(
        [sys.executable, "-c", STRANGE], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    nanoseconds, nameless, nothing = json.loads(ran.stdout)
    assert "give milliseconds" in nanoseconds
    assert "add open_time, open, high, low, close, volume" in nameless
    assert nothing == []
