"""The HTTP interface: forecasts asked for at a steady rate, beside readers of the stream.

    python -m benchmarks.serving [--rate N] [--readers N] [--series N] [--updates N] [--seconds N]
                                 [--repeat N] [--workers N] [--json]

One process of `candlecast api` has one core; workers learn candles of the same series meanwhile, so
many updates a second. A request's time runs from when it was due, so that a server that stands
still shows. It is measured with the readers of `/v1/stream` and without. An event's time runs from
when its forecast was made, by the machine's clock.
"""

import asyncio
import itertools
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import numpy as np

from benchmarks.load import load
from benchmarks.report import Report, options
from benchmarks.stage import COMMAND, Stage, ended, stage

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

SHARES = (0.5, 0.99, 0.999)
_CONNECTIONS = 32
_READY_S = 30.0
_REST_S = 0.5


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeat=3)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--readers", type=int, default=1_000, help="of the stream")
    parser.add_argument("--series", type=int, default=50)
    parser.add_argument("--updates", type=float, default=5, help="candles a second")
    parser.add_argument("--seconds", type=float, default=15, help="of each repetition")
    args = parser.parse_args()
    sizes = ("rate", "readers", "series", "updates", "seconds", "workers")
    report = Report("HTTP interface", **{name: getattr(args, name) for name in sizes})
    alone, beside, lags, scrapes = [], [], [], []
    with stage(args.workers) as made, load(made, args.series, args.updates), served(made) as url:
        scene = Scene(url, [f"bench:LOAD{i}/USDT:1h" for i in range(args.series)])
        for _ in range(args.repeat):
            alone.append(asyncio.run(scene.asked(args.rate, args.seconds, readers=0)))
            beside.append(asyncio.run(scene.asked(args.rate, args.seconds, args.readers)))
            lags.append(scene.lags)
            scrapes.append(_scraped(url))
    for name, found in (
        ("latest", alone),
        (f"latest, {args.readers} readers beside", beside),
        ("event", lags),
    ):
        for share in SHARES:
            values = [float(np.quantile(times, share)) for times in found]
            report.add(f"{name}: p{100 * share:g}", "ms", values)
    report.add("events", "1/s", [len(times) / args.seconds for times in lags])
    report.add(f"scrape of {args.series} series", "ms", scrapes)
    report.show(as_json=args.as_json)


@contextmanager
def served(made: Stage) -> Iterator[str]:
    """Run the interface on one core; give its address."""
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [COMMAND, "api", "--port", "0"],
            env=made.env | {"CANDLECAST_API_PER_MINUTE": "0"},
            stderr=log,
            start_new_session=True,
        )
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        try:
            yield _address(Path(log.name))
        finally:
            process.terminate()
            ended(process)


def _scraped(url: str) -> float:
    """Return the milliseconds that a scrape by Prometheus takes."""
    began = time.perf_counter()
    with urlopen(f"{url}/metrics") as answer:  # noqa: S310 -- our own address
        answer.read()
    return 1_000 * (time.perf_counter() - began)


def _address(log: Path) -> str:
    deadline = time.monotonic() + _READY_S
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
        if time.monotonic() > deadline:
            raise SystemExit(f"it does not serve: {log.read_text()}")
        time.sleep(0.05)
    return found[0]


class Scene:
    """Those who ask, and those who follow.

    Parameters
    ----------
    url
        Of the interface.
    series
        What they want.

    Attributes
    ----------
    lags
        Milliseconds from a forecast to its event, of the last repetition.
    """

    def __init__(self, url: str, series: list[str]) -> None:
        self._place = urlsplit(url)
        self._series = series
        self.lags: list[float] = []

    async def asked(self, rate: float, seconds: float, readers: int) -> list[float]:
        """Return the milliseconds of each request."""
        begun = [asyncio.Event() for _ in range(readers)]
        following = [
            asyncio.create_task(self._follow(name, sent))
            for name, sent in zip(itertools.cycle(self._series), begun, strict=False)
        ]
        async with asyncio.timeout(_READY_S):  # each is sent the newest
            await asyncio.gather(*(sent.wait() for sent in begun))
        await asyncio.sleep(_REST_S)
        self.lags = []
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(_CONNECTIONS):
            free.put_nowait(await self._connected())
        began, loop = time.perf_counter() + 0.1, asyncio.get_running_loop()
        asking = []
        for number in range(int(rate * seconds)):
            due, name = began + number / rate, self._series[number % len(self._series)]
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            asking.append(loop.create_task(self._ask(free, name, due)))
        times = await asyncio.gather(*asking)
        for task in following:
            task.cancel()
        found = await asyncio.gather(*following, return_exceptions=True)
        if faults := [one for one in found if not isinstance(one, asyncio.CancelledError)]:
            raise SystemExit(f"{len(faults)} readers were cut off: {faults[0]!r}")
        while not free.empty():
            free.get_nowait()[1].close()
        return times

    async def _connected(self) -> Connection:
        return await asyncio.open_connection(self._place.hostname, self._place.port)

    def _request(self, path: str, name: str) -> bytes:
        query = urlencode({"series": name})
        return f"GET {path}?{query} HTTP/1.1\r\nHost: {self._place.netloc}\r\n\r\n".encode()

    async def _ask(
        self,
        free: asyncio.Queue[Connection],
        name: str,
        due: float,
    ) -> float:
        reader, writer = await free.get()
        writer.write(self._request("/v1/forecast", name))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if not head.startswith(b"http/1.1 200 ") or not length:
            raise SystemExit(f"not answered: {head.decode()}")
        await reader.readexactly(int(length[1]))
        took = time.perf_counter() - due
        free.put_nowait((reader, writer))
        return 1_000 * took

    async def _follow(self, name: str, sent: asyncio.Event) -> None:
        reader, writer = await self._connected()
        writer.write(self._request("/v1/stream", name))
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    sent.set()
                    now_ms = time.time() * 1_000
                    self.lags.append(now_ms - json.loads(line[6:])["issued_at"])
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        raise ConnectionError("the stream has ended")


if __name__ == "__main__":
    main()
