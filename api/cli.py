"""Commands that read: one series' forecast, and the state of everything."""

import gc
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from shared.forecast import Forecast

app = typer.Typer(no_args_is_help=True)

# So long a request that is under way when the API ends may take.
_GRACE_S = 3
_COLLECT = 10_000, 50, 100
_SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)


@app.command()
def forecast(
    series: Annotated[str, typer.Argument(help="exchange:symbol:timeframe")],
    json: Annotated[bool, typer.Option("--json", help="Print the JSON of the contract.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with each new forecast.")] = False,
) -> None:
    """Show the newest forecast of a series.

    Example: candlecast forecast binance:BTC/USDT:1h
    """
    from config import settings
    from shared.reader import ForecastReader

    read = settings.load()
    reader = ForecastReader(read.redis_url, prefix=read.prefix)
    try:
        for said in reader.watch(series) if watch else [reader.latest(series)]:
            typer.echo(said.model_dump_json()) if json else _print_forecast(said)
    except KeyboardInterrupt:
        return


def _print_forecast(said: "Forecast") -> None:
    now_ms = time.time_ns() // 1_000_000
    fresh = "STALE" if said.is_stale(now_ms) else "fresh"
    typer.echo(
        f"{said.series} after {_utc(said.candle_open_time)} UTC: close {said.last_close:g}, "
        f"{said.status}, {fresh}, {said.sequence} candles learned by {said.model.name}"
    )
    columns = [(level, said.quantile_levels.index(level)) for level in _SHOWN]
    rows = [
        (
            *(str(step + 1), _utc(said.target_times[step])),
            *(f"{row[index]:.7g}" for _, index in columns),
            f"{said.prob_up[step]:.0%}",
        )
        for step, row in enumerate(said.quantiles)
    ]
    _print_rows(("ahead", "closes (UTC)", *(f"{level:.0%}" for level, _ in columns), "up"), rows)
    typer.echo(_skill(said))


