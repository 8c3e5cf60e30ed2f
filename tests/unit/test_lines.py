"""Lines of a pipe through `Push` into a store that keeps the rules of the log in memory."""

import json
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from producers.json_candles import Rules
from producers.lines import Intake
from producers.push import Push, Totals
from shared.errors import StoreUnavailable
from shared.limits import Limits
from tests.unit.fake_log import MINUTE, ONE, T0, TWO, Clock, Log, candle, indices

RULES = Rules(series=ONE, limits=Limits(allowed_series=("x:*",)), now_ms=lambda: T0 + 10**9)


def line(index: int, **other: Any) -> str:
    """The ``index``-th minute as a line."""
    found = {name: getattr(candle(index), name) for name in candle(0).__slots__}
    return json.dumps(found | other) + "\n"


class Pipe:
    """A pipe that a test writes to."""

    def __init__(self) -> None:
        self.end, self._begin = os.pipe()

    def write(self, *lines: str) -> None:
        """Write what may be parts of lines."""
        os.write(self._begin, "".join(lines).encode(errors="surrogateescape"))

    def close(self) -> None:
        """End it."""
        os.close(self._begin)
        self._begin = -1

    def tear_down(self) -> None:
        """Let go of both ends."""
        os.close(self.end)
        if self._begin >= 0:
            self.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of the test's own."""
    made = Pipe()
    yield made
    made.tear_down()


def pushed(
    pipe: Pipe, log: Log, *steps: Callable[[], object], **options: Any
) -> tuple[Totals, Intake]:
    """Push until the lines end; each time that the push has nothing to do, take the next step."""
    clock, coming = Clock(), iter(steps)
    intake = Intake(pipe.end, RULES, clock=clock, **options)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        next(coming, pipe.close)()

    totals = Push(log, [], clock=clock, sleep=sleep).run(intake.is_overdue, intake.more)
    return totals, intake


def test_lines_of_many_series_arrive_mixed_and_in_parts(pipe: Pipe) -> None:
    """Series come up as they come, lines in two writes are whole, and the last lacks its end."""
    log, half = Log(), line(2)
    other = line(0, series=str(TWO), open_time="2023-11-14T22:14:00Z", close="2.0", extra=[1])
    steps = (
        lambda: pipe.write(line(0), other, "\n", line(1), half[:30]),
        lambda: pipe.write(half[30:]),
        lambda: pipe.write(line(3).rstrip()),
    )

    totals, intake = pushed(pipe, log, *steps)

    assert log.logs == {ONE: [candle(i) for i in range(4)], TWO: [candle(0)]}
    assert (totals.accepted, intake.fault, intake.waiting) == (5, None, 0)


def test_many_waiting_lines_go_in_batches(pipe: Pipe) -> None:
    """What is there at once goes at once; what comes alone goes alone."""
    log = Log()
    steps = (lambda: pipe.write(*map(line, range(400))), lambda: pipe.write(line(400)))

    pushed(pipe, log, *steps)

    assert [count for _, count, _ in log.calls] == [400, 1]


def test_a_hole_between_two_lines_is_the_source_s_word(pipe: Pipe) -> None:
    """It is taken without asking, also across a restart behind the log's end."""
    log = Log({ONE: [candle(i) for i in range(6)]})

    totals, intake = pushed(pipe, log, lambda: pipe.write(*map(line, (3, 4, 9, 15))))

    assert (totals.duplicates, totals.revised, totals.refused) == (2, 0, 0)
    assert indices(log.logs[ONE]) == [*range(6), 9, 15]
    assert intake.fault is None


def test_a_first_line_behind_a_gap_ends_it(pipe: Pipe) -> None:
    """Where from to send again is said; candles of others that were read are sent."""
    log = Log({ONE: [candle(i) for i in range(3)]})
    lines = (line(7), line(0, series=str(TWO)), line(8))

    totals, intake = pushed(pipe, log, lambda: pipe.write(*lines))

    assert indices(log.logs[ONE]) == [0, 1, 2]
    assert indices(log.logs[TWO]) == [0]
    assert totals.accepted == 1
    last = T0 + 2 * MINUTE
    assert f"{ONE}: the log ends with the candle of {last}: send again from {last + MINUTE} on" in (
        str(intake.fault)
    )
    assert f"go on with {T0 + 7 * MINUTE} only" in str(intake.fault)
    assert "--gap-ok" in str(intake.fault)


