"""The command that tells what somebody wants to be told of."""
# ruff: noqa: PLC0415 -- heavy imports only when needed

import signal
import threading
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from api.webhook import Webhook
    from config.settings import Settings
    from shared.alerts import Alerts

app = typer.Typer()

# What is not posted by then comes at the next start.
_END_S = 5.0


@app.command()
def notify() -> None:
    """Judge the rules of CANDLECAST_ALERTS by each forecast; tell by a Redis stream and a webhook.

    Example: candlecast notify
    """
    import asyncio

    from api.notifier import Notifier
    from config import logs, settings
    from shared.alert import read_rules
    from shared.alerts import Alerts
    from shared.reader import AsyncForecastReader
    from shared.view import View

    read = settings.load()
    logs.configure(level=read.log_level, fmt=read.log_format)
    rules = read_rules(read.alerts)
    view = View.connect(read.redis_url, prefix=read.prefix, limits=read.limits())
    alerts = Alerts(view.link)
    webhook = _webhook(read, alerts)

    async def judge() -> None:
        async with AsyncForecastReader(read.redis_url, prefix=read.prefix) as reader:
            await _until_told_to_end(Notifier(reader, view, alerts, rules).run())

    stopped = threading.Event()
    post = webhook.run if webhook else lambda _: None
    posting = threading.Thread(target=post, args=(stopped,), daemon=True)
    posting.start()
    try:
        asyncio.run(judge())
    finally:
        stopped.set()
        posting.join(_END_S)


def _webhook(read: "Settings", alerts: "Alerts") -> "Webhook | None":
    if not read.alerts_webhook:
        return None
    from api.webhook import Webhook

    webhook = Webhook(read.alerts_webhook, read.alerts_secret, alerts)
    alerts.join()  # before anything is told
    return webhook


async def _until_told_to_end(work: Awaitable[None]) -> None:
    """Do it until SIGINT or SIGTERM."""
    import asyncio

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    waiting.cancel()
    (failed, _) = await asyncio.gather(working, waiting, return_exceptions=True)
    if isinstance(failed, Exception):
        raise failed