def _print_rows(headings: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    """Align columns by spaces alone, as readable in a pipe as on a terminal."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells))


def _skill(said: "Forecast") -> str:
    scored = [skill for skill in said.skill if skill.crps is not None]
    if not scored:
        return "not scored yet"
    return "CRPS skill " + ", ".join(f"{skill.horizon}: {skill.crps:+.1%}" for skill in scored)


def _utc(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(time_ms / 1_000))


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every series: candles, what waits, what was refused, freshness, memory and skill.

    Example: candlecast status --json
    """
    from json import dumps

    from api.status import report
    from config import settings
    from shared.view import View

    read = settings.load()
    state = report(View.connect(read.redis_url, prefix=read.prefix, limits=read.limits()))
    typer.echo(dumps(state, indent=2)) if json else _print_status(state)


# A live producer says every five seconds how it is doing.
_SILENT_S = 20
_COUNTED = ("reconnects", "retries", "pauses", "holes", "bridged", "corrected", "bad")
_ALWAYS = ("learned", "waiting", "dead_letters", "lost")
_RARE = (
    *("duplicates", "revised", "refused", "holes", "missing"),
    *("rebuilds", "restores", "rollbacks"),
)


def _print_status(state: "dict[str, Any]") -> None:
    jobs = ", ".join(f"{count} on {name}" for name, count in state["jobs"].items())
    share = state["used_memory_share"]
    memory = "no maxmemory" if share is None else f"{share:.0%} of maxmemory used"
    _print_folded(
        f"Redis {state['redis']}, {memory}; "
        f"learning: {state['fleet'] or 'nobody (no worker in the last minute)'}; "
        f"{state['pending']} series pending; jobs: {jobs}; dead letters: {state['dead_letters']}"
    )
    if state["suspended"]:
        _print_folded(
            "SUSPENDED by `rq suspend`: nothing is learned until `rq resume` or its time is over"
        )
    if state["state_keys"]:
        counts = (f"{count} of key {key}" for key, count in state["state_keys"].items())
        _print_folded(f"states signed: {', '.join(counts)}")
    _print_folded(_snapshots(state["snapshots"]))
    for name, producer in state["producers"].items():
        _print_folded(f"producer {name}: {_producer(producer)}")
    for row in state["series"]:
        _print_folded(f"{row['series']}: {_condition(row, state)}; {_counts(row)}")
        scored = [skill for skill in row["skill"] if skill["crps"] is not None]
        skill = ", ".join(f"{skill['crps']:+.1%} at {skill['horizon']}" for skill in scored)
        _print_folded(
            f"  CRPS skill {skill or 'not scored yet'}; model version {_version(row)}; "
            f"memory {row['memory_bytes'] / 1_024:.0f} KB"
        )
        if drift := row["drift"]:
            _print_folded(
                f"  drifts {drift['count']}; the newest since {_utc(drift['since'])} UTC: "
                f"{drift['signal']} from {drift['before']:.3g} to {drift['after']:.3g}"
            )
        if row["challenger"]:
            _print_folded(f"  challenger {_challenger(row['challenger'])}")
    for series, why in state["unreadable"].items():
        _print_folded(f"{series}: UNREADABLE: {why}")


def _challenger(row: "dict[str, Any]") -> str:
    """Say how a challenger does, and how sure it is that it does better or worse."""
    known = {at: one for at, one in row["horizons"].items() if one["crps"] is not None}
    skill = ", ".join(f"{one['crps']:+.1%} at {at}" for at, one in known.items())
    sure = [
        f"{one['ratio']:.3f} at {at} (p {one['p_value']:.2g})"
        for at, one in known.items()
        if one["p_value"] is not None
    ]
    words = [f"{row['model']}: CRPS skill {skill or 'not scored yet'}"]
    words += [f"CRPS over that of the model that speaks {', '.join(sure)}"] * bool(sure)
    words += [f"FAULT {row['fault']}"] * bool(row["fault"])
    return "; ".join(words)


def _snapshots(rounds: "dict[str, Any]") -> str:
    """Say how the rounds of snapshots go, what is unusual in capitals."""
    words = [f"last round {_ago(rounds['ended_at'])}" if rounds["ended_at"] else "no round yet"]
    if rounds["moved"]:
        words.append(f"{rounds['moved']} series moved since, {rounds['none_yet']} have none yet")
    if oldest := rounds["oldest"]:
        words.append(f"oldest {_ago(oldest['snapshot_at'])} ({oldest['series']})")
    if rounds["error"]:
        words.append(
            f"MLFLOW FAILS since {_ago(rounds['failing_since'])}, {rounds['tries']} times: "
            f"{rounds['error']}; next try {_utc(rounds['next_at'])} UTC"
        )
    return f"snapshots: {'; '.join(words)}"


def _producer(told: "dict[str, Any]") -> str:
    """Say how a producer's exchanges are doing, what is unusual in capitals."""
    words = []
    if (silent_s := told["silent_ms"] // 1_000) >= _SILENT_S:
        words.append(f"NOT HEARD OF for {silent_s} s")
    for exchange, one in told["exchanges"].items():
        said = [f"{exchange} {one.get('series')} series, {one.get('streaming')} by stream"]
        said += [f"{one[name]} {name}" for name in _COUNTED if one.get(name)]
        if one.get("failing"):
            said.append(f"{one['failing']} FAILING: {one.get('error')}")
        words.append(", ".join(said))
    return "; ".join(words)


def _ago(time_ms: int) -> str:
    seconds = max(0, int(time.time() - time_ms / 1_000))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004


def _condition(row: "dict[str, Any]", state: "dict[str, Any]") -> str:
    """Say in words how a series stands, what is unusual in capitals."""
    none = "UNREADABLE forecast" if row["series"] in state["unreadable"] else "no forecast"
    words = [row["status"] or "-", {None: none, True: "STALE", False: "fresh"}[row["stale"]]]
    words += ["suspect"] * (row["suspect_until"] is not None) + ["PAUSED"] * row["paused"]
    words += [f"{row['speaks']} SPEAKS"] * (row["status"] == "fallback")
    words += ["the model does WORSE THAN NAIVE"] * row["worse_than_baseline"]
    words += [f"FAULT {row['fault']}"] * bool(row["fault"])
    # The name of those who learn ends with the id of the key that they sign with.
    if state["fleet"] and row["state_key"] not in (None, state["fleet"].rpartition("-")[2]):
        words.append(f"KEY {row['state_key']}")
    return ", ".join(words)


def _counts(row: "dict[str, Any]") -> str:
    """Name the counters: some at all times, the others where they say something."""
    names = [*_ALWAYS, *(name for name in _RARE if row[name])]
    return ", ".join(f"{row[name]} {name.replace('_', ' ')}" for name in names)


def _print_folded(line: str) -> None:
    """Break a line between words, at the same place on every terminal."""
    from textwrap import TextWrapper

    wrapper = TextWrapper(100, subsequent_indent="  ", break_on_hyphens=False)
    wrapper.break_long_words = False
    typer.echo(wrapper.fill(line))


def _version(row: "dict[str, Any]") -> str:
    words = [str(row["snapshot_version"] or "none yet")]
    words += [row["snapshot_alias"]] * bool(row["snapshot_alias"])
    if row["champion"] and row["snapshot_alias"] != "champion":
        words.append(f"the champion is version {row['champion']['version']}")
    if row["below_champion_since"]:
        words.append("BELOW ITS CHAMPION")
    return ", ".join(words)


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Instead of CANDLECAST_API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of CANDLECAST_API_PORT.")] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Print a token for an app, and its hash, and end.")
    ] = False,
) -> None:
    """Serve forecasts, candles and skill over HTTP, read-only; /openapi.json describes it.

    Example: candlecast api --port 8000
    """
    from api import access
    from config import settings
    from shared.errors import CandlecastError

    if new_token:
        token, digest = access.new_token()
        typer.echo(f"token, for the app: {token}\nfor CANDLECAST_API_TOKENS: {digest}")
        return
    try:
        import uvicorn

        from api.app import create
        from api.queries import Queries
    except ImportError as error:
        raise CandlecastError("the API needs its extra: pip install 'candlecast[api]'") from error
    from shared.reader import AsyncForecastReader, ForecastReader
    from shared.view import View

    read = settings.load()
    place = host or read.api_host
    may = access.Access(place, read.api_tokens, read.api_per_minute)
    view = View.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
    queries = Queries(view, ForecastReader(read.redis_url, prefix=read.prefix))
    follow = partial(AsyncForecastReader, read.redis_url, prefix=read.prefix)
    served = create(queries, follow, may, read.api_origins)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends in good order at these, and then raises them once more.
        signal.signal(number, lambda *_: None)
    _collect_seldom()
    uvicorn.run(
        served,
        host=place,
        port=read.api_port if port is None else port,
        access_log=False,
        proxy_headers=False,  # whoever asks could be anybody by them
        timeout_graceful_shutdown=_GRACE_S,  # streams have no end of their own
    )


def _collect_seldom() -> None:
    """Spare the readers: a full collection stops them all for as long as it takes.

    What there is at the start stays, and the rest is looked through less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
