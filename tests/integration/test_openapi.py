"""The interface does what its description says, whatever it is asked."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, settings

from api.access import Access
from api.answers import Said
from api.app import create
from shared.store import Store
from tests.conftest import COMMAND
from tests.integration.steps import SERIES
from tests.integration.test_api import WALK, learn
from worker.embedded import redis_server

nothing: Any = None  # to be described it asks nobody
described = create(nothing, nothing, Access("127.0.0.1")).openapi()
# The stream does not end.
schema = schemathesis.openapi.from_dict(described).exclude(path="/v1/stream")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is served, with one series."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    with redis_server(folder / "redis", "secret") as url:
        learn(Store.connect(url), SERIES, WALK[:5])
        env = {"CANDLECAST_REDIS_URL": url, "CANDLECAST_API_PER_MINUTE": "0"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [COMMAND, "api", "--port", "0"], env=os.environ | env, stderr=log
            )
        try:
            while not (found := re.search(r"http://\S+:\d+", (folder / "log").read_text())):
                assert process.poll() is None
                time.sleep(0.05)
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


def test_its_examples_are_answers() -> None:
    """Whoever copies one has a forecast, and a question with an answer."""
    (example,) = described["components"]["schemas"]["Said"]["examples"]
    parameters = described["paths"]["/v1/forecast"]["get"]["parameters"]

    assert Said.model_validate(example).model_dump(mode="json", by_alias=True) == example
    assert parameters[0]["examples"]["hours"]["value"] == example["series"]


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_it_answers_as_it_says(case: "schemathesis.Case[Any]", address: str) -> None:
    """Every status, header and body is described; wrong questions are refused."""
    case.call_and_validate(base_url=address)
