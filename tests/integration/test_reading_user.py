"""A user of Redis's own who may only read, as the page about security has it."""

import re

import pytest
import redis

from shared.reader import ForecastReader
from shared.store import Store
from tests.conftest import ROOT, Server
from tests.integration.steps import SERIES, walk
from tests.integration.test_api import learn

PAGE = (ROOT / "docs" / "security.md").read_text()
(COMMAND,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)


def test_an_app_reads_and_cannot_write(store: Store, server: Server) -> None:
    """Forecasts by every way of reading them; a state it cannot even see changed."""
    learn(store, SERIES, walk(20))
    store.link.redis.execute_command(*COMMAND.replace(">PASSWORD", ">secret").split())
    address = re.sub(r"//[^@]*@", "//app:secret@", server.url)
    reader = ForecastReader(address)
    app = redis.Redis.from_url(address, protocol=2)

    assert reader.latest(str(SERIES)).sequence == 20
    assert len(reader.history(str(SERIES))) == 20
    assert next(iter(reader.watch(str(SERIES)))).sequence == 20
    assert app.smembers("candlecast:series") == {str(SERIES).encode()}
    for command in (
        ("SET", "candlecast:forecast:x", "1"),
        ("HSET", f"candlecast:model:{SERIES}", "state", "1"),
        ("LPUSH", "rq:queue:candles", "1"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("GET", "elsewhere"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            app.execute_command(*command)  # type: ignore[no-untyped-call]
