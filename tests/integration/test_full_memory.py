"""What operators can still do when Redis has no memory left at all."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.records import DeadLetter
from shared.store import Store
from tests.integration.spoilt import many
from tests.integration.steps import FLEET, candles
from worker.embedded import redis_server

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ONE, TWO = many(2)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Store]:
    """A store with two series and a dead letter, in a server that takes nothing more."""
    with redis_server(tmp_path / "redis", "test") as url:
        store = Store.connect(url)
        for series in (ONE, TWO):
            store.append(series, candles(0, 3))
        store.tick(FLEET)
        store.dead_letters.put(ONE, DeadLetter(candle="row 7", reason="invalid", error="none"))
        client: Any = store.link.redis
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        yield store


@pytest.fixture
def run(full: Store, candlecast: Run) -> Run:
    """Run the command on that server."""
    kwargs: Any = full.link.redis.get_connection_kwargs()
    url = f"redis://default:test@{kwargs['host']}:{kwargs['port']}/0"
    assert "CANDLECAST_REDIS_URL" not in os.environ
    return lambda *args: candlecast(*args, CANDLECAST_REDIS_URL=url)


def test_those_who_learn_keep_the_field_while_redis_is_full(full: Store) -> None:
    """Else whoever waits for it would have it once there is room again."""
    full.link.redis.pexpire(full.keys.fleet, 1_000)

    assert full.tick(FLEET).holder == FLEET

    assert full.link.redis.pttl(full.keys.fleet) > 50_000


def test_what_makes_room_works_while_redis_is_full(full: Store, run: Run) -> None:
    """A series rests, goes on and goes; dead letters go too."""
    for command in (["pause"], ["resume"], ["retire", "--no-archive", "--yes"]):
        done = run("series", *command, str(ONE))
        assert (done.returncode, done.stderr) == (0, ""), command
        if command != ["retire", "--no-archive", "--yes"]:
            assert full.model(ONE).paused == (command == ["pause"])
    assert full.series() == [TWO]
    assert full.end(ONE) is None

    done = run("dead-letters", "drop", "--all", "--yes")

    assert (done.returncode, done.stderr) == (0, "")
    assert full.overview()["dead_letters"] == 0


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["rebuild", "--yes"], id="rebuild"),
        pytest.param(["series", "retire", "--yes"], id="retire", marks=pytest.mark.at_length),
    ],
)
def test_what_does_not_names_what_would_help(full: Store, run: Run, command: list[str]) -> None:
    """Nothing is half done, and the remedy is in the one line that is said."""
    done = run(*command, str(ONE))

    assert done.returncode != 0
    assert "raise maxmemory, or make room with" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert full.series() == [ONE, TWO]
    assert full.model(ONE).waiting == 3