def test_gap_ok_is_the_source_s_word_for_what_is_before(pipe: Pipe) -> None:
    """The hole before the first line is taken as one of the source."""
    log = Log({ONE: [candle(i) for i in range(3)]})

    totals, intake = pushed(pipe, log, lambda: pipe.write(line(7), line(8)), gap_ok=True)

    assert indices(log.logs[ONE]) == [0, 1, 2, 7, 8]
    assert (totals.holes, intake.fault) == (1, None)


@pytest.mark.parametrize("kept", [35, 0])
def test_what_redis_forgets_is_given_again(pipe: Pipe, kept: int) -> None:
    """The newest lines are remembered; an empty log begins anew with the first line."""
    log, lines = Log(), [line(i) for i in range(60) if i % 7]

    def forget() -> None:
        del log.logs[ONE][kept:]

    steps = (
        lambda: pipe.write(*lines[:40]),
        forget,
        lambda: pipe.write(lines[40]),
        forget,
        lambda: pipe.write(*lines[41:]),
    )

    totals, intake = pushed(pipe, log, *steps)

    assert indices(log.logs[ONE]) == [i for i in range(60) if i % 7]
    assert (totals.duplicates, intake.fault) == (0, None)


@pytest.mark.parametrize("kept", [50, 0])
@pytest.mark.parametrize("gap_ok", [True, False])
def test_what_is_forgotten_by_both_sides_ends_it(pipe: Pipe, kept: int, gap_ok: object) -> None:
    """It is no hole of the source, whatever was said about the time before the first line."""
    log = Log()
    steps = (
        lambda: pipe.write(*map(line, range(200))),
        lambda: pipe.write(line(200)),
        lambda: log.logs[ONE].__delitem__(slice(kept, None)),
        lambda: pipe.write(line(201)),
    )

    _, intake = pushed(pipe, log, *steps, gap_ok=gap_ok)

    assert indices(log.logs[ONE]) == list(range(kept))
    again = f"send again from {T0 + 50 * MINUTE} on" if kept else "send all again"
    assert again in str(intake.fault)


