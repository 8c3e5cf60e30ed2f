"""The command that follows live markets."""
# ruff: noqa: FBT002, PLC0415 -- flags are booleans, and heavy imports only when needed

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from producers import cli

if TYPE_CHECKING:
    from producers.live import Live
    from producers.pause import Pause
    from shared.candle import Series
    from shared.producers import Producers

app = typer.Typer()

Exchange = Annotated[
    str | None, typer.Argument(help="Name in ccxt, such as binance; or of a data service.")
]
Symbols = Annotated[list[str] | None, typer.Argument(help="Symbols in ccxt's spelling.")]
Frames = Annotated[
    list[str] | None,
    typer.Option(
        help="Length of the candles; may be given several times. By default 1m, for `update` 1h."
    ),
]
History = Annotated[
    int, typer.Option(min=1, help="Candles of history, where a series has none yet.")
]

_LOOK_S = 0.2
_NOTE_S = 5.0


@app.command()
def live(
    exchange: Exchange = None,
    symbols: Symbols = None,
    timeframe: Frames = None,
    history: History = 500,
    poll: Annotated[
        bool, typer.Option("--poll", help="Ask by REST alone, without websockets.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Ask for each candle by REST, even where a stream's word is final."
        ),
    ] = False,
    seconds: cli.Seconds = None,
) -> None:
    """Push the closed candles of exchanges, as they close.

    Goes on where the logs end, and fills what is missing since. Without an exchange it follows what
    CANDLECAST_MARKETS names, on any number of them; SIGHUP reads the settings again.

    Example: candlecast live kraken BTC/USD ETH/USD --timeframe 1m --timeframe 1h --history 1000
    """
    from config import settings

    def follow(desks: "Live") -> int:
        read = settings.load()
        found = _named(exchange, symbols or (), timeframe or (), read.markets, "1m")
        options = {one.exchange: (read.exchanges.get(one.exchange), read.bridge) for one in found}
        desks.want(found, options)
        return len(found)

    with cli.stopping(seconds) as stopped, _hangup() as reload_due:
        store = cli.connected()  # at the start a Redis that is not there is no reason to wait
        desks = _desks(history, follow=not poll, confirm=confirm)
        follow(desks)
        note = _Note(desks, store.producers)
        try:
            _follow(desks, partial(_reload, desks, follow, reload_due), note, stopped)
        finally:
            desks.stop()
            note.leave()


