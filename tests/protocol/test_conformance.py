"""The model and the scripts side by side: random walks of the same steps on a real server."""

import dataclasses
import os
from typing import Any

import numpy as np
import pytest

from shared.candle import Series
from shared.errors import StoreError
from shared.keys import CANDLES_QUEUE
from shared.limits import Limits
from shared.records import BEFORE_ALL, Claim, Commit, DeadLetter
from shared.store import Store
from tests.protocol import configurations, rules
from tests.protocol.coding import HOUR, T0, candle, code, encode, opened
from tests.protocol.rules import AHEAD, DUE, LEASED, Redis, Row, Rules, Snapshot, State

NAMES = [Series.parse("test:A/USDT:1h"), Series.parse("test:B/USDT:1h")]
FAR_MS = 9_000_000_000_000_000
RULES = Rules(max_waiting=4, retention=3)
LIMITS = Limits(
    claim_series=RULES.claim_series,
    claim_candles=RULES.claim_candles,
    series_candles=RULES.series_candles,
    max_waiting=RULES.max_waiting,
    retention=RULES.retention,
    lease_ms=600_000,
)
STEPS = 200
FIELDS = ("cursor", "saved", "until", "suspect", "published")


class Walk:
    """One walk: every step is taken by the model and by the scripts."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = Store(store.link, LIMITS)
        self.client: Any = store.link.redis
        self.client.set(store.keys.fleet, "fleet")
        self.random = np.random.default_rng(seed)
        self.redis = Redis((Row(), Row()))
        self.revisions = [0, 0]
        self.tokens = 0
        self.held: list[tuple[rules.Claim, Claim]] = []
        self.copy: tuple[Redis, list[int], dict[bytes, bytes]] | None = None
        self.snapshot = Snapshot(0, None, 0)
        self.queue = store.keys.rq_queue(CANDLES_QUEUE)
        self.done: list[str] = []

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return bool(self.random.random() < share)

    def below(self, count: int) -> int:
        """A number from zero on."""
        return int(self.random.integers(count))

    def fresh(self) -> int:
        """A token that was never there."""
        self.tokens += 1
        return self.tokens

    def take(self) -> None:
        """Take one step in both worlds, and compare what can be seen."""
        often = {self.append: 6, self.claim: 5, self.commit: 4, self.lease_over: 3}
        steps = [step for step, weight in often.items() for _ in range(weight)]
        steps += [self.release, self.restore, self.tick, self.hear, self.abandon]
        steps += [self.clock_back, self.spoil, self.put_aside, self.fail_over, self.empty_queue]
        steps += [self.drop_marks, self.pause, self.pause]
        steps += [self.retire] if self.chance(0.2) else []
        chosen = steps[self.below(len(steps))]
        self.done.append(chosen.__name__)
        chosen()
        self.compare()

    def append(self) -> None:
        """Some candles near the end of the log, now and then of another content."""
        series = self.below(2)
        log = self.redis.rows[series].log
        end = rules.time(log[-1]) if log else 0
        first = max(1, end + self.below(4) - 1)
        codes = [
            t + 100 * self.chance(0.1)
            for t in range(first, first + 1 + self.below(4))
            if self.chance(0.9)
        ]
        after = end if self.chance(0.5) else self.below(first)
        self.redis, expected = rules.append(RULES, self.redis, series, codes, after)
        self.rung(rules.ring(RULES, self.redis))
        before = T0 + after * HOUR if after else BEFORE_ALL
        answer = self.store.append(NAMES[series], list(map(candle, codes)), after=before)
        assert (answer.taken, answer.accepted, answer.stopped or "") == expected[:3]

    def rung(self, bells: int) -> None:
        """The store enqueues by itself."""
        self.redis = self.redis._replace(queue=self.redis.queue + bells)

    def claim(self) -> None:
        """Claim in the order of the scores; what another keeps only if there is nothing else."""
        name, tokens = str(self.random.choice(["a", "b"])), [self.fresh(), self.fresh()]
        due = self.client.zrangebyscore(self.store.keys.pending, "-inf", self.now())
        order = [NAMES.index(Series.parse(text.decode())) for text in due]
        rows, keepers = self.redis.rows, [self.keeper(series) for series in range(2)]
        mine = [at for at in order if keepers[at] in {"", name} or rows[at].attempts]
        others = [at for at in order if at not in mine]
        own = [at for at in mine if keepers[at] == name]
        self.redis, expected = rules.claim(RULES, self.redis, mine, tokens, own)
        if not expected:
            self.redis, expected = rules.claim(RULES, self.redis, others, tokens)
        found = self.store.claim("fleet", name).claims
        assert len(found) == len(expected)
        for model, real in zip(expected, found, strict=True):
            assert (NAMES[model.series], model.condemned) == (real.series, real.condemned)
            assert (model.cursor and T0 + model.cursor * HOUR) == (real.cursor or 0)
            assert [T0 + rules.time(c) * HOUR for c in model.entries] == opened(real.entries)
            row = self.redis.rows[model.series]
            assert real.is_kept == (keepers[model.series] == name)
            assert not real.is_kept or (real.state, real.behind) == (None, [])
            whole = self.store.with_state(real) if real.is_kept else real
            assert whole.state == (row.written and encode(row.written))
            assert [T0 + rules.time(c) * HOUR for c in rules.lacking(row)] == opened(whole.behind)
            self.held.append((model, whole))

    def keeper(self, series: int) -> str:
        """The worker that has committed a series last, as far as Redis knows."""
        kept = self.client.hget(self.store.keys.model(str(NAMES[series])), "keeper")
        return (kept or b"").decode()

    def commit(self) -> None:
        """Commit some claim that was handed out at some time, or rebuild its series."""
        if not self.held:
            return
        model, real = self.held.pop(self.below(len(self.held)))
        if model.state is None:
            self.put_back(model.series, Snapshot(0, None, 0), (model.etag, real.etag))
            return
        count, dead = 1 + self.below(len(model.entries)), self.chance(0.2)
        written = dead or not self.redis.rows[model.series].saved or self.chance(0.6)
        self.redis, won = rules.commit(
            *(RULES, self.redis, model, count), dead=dead, fresh=self.fresh(), written=written
        )
        taught = model.entries[: count - 1]
        taught += (-model.entries[count - 1] if dead else model.entries[count - 1],)
        state = encode(State(model.state.base, model.state.lineage + taught))
        answer, bells = self.store.commit(
            [
                Commit(
                    claim=real,
                    entries=real.entries[:count],
                    learned=count - dead,
                    state=state if written else None,
                    fingerprint="f",
                    scores={},
                    since=None,
                    forecast=b"{}" if count > dead else None,
                    dead_letter=DeadLetter(candle="c", reason="r", error="e") if dead else None,
                    keeper="ab"[self.below(2)] if self.chance(0.8) else "",
                )
            ]
        )
        assert (answer, bells) == ([won], rules.ring(RULES, self.redis))
        self.revisions[model.series] += won

    def release(self) -> None:
        """Give some claims back, however old they are."""
        count = self.below(1 + len(self.held))
        given, self.held = self.held[:count], self.held[count:]
        if given:
            self.redis = rules.release(RULES, self.redis, [model for model, _ in given])
            bells = self.store.release([real for _, real in given])
            assert bells == rules.ring(RULES, self.redis)

    def restore(self) -> None:
        """An operator's restore or rebuild."""
        self.put_back(0, self.snapshot if self.chance(0.7) else Snapshot(0, None, 0), None)

    def put_back(self, series: int, snapshot: Snapshot, etags: tuple[int, str] | None) -> None:
        """Restore in both worlds."""
        base = State(self.redis.rows[series].trimmed, ())
        self.redis, expected = rules.restore(
            *(RULES, self.redis, series, snapshot),
            etag=etags[0] if etags else None,
            fresh=self.fresh(),
        )
        self.rung(rules.ring(RULES, self.redis))
        answer = self.store.restore(
            NAMES[series],
            etag=etags[1] if etags else None,
            cursor=T0 + snapshot.cursor * HOUR if snapshot.cursor else None,
            state=encode(snapshot.state or base),
            fingerprint="f",
            scores={},
            sequence=snapshot.sequence,
            since=None,
        )
        assert answer == expected
        self.revisions[series] += answer == "ok"

    def pause(self) -> None:
        """An operator lets the first series rest, or go on."""
        paused = self.chance(0.5)
        self.redis = rules.pause(RULES, self.redis, 0, paused=paused)
        known = self.store.pause(NAMES[0], paused=paused)
        assert known == bool(self.redis.rows[0].log)
        self.rung(known and not paused and rules.ring(RULES, self.redis))

    def retire(self) -> None:
        """An operator removes the first series."""
        assert not self.store.retire(NAMES[0], revision=self.revisions[0] + 1)
        assert self.store.retire(NAMES[0], revision=self.revisions[0])
        self.redis = rules.retire(self.redis, 0)
        self.revisions[0] = 0

    def tick(self) -> None:
        """A tick of whoever, the last one long past."""
        if not self.redis.tick_stuck:
            self.client.delete(self.store.keys.tick)
        self.redis, bells = rules.tick(RULES, self.redis)
        assert self.store.tick("fleet").ring == bells

    def lease_over(self) -> None:
        """A lease runs out."""
        for series, row in enumerate(self.redis.rows):
            if row.mark == LEASED and self.chance(0.7):
                self.redis = rules.lease_over(self.redis, series)
                self.client.zadd(self.store.keys.pending, {str(NAMES[series]): self.now()})

    def abandon(self) -> None:
        """The worker is known to be dead: its leases need not run out."""
        self.store.abandon("another worker")
        self.rung(rules.ring(RULES, self.redis))
        self.compare()
        self.redis = rules.abandon(self.redis)
        self.store.abandon("a")
        self.store.abandon("b")
        self.rung(rules.ring(RULES, self.redis))

    def hear(self) -> None:
        """A worker takes a job."""
        if self.redis.queue:
            self.redis = self.redis._replace(queue=self.redis.queue - 1)
            assert self.client.lpop(self.queue)

    def empty_queue(self) -> None:
        """Somebody empties the queue."""
        self.redis = self.redis._replace(queue=0)
        self.client.delete(self.queue)

    def drop_marks(self) -> None:
        """Somebody deletes the marks."""
        rows = tuple(row._replace(mark=0) for row in self.redis.rows)
        self.redis = self.redis._replace(rows=rows)
        self.client.delete(self.store.keys.pending)

    def clock_back(self) -> None:
        """Redis's clock steps back: its scores and keys with a life are then far ahead."""
        stuck = self.chance(0.3) or self.redis.tick_stuck
        self.redis = rules.clock_back(self.redis, stuck=stuck)
        pending = self.store.keys.pending
        for name in self.client.zrange(pending, 0, -1):
            self.client.zadd(pending, {name: FAR_MS})
        if stuck:
            self.client.set(self.store.keys.tick, 1, px=HOUR)

    def spoil(self) -> None:
        """The first series' state is gone."""
        row = self.redis.rows[0]._replace(state=None, written=None)
        self.redis = self.redis._replace(rows=(row, self.redis.rows[1]))
        self.client.hdel(self.store.keys.model(str(NAMES[0])), "state")

    def put_aside(self) -> None:
        """A snapshot of the first series."""
        row = self.redis.rows[0]
        if row.cursor and row.state is not None:
            self.snapshot = Snapshot(row.cursor, row.state, row.sequence)

    def fail_over(self) -> None:
        """Redis goes back to what it was, or the replica falls behind from here on."""
        if self.copy is None:
            found = {key: self.client.dump(key) for key in self.client.keys("*")}
            self.copy = (self.redis, [*self.revisions], found)
            return
        self.redis, self.revisions, found = self.copy
        self.copy = None
        self.client.flushdb()
        for key, value in found.items():
            self.client.restore(key, 0, value)
        if self.redis.tick_stuck:
            self.client.set(self.store.keys.tick, 1, px=HOUR)

    def now(self) -> int:
        """Redis's time, a millisecond after the last one: equal scores would have no order."""
        start = self._ms()
        while (now := self._ms()) == start:
            pass
        return now

    def _ms(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds * 1_000 + micros // 1_000)

    def compare(self) -> None:
        """Both worlds look the same."""
        now = self.now()
        assert self.client.llen(self.queue) == self.redis.queue
        for series, row in enumerate(self.redis.rows):
            assert self.seen(series, now) == self.expected(series, row)

    def seen(self, series: int, now: int) -> dict[str, Any]:
        """What the server shows of a series."""
        name = NAMES[series]
        record = self.store.model(name)
        score = self.client.zscore(self.store.keys.pending, str(name))
        times = self.client.hmget(self.store.keys.model(str(name)), FIELDS)
        mark = DUE if score and score <= now else LEASED
        counted = dataclasses.asdict(record)
        return {
            "log": [code(found) for found in self.store.candles(name)],
            "mark": 0 if score is None else AHEAD if score > now + LIMITS.lease_ms else mark,
            "state": record.state,
            "paused": record.paused,
            **{key: counted[key] for key in ("attempts", "sequence", "settled", "revision")},
            **{
                key: (int(t) - T0) // HOUR if t else 0 for key, t in zip(FIELDS, times, strict=True)
            },
        }

    def expected(self, series: int, row: Row) -> dict[str, Any]:
        """What the model says that the server shows."""
        return {
            "log": list(row.log[row.trimmed :]),
            "mark": row.mark,
            "state": row.written and encode(row.written),
            "paused": row.paused,
            "attempts": row.attempts,
            "sequence": row.sequence,
            "settled": row.settled,
            "revision": self.revisions[series],
            **{key: getattr(row, key) for key in FIELDS},
        }


@pytest.mark.parametrize("seed", range(8))
def test_the_scripts_do_what_the_model_says(store: Store, seed: int) -> None:
    """After each step of a random walk the server shows what the model holds."""
    walk = Walk(store, seed)
    for _ in range(STEPS):
        try:
            walk.take()
        finally:
            print(" ".join(walk.done[-1:]), end=" ")


def test_an_append_that_fails_half_way_leaves_a_mark(store: Store) -> None:
    """Of its two writes the mark comes first: a mark too many goes, a candle without one stays."""
    client: Any = store.link.redis
    key = store.keys.candles(str(NAMES[0]))
    # An entry that was deleted by hand leaves a last id that the next candle falls behind.
    client.xadd(key, {"o": 1}, id=f"{T0 + 9 * HOUR}-0")
    client.xdel(key, f"{T0 + 9 * HOUR}-0")

    store.tick("fleet")
    with pytest.raises(StoreError):
        store.append(NAMES[0], [candle(1)])

    assert client.zscore(store.keys.pending, str(NAMES[0])) is not None
    assert store.claim("fleet").claims == []
    assert client.zscore(store.keys.pending, str(NAMES[0])) is None


@pytest.mark.skipif(os.environ.get("PROTOCOL_FULL") != "1", reason="PROTOCOL_FULL=1 runs it")
@pytest.mark.parametrize(
    "guard", [*({*configurations.GUARDS} - {"mark before candle"}), *configurations.COSTS]
)
def test_the_walks_would_notice(store: Store, monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """With one guard more or less than the scripts have, the model soon differs from them."""
    monkeypatch.setattr(
        "tests.protocol.test_conformance.RULES", RULES._replace(off=RULES.off ^ {guard})
    )

    with pytest.raises(AssertionError):
        _walks(store, 20)


def _walks(store: Store, count: int) -> None:
    for seed in range(count):
        store.link.redis.flushdb()
        walk = Walk(store, seed)
        for _ in range(STEPS):
            walk.take()
