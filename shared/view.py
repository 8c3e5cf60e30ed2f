"""What is read of an installation: its series, candles, models, forecasts and marks."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from shared import doorbell
from shared.candle import Candle, Series
from shared.dead_letters import DeadLetters
from shared.errors import DecodeError
from shared.header import key_of
from shared.keys import DEFAULT_PREFIX, RQ_SUSPENDED, Keys
from shared.limits import Limits
from shared.link import Link, time_ms
from shared.model_record import MODEL_FIELDS, ModelRecord
from shared.producers import Producers
from shared.records import parsed_series
from shared.rounds import Rounds
from shared.standby import Standby
from shared.totals import Totals
from shared.wire import decode_candle

# How much is read at once: Redis does nothing else meanwhile.
_PAGE = 64
_PAGE_CANDLES = 1_000
# What the keys of a series are unless somebody wrote there, and what follows once it is deleted.
_AGAIN = "the next candle brings it back"
_KINDS = {
    "candles": ("stream", "its producers fill it again"),
    "model": ("hash", "then `candlecast rebuild {series}`"),
    "forecast": ("string", _AGAIN),
    "forecasts": ("stream", _AGAIN),
}


class View:
    """The candle logs, models and marks of one prefix in one Redis, to be looked at.

    Raises
    ------
    StoreUnavailable
        From every method, when Redis cannot be reached or refuses the password.
    StoreError
        From every method, when Redis fails a command.
    """

    def __init__(self, link: Link, limits: Limits | None = None) -> None:
        self.link = link
        self.keys = link.keys
        self.limits = limits or Limits()
        self.dead_letters = DeadLetters(link, self.limits)
        self.rounds = Rounds(link, self.limits)
        self.producers = Producers(link)
        self.totals = Totals(link)
        self.standby = Standby(link, self.limits)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        limits: Mapping[str, Any] | None = None,
        hurried: bool = False,
    ) -> Self:
        """Connect and ping; ``limits`` are fields of `Limits`, ``hurried`` is for `Link.open`."""
        return cls(Link.open(url, Keys(prefix), hurried=hurried), Limits(**limits or {}))

    def series(self) -> list[Series]:
        """Return every known series, sorted by name; names of a newer version are left out."""
        with self.link.translated() as redis:
            names = redis.smembers(self.keys.series)
        found = (parsed_series(name) for name in sorted(names))
        return [series for series in found if series]

    def knows(self, series: Series) -> bool:
        """Whether there is such a series."""
        with self.link.translated() as redis:
            return bool(redis.sismember(self.keys.series, str(series)))

    def end(self, series: Series) -> int | None:
        """Open time of the log's last candle."""
        with self.link.translated() as redis:
            entries = redis.xrevrange(self.keys.candles(str(series)), count=1)
        return int(entries[0][0].partition(b"-")[0]) if entries else None

    def candles(
        self, series: Series, *, after: int | None = None, count: int | None = None
    ) -> list[Candle]:
        """Return retained candles, oldest first."""
        start = "-" if after is None else f"({after}-0"
        with self.link.translated() as redis:
            entries = redis.xrange(self.keys.candles(str(series)), min=start, count=count)
        return [decode_candle(entry_id, numbers) for entry_id, numbers in entries]

    def newest(
        self, series: Series, count: int | None = None, *, since: int | None = None
    ) -> list[Candle]:
        """Return the newest candles, oldest first; an entry that is none is left out."""
        start = "-" if since is None else since
        with self.link.translated() as redis:
            entries = redis.xrevrange(self.keys.candles(str(series)), min=start, count=count)
        found = []
        for entry_id, numbers in reversed(entries):
            with suppress(DecodeError):
                found.append(decode_candle(entry_id, numbers))
        return found

    def retained(self, series: Series) -> tuple[int | None, int]:
        """Return the open time of the log's first candle and how many it holds, readable or not."""
        key = self.keys.candles(str(series))
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.xrange(key, count=1)
            pipe.xlen(key)
            entries, count = pipe.execute()
        return int(entries[0][0].partition(b"-")[0]) if entries else None, count

    def faults(self, names: Sequence[Series]) -> dict[Series, str]:
        """Say of each series that cannot be read which of its keys is at fault, and the remedy."""
        places = [
            (series, getattr(self.keys, kind)(str(series)), wanted, remedy.format(series=series))
            for series in names
            for kind, (wanted, remedy) in _KINDS.items()
        ]
        with self.link.translated() as redis, redis.pipeline(transaction=False) as pipe:
            for _, key, *_ in places:
                pipe.type(key)
            kinds = [kind.decode() for kind in pipe.execute()]
        return {
            series: f"the key {key} is a {kind}, not a {wanted}: delete it, {remedy}"
            for (series, key, wanted, remedy), kind in zip(places, kinds, strict=True)
            if kind not in {"none", wanted}
        }

    def forecasts(self, names: Sequence[Series]) -> list[bytes | None]:
        """Return the published JSON of each series, or None."""
        keys = [self.keys.forecast(str(series)) for series in names]
        with self.link.translated() as redis:
            pages = (redis.mget(keys[at : at + _PAGE]) for at in range(0, len(keys), _PAGE))
            return [raw for page in pages for raw in page]

    def models(self, names: Sequence[Series]) -> list[ModelRecord]:
        """Return the records of many series, each of one moment, without their states."""
        records: list[ModelRecord] = []
        while len(records) < len(names):
            records += self._records(names[len(records) :][:_PAGE])
        return records

    def state_keys(self, names: Sequence[Series]) -> list[str | None]:
        """Return the id of the key that signed each series' state, as it says; None without one."""
        pages = range(0, len(names), _PAGE)
        heads = (self.link.run("heads", *map(str, names[at : at + _PAGE])) for at in pages)
        return [key_of(head) for page in heads for head in page]

    def model(self, series: Series) -> ModelRecord:
        """Return one series' record, with its state and the entries that this has not learned."""
        fields = [*MODEL_FIELDS, "state"]
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            self.link.run("waiting", _PAGE_CANDLES, str(series), pipe=pipe)
            pipe.hmget(self.keys.model(str(series)), fields)
            self.link.run("behind", str(series), pipe=pipe)
            ((last, waiting),), row, behind = pipe.execute()
        found = dict(zip(fields, row, strict=True))
        return ModelRecord.read(series, found, last, waiting, behind)

    def _records(self, names: Sequence[Series]) -> list[ModelRecord]:
        """Read the first of these, at least one: so many as cost little to count."""
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            self.link.run("waiting", _PAGE_CANDLES, *map(str, names), pipe=pipe)
            for series in names:
                pipe.hmget(self.keys.model(str(series)), MODEL_FIELDS)
            waiting, *rows = pipe.execute()
        return [
            ModelRecord.read(series, dict(zip(MODEL_FIELDS, row, strict=True)), last, count)
            for series, row, (last, count) in zip(names, rows, waiting, strict=False)
        ]

    def memory(self, names: Sequence[Series]) -> list[int]:
        """Return the bytes that Redis uses for each series: all of its keys together."""
        kinds = [getattr(self.keys, kind) for kind in (*_KINDS, "standby")]
        with self.link.translated() as redis, redis.pipeline(transaction=False) as pipe:
            # A hash that is sampled looks like twice its size: the state is one field of many.
            for series in map(str, names):
                for kind in kinds:
                    pipe.memory_usage(kind(series), samples=0)
            sizes = [size or 0 for size in pipe.execute()]
        each = len(kinds)
        return [sum(sizes[at : at + each]) for at in range(0, len(sizes), each)]

    def used_memory_share(self) -> float:
        """Share of ``maxmemory`` in use; 0 where Redis has no such limit."""
        with self.link.translated() as redis:
            info = redis.info("memory")
        limit = info.get("maxmemory", 0)
        return info["used_memory"] / limit if limit else 0.0

    def overview(self) -> dict[str, Any]:
        """Return what concerns all series: fleet and heir, marks, jobs, dead letters, `rq suspend`.

        ``due_for_ms`` is how long the series has been due that has waited longest.
        """
        keys, queues = self.keys, doorbell.QUEUES
        with self.link.translated() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.get(self.keys.fleet)
            pipe.zcard(self.keys.pending)
            pipe.xlen(self.keys.dead_letters)
            pipe.exists(RQ_SUSPENDED)
            pipe.zrange(keys.pending, 0, 0, withscores=True)
            pipe.time()
            for name in queues:
                pipe.llen(keys.rq_queue(name)).scard(keys.rq_workers(name))
                pipe.zcard(keys.rq_failed(name))
            fleet, pending, dead_letters, suspended, first, now, *counts = pipe.execute()
        due_at = first[0][1] if first else time_ms(now)
        return {
            "redis": self.link.address,
            "fleet": fleet.decode(errors="replace") if fleet else None,
            "heir": self.standby.heir(),
            "pending": pending,
            "dead_letters": dead_letters,
            "suspended": bool(suspended),
            "due_for_ms": max(0, time_ms(now) - int(due_at)),
            **{
                name: dict(zip(queues, counts[at::3], strict=True))
                for at, name in enumerate(("jobs", "workers", "failed_jobs"))
            },
        }