BAD = {
    "no JSON": ("{nonsense\n", "line='{nonsense': write one JSON object"),
    "no object": ("[1, 2]\n", "line='[1, 2]': write one JSON object"),
    "too deep": ("[" * 50_000 + "\n", "line='[["),
    "no text": ("\udcff\udcfe\n", "write one JSON object"),
    "no number": (line(1, close="n/a"), "close='n/a': must be a number"),
    "a truth": (line(1, volume=True), "volume=True: must be a number"),
    "not a number": (line(1, high=float("nan")), "high=nan: must be finite"),
    "null": (line(1, volume=None), "volume=None: must be there"),
    "impossible": (line(1, low=2.5), "open=2.0: must be >= low (2.5)"),
    "no time": (line(1, open_time="soon"), "open_time='soon': must be UTC milliseconds"),
    "off the grid": (line(1, open_time=T0 + 1), "a 1m candle opens at multiples of 60000"),
    "not closed": (line(1, open_time=T0 + 10**9 // MINUTE * MINUTE), "closed candles only"),
    "no series": (line(1, series="BTC"), "series='BTC': write exchange:symbol:timeframe"),
    "not allowed": (line(1, series="y:A/B:1m"), "CANDLECAST_ALLOWED_SERIES"),
}


@pytest.mark.parametrize(("bad", "says"), BAD.values(), ids=BAD)
def test_a_bad_line_ends_it_once_those_before_are_sent(pipe: Pipe, bad: str, says: str) -> None:
    """The error names the line, the field, the value and the remedy; what follows is not read."""
    log = Log()

    totals, intake = pushed(pipe, log, lambda: pipe.write(line(0), "\n", bad, line(2)))

    assert totals.accepted == 1
    assert str(intake.fault).startswith("line 3: ")
    assert says in str(intake.fault)


@pytest.mark.parametrize(("bad", "says"), BAD.values(), ids=BAD)
def test_bad_lines_are_set_aside_and_others_go_on(pipe: Pipe, bad: str, says: str) -> None:
    """Those that name an allowed series are dead letters of it."""
    log = Log()

    totals, intake = pushed(
        pipe, log, lambda: pipe.write(line(0), bad, line(1)), set_aside=log.dead_letters.put
    )

    assert indices(log.logs[ONE]) == [0, 1]
    assert (totals.accepted, intake.fault, intake.bad + intake.unplaced) == (2, None, 1)
    kept = log.dead_letters.kept
    assert len(kept) == intake.bad
    for series, letter in kept:
        assert (series, letter.candle, letter.reason) == (ONE, bad.strip(), "invalid")
        assert letter.error.startswith("line 2: ")
        assert says in letter.error


def test_a_letter_that_redis_does_not_take_is_put_again(pipe: Pipe) -> None:
    """No candle of that series is sent before, and none is lost."""
    log, failures = Log(), [StoreUnavailable("down")]

    def put(*letter: Any) -> None:
        if failures:
            raise failures.pop()
        log.dead_letters.put(*letter)

    steps = (lambda: pipe.write(line(0), line(1, close="n/a"), line(1)), lambda: None)
    pushed(pipe, log, *steps, set_aside=put)

    assert indices(log.logs[ONE]) == [0, 1]
    assert len(log.dead_letters.kept) == 1


def test_a_line_without_an_end_is_no_memory_leak(pipe: Pipe) -> None:
    """It ends the intake, even where bad lines are set aside."""
    log, much = Log(), "x" * 40_000
    steps = (lambda: pipe.write(line(0), much), lambda: pipe.write(much))

    _, intake = pushed(pipe, log, *steps, set_aside=log.dead_letters.put)

    assert str(intake.fault).startswith("line 2 is longer than 65536 bytes")
    assert indices(log.logs[ONE]) == [0]


def test_lines_without_a_series_need_one_to_be_named(pipe: Pipe) -> None:
    """Where the command was given none either, the error says both ways."""
    intake = Intake(pipe.end, replace(RULES, series=None))
    pipe.write(line(0))

    assert intake.more() == []
    assert "series=None: name it in each line, or once by --series" in str(intake.fault)


def test_a_full_log_holds_up_no_other_series_and_bounds_what_is_read(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one log is full the lines of others are read, up to a bound."""
    monkeypatch.setattr("producers.lines._READ_AHEAD", 200)
    log, unread = Log(room={ONE: 0}), []

    def make_room() -> None:
        unread.extend(select.select([pipe.end], [], [], 0)[0])
        log.room[ONE] = 10_000

    pipe_steps = [
        lambda: pipe.write(*map(line, range(300))),
        lambda: pipe.write(line(0, series=str(TWO))),
        lambda: pipe.write(*map(line, range(300, 600))),
        lambda: pipe.write(line(600), line(601)),
        make_room,
        *[lambda: None] * 9,
    ]

    _, intake = pushed(pipe, log, *pipe_steps)

    assert unread
    assert indices(log.logs[TWO]) == [0]
    assert indices(log.logs[ONE]) == list(range(602))
    assert intake.fault is None


def test_what_was_read_has_some_seconds_to_be_sent(pipe: Pipe) -> None:
    """Who asks it to end does not wait for a log that stays full."""
    log = Log(room={ONE: 2})
    pipe.write(*map(line, range(10)))
    clock = Clock()
    intake = Intake(pipe.end, RULES, clock=clock)
    clock.at(0.1, intake.end)
    since = clock()

    totals = Push(log, [], clock=clock, sleep=clock.sleep).run(intake.is_overdue, intake.more)

    assert (totals.accepted, totals.unsent) == (2, 8)
    assert 8 < clock() - since < 11
