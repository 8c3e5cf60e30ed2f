"""Who judges rules, on a real Redis: each forecast once, whatever fails meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.notifier import Notifier
from shared.alert import Alert, read_rules
from shared.alerts import Alerts
from shared.errors import StoreUnavailable
from shared.reader import AsyncForecastReader
from shared.store import Store
from shared.view import View
from shared.wire import encode_forecast
from tests.conftest import Server
from tests.integration.test_alerts import alerts as alerts  # noqa: PLC0414 -- a fixture
from tests.unit.forecasts import forecast

NAME = "x:BTC/USDT:1h"
HIGH = {"quantiles": ((130.0,) * 9,) * 2, "median": (130.0, 130.0)}
Step = Callable[[], Awaitable[None]]


def say(store: Store, hour: int, **fields: Any) -> None:
    """Publish a forecast, as workers do."""
    redis, keys = store.link.redis, store.keys
    entry = encode_forecast(forecast(hour, hour + 1, **fields))
    redis.sadd(keys.series, NAME)
    redis.set(keys.forecast(NAME), entry)
    redis.xadd(keys.forecasts(NAME), {"forecast": entry})


def judging(server: Server, rule: dict[str, Any], scene: Callable[[Step], Awaitable[None]]) -> None:
    """Let a scene go on, in which a notifier makes steps: it looks around, then reads."""

    async def run() -> None:
        view = View.connect(server.url)
        async with AsyncForecastReader(server.url) as reader:
            one = Notifier(reader, view, Alerts(view.link), read_rules([rule]))

            async def step() -> None:
                one._look_at = 0.0
                await one.step()
                await one.step()

            await one.step()
            await scene(step)

    asyncio.run(run())


def revisions(alerts: Alerts) -> list[tuple[str, int | None]]:
    """What was told, oldest first, and of which forecasts."""
    return [(one.state, one.revision) for one in reversed(alerts.newest(100))]


def failing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let Redis fail once while an alert is told."""
    tell, calls = Alerts.tell, []

    def told(self: Alerts, alert: Alert) -> bool:
        calls.append(alert)
        if len(calls) == at:
            raise StoreUnavailable("away")
        return tell(self, alert)

    monkeypatch.setattr(Alerts, "tell", told)


def test_every_forecast_is_judged(server: Server, store: Store, alerts: Alerts) -> None:
    """Also where several come at once, and by what was said before the notifier began."""
    say(store, 0)
    say(store, 1)

    async def scene(step: Step) -> None:
        say(store, 2, last_close=150.0)
        say(store, 3)
        await step()

    judging(server, {"kind": "outside"}, scene)

    assert revisions(alerts) == [("raised", 3), ("cleared", 4)]
    assert alerts.newest(9)[1].value == 150.0


@pytest.mark.parametrize("at", [1, 3])
def test_no_alert_is_lost_or_doubled_where_redis_fails(
    server: Server, store: Store, alerts: Alerts, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """What was read is judged on from the one that failed."""
    say(store, 0)

    async def scene(step: Step) -> None:
        for hour, status in enumerate(("fallback", "live", "fallback", "live"), start=1):
            say(store, hour, status=status)
        failing(monkeypatch, at)
        with pytest.raises(StoreUnavailable):
            await step()
        say(store, 5)
        await step()

    judging(server, {"kind": "fallback"}, scene)

    states = ("raised", "cleared", "raised", "cleared")
    assert revisions(alerts) == [*zip(states, (2, 3, 4, 5), strict=True)]


def test_all_that_a_new_series_says_is_judged(server: Server, store: Store, alerts: Alerts) -> None:
    """It is found when it has said some already."""

    async def scene(step: Step) -> None:
        say(store, 0)
        say(store, 1, **HIGH)
        say(store, 2)
        await step()

    judging(server, {"kind": "price", "above": 120}, scene)

    assert revisions(alerts) == [("raised", 2), ("cleared", 3)]


def test_what_is_said_of_a_series_that_cannot_be_read_stays(
    server: Server, store: Store, alerts: Alerts
) -> None:
    """There is such a series still; once there is not it is cleared."""
    say(store, 0, status="fallback")
    raised = []

    async def scene(step: Step) -> None:
        say(store, 1)
        say(store, 2, status="fallback")
        await step()
        store.link.redis.set(store.keys.model(NAME), "spoilt")
        await step()
        raised.extend(alerts.raised())
        store.link.redis.delete(store.keys.model(NAME))
        await step()
        # What was judged is not judged again.
        assert revisions(alerts) == [("raised", 1), ("cleared", 2), ("raised", 3)]
        store.link.redis.srem(store.keys.series, NAME)
        await asyncio.sleep(1)  # the clock's next turn
        await step()

    judging(server, {"kind": "fallback"}, scene)

    assert [one.rule for one in raised] == ["fallback"]
    assert alerts.raised() == []


def test_a_model_that_catches_up_raises_nothing_of_the_past(
    server: Server, store: Store, alerts: Alerts
) -> None:
    """What it says of candles long ago was decided then."""

    async def scene(step: Step) -> None:
        for hour in range(3):
            late = forecast(100).issued_at + hour
            say(store, hour, **HIGH, issued_at=late)
        await step()
        say(store, 101, **HIGH)
        await step()

    judging(server, {"kind": "price", "above": 120}, scene)

    assert revisions(alerts) == [("raised", 102)]


def test_a_clock_that_steps_back_hides_no_forecast(
    server: Server, store: Store, alerts: Alerts
) -> None:
    """What is of later candles is judged, whatever its time."""
    say(store, 0)

    async def scene(step: Step) -> None:
        say(store, 1, issued_at=forecast(1).issued_at + 600_000)
        await step()
        say(store, 2, status="fallback", issued_at=forecast(1).issued_at + 1_000)
        await step()

    judging(server, {"kind": "fallback"}, scene)

    assert revisions(alerts) == [("raised", 3)]


def test_of_two_one_judges_and_the_other_takes_over(
    server: Server, store: Store, alerts: Alerts
) -> None:
    """They do not contradict each other, though each has looked at another time."""
    say(store, 0)

    async def run() -> None:
        async with AsyncForecastReader(server.url) as one, AsyncForecastReader(server.url) as two:
            tasks = []
            for reader in (one, two):
                view = View.connect(server.url)
                judge = Notifier(
                    reader, view, Alerts(view.link), read_rules([{"kind": "fallback"}])
                )
                tasks.append(asyncio.create_task(judge.run()))
                await asyncio.sleep(0.5)
            for hour in range(1, 9):
                say(store, hour, status="fallback" if hour % 2 else "live")
                await asyncio.sleep(0.05)
            await told(8)
            tasks[0].cancel()
            await asyncio.wait(tasks[:1])
            say(store, 9, status="fallback")
            await told(9)
            tasks[1].cancel()
            await asyncio.wait(tasks)

    async def told(count: int) -> None:
        for _ in range(400):
            if len(alerts.newest(100)) >= count:
                return
            await asyncio.sleep(0.05)

    asyncio.run(run())

    assert [revision for _, revision in revisions(alerts)] == [*range(2, 11)]