def fetch(
    exchange: str | None,
    symbols: "Sequence[str]",
    frames: "Sequence[str]",
    history: int,
    wait_s: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """Push what exchanges have by now, and no more; return what is wrong with those that fail.

    ``meanwhile`` is called again and again: a log that is full takes no more until it is learned.
    """
    from rich.console import Console

    from config import settings
    from producers import display

    desks, started = _desks(history, follow=False), time.monotonic()
    desks.want(_named(exchange, symbols, frames, settings.load().markets, "1h"))
    with cli.stopping(wait_s) as stopped, display.progress(None, Console(stderr=True)) as show:
        while not stopped() and not desks.has_caught_up:
            desks.check()
            show(desks.totals, desks.history)
            meanwhile()
            time.sleep(_LOOK_S)
        failing = {
            name: one.error or "not all of its candles are there yet"
            for name, one in desks.standings.items()
            if one.failing or not one.has_caught_up
        }
    desks.stop()
    typer.echo(display.summary(desks.totals, time.monotonic() - started))
    if desks.totals.unsent:
        failing["Redis"] = f"{desks.totals.unsent} candles could not be sent"
    return failing


def _desks(history: int, *, follow: bool, confirm: bool = False) -> "Live":
    """Return desks that open exchanges as the settings say by then."""
    from config import settings
    from producers.desk import Desk, Order
    from producers.live import Live
    from producers.venues import open_venue
    from shared.store import Store

    at_start = settings.load()
    # The command as a whole has one Redis, whatever the settings say later.
    connect = partial(Store.connect, at_start.redis_url, prefix=at_start.prefix)

    def desk(name: str, wanted: "Sequence[Series]", pause: "Pause") -> Desk:
        read = settings.load()
        options = read.exchanges.get(name)
        open_store = partial(connect, limits=read.limits())
        opened = partial(open_venue, name, options, follow=follow, confirm=confirm, pause=pause)
        return Desk(name, Order(wanted, history, read.bridge), opened, open_store, pause)

    return Live(desk)


def _named(
    exchange: str | None,
    symbols: "Sequence[str]",
    frames: "Sequence[str]",
    markets: "Sequence[str]",
    usual: str,
) -> "list[Series]":
    """Return what the arguments name, else what the settings do."""
    from shared.candle import Series, Timeframe
    from shared.errors import InvalidValue

    if exchange and not symbols:
        raise InvalidValue("symbols", "", "name one market or more: BTC/USDT ETH/USDT")
    if exchange:
        lengths = [Timeframe(name) for name in frames or (usual,)]
        return [Series(exchange, symbol, each) for symbol in symbols for each in lengths]
    if frames:
        raise InvalidValue(
            "timeframe",
            frames[0],
            "name an exchange and symbols too: markets of the settings have their own",
        )
    if not markets:
        raise InvalidValue(
            "exchange", "", "name an exchange and symbols, or set CANDLECAST_MARKETS"
        )
    return [Series.parse(name) for name in markets]


def _follow(
    desks: "Live",
    reload: Callable[[], object],
    note: "_Note",
    stopped: Callable[[], bool],
) -> None:
    """Show how it goes, until told to stop or nothing is left to follow."""
    from rich.console import Console

    from producers import display

    started = time.monotonic()
    with display.progress(None, Console(stderr=True)) as show:
        while not stopped():
            reload()
            desks.check()
            show(desks.totals, None if desks.has_caught_up else desks.history)
            note()
            time.sleep(_LOOK_S)
    desks.stop()
    bad = (desks.bad, desks.bad)
    typer.echo(display.summary(desks.totals, time.monotonic() - started, bad_rows=bad))


class _Note:
    """Tells Redis now and then how the exchanges are doing, for `candlecast status`."""

    def __init__(self, desks: "Live", producers: "Producers") -> None:
        self._desks = desks
        self._producers = producers
        # In containers of one host all may have the same name and number.
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self._due = 0.0

    def __call__(self) -> None:
        """Tell it, if it is time."""
        from shared.errors import StoreError

        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _NOTE_S
        told = {name: asdict(one) for name, one in self._desks.standings.items()}
        with suppress(StoreError):  # the desks say it, and wait
            self._producers.note(self._name, told)

    def leave(self) -> None:
        """Say good-bye."""
        from shared.errors import StoreError

        with suppress(StoreError):
            self._producers.leave(self._name)


def _reload(desks: "Live", follow: "Callable[[Live], int]", is_due: Callable[[], bool]) -> None:
    """Follow what the settings name by now, if that is due; as before where they are wrong."""
    import structlog

    from config.settings import SettingsError
    from shared.errors import CandlecastError

    if not is_due():
        return
    log = structlog.get_logger(__name__)
    try:
        count = follow(desks)
    except (CandlecastError, SettingsError) as error:
        log.error("markets_not_reloaded", error=str(error))  # noqa: TRY400
        return
    log.info("markets_reloaded", series=count)


@contextmanager
def _hangup() -> Iterator[Callable[[], bool]]:
    """Turn SIGHUP into a condition that holds once for each; a closed terminal ends the command."""
    asked, was_terminal = False, sys.stderr.isatty()

    def ask(_number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        if was_terminal and not os.isatty(2):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):
                os.dup2(nowhere, number)
            os.kill(os.getpid(), signal.SIGTERM)

    def due() -> bool:
        nonlocal asked
        due, asked = asked, False
        return due

    before = signal.signal(signal.SIGHUP, ask)
    try:
        yield due
    finally:
        signal.signal(signal.SIGHUP, before)
