"""What has been counted of all series together, in Redis: no process that ends takes it along."""

from bisect import bisect_left
from contextlib import suppress

from shared.errors import StoreError
from shared.forecast import Forecast
from shared.link import Link
from shared.records import whole

LATENCIES_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""Upper bounds of the buckets in which latencies are counted; the last one has none."""
_BUCKETS = tuple(f"latency:{bound}" for bound in (*LATENCIES_MS, "inf"))
LATENCY_SUM = "latency_ms"


def counted(forecast: Forecast) -> dict[str, int]:
    """Return what a published forecast adds to the totals: by its status, and by its latency."""
    counts = {f"forecasts:{forecast.status}": 1}
    latency_ms = forecast.latency_ms
    if latency_ms is not None:
        counts |= {_BUCKETS[bisect_left(LATENCIES_MS, latency_ms)]: 1, LATENCY_SUM: latency_ms}
    return counts


class Totals:
    """Reads the counters that the scripts keep: they rise as long as Redis keeps its data.

    Raises
    ------
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self) -> dict[str, int]:
        """Return each by its name; of a name with a part after a colon, such as a reason, each."""
        found: dict[bytes, bytes] = {}
        with suppress(StoreError), self._link.translated() as redis:
            found = redis.hgetall(self._link.keys.totals)  # of another type it tells nothing
        return {name.decode(errors="replace"): whole(count) or 0 for name, count in found.items()}

    @staticmethod
    def latencies(totals: dict[str, int]) -> list[int]:
        """Return how many forecasts came within each bound, those of the bounds before included."""
        counts, so_far = [], 0
        for bucket in _BUCKETS:
            so_far += totals.get(bucket, 0)
            counts.append(so_far)
        return counts
