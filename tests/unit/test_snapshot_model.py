"""The candles that a loaded snapshot is given, in a process of its own as MLflow loads it."""

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import json, pathlib, runpy, sys, warnings
warnings.simplefilter("ignore")
import pandas
from worker.shipment import lay_out
folder = pathlib.Path(sys.argv[1])
lay_out(folder / "model", "")
loaded = runpy.run_path(str(folder / "model" / "snapshot_model.py"))
from shared.candle import Timeframe
from shared.errors import InvalidValue

def read(frame, what):
    try:
        return [candle.open_time for candle in loaded["_candles"](frame, Timeframe("1h"))]
    except InvalidValue as error:
        return what(error)

names = ["open_time", "open", "high", "low", "close", "volume"]
moment = pandas.Timestamp("1970-01-01 02:00")
moments = (moment, moment.tz_localize("UTC"), moment.tz_localize("Europe/Berlin"))
numbers = (7_200_000, 7_200_000.0, 7_200_000.5, "7200000", "soon", float("nan"), float("inf"))
frames = [pandas.DataFrame([[time, 2, 3, 1, 2, 0]], columns=names) for time in (*moments, *numbers)]
nanoseconds = pandas.DataFrame([[1_700_000_000_000_000_000, 2, 3, 1, 2, 0]], columns=names)
nameless = pandas.DataFrame(index=[0, 1])  # what MLflow leaves of columns that it does not know
strange = (nanoseconds, nameless, nameless.iloc[:0])
print(json.dumps({
    "times": [read(frame, lambda error: error.field) for frame in frames],
    "strange": [read(frame, str) for frame in strange],
}))
"""


def test_open_times_are_whole_milliseconds_in_any_type(tmp_path: Path) -> None:
    """A fraction of a millisecond is refused, not cut off, like what is no time at all.

    Nanoseconds would be a candle of the far future, and unknown columns no candle at all.
    """
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    whole = [7_200_000]
    refused = ["candle", "candle", "candle"]
    moments = [whole, whole, [3_600_000]]
    assert said["times"] == [*moments, whole, whole, "open_time", whole, *refused]
    nanoseconds, nameless, nothing = said["strange"]
    assert "give milliseconds" in nanoseconds
    assert "add open_time, open, high, low, close, volume" in nameless
    assert nothing == []
