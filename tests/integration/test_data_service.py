"""A data service with a login, through `Push` into a real server."""

import threading
from collections.abc import Callable

from producers.http import HttpSource
from producers.http_options import HttpOptions
from producers.polling import ExchangeFeed
from producers.push import Push
from shared.candle import Series, Timeframe
from shared.store import Store
from tests.unit.data_service import PASSWORD, Answer, Service, running, walk

T0 = 1_577_836_800_000  # 2020-01-01


def source(service: Service) -> HttpSource:
    """The service as a source, asked as its owner would be told to."""
    options = HttpOptions(
        url=f"{service.url}/candles/{{pair}}/{{timeframe}}?from={{since_ms}}",
        rows="data.candles",
        login_url=f"{service.url}/login",
        user="ann",
        password=PASSWORD,
    )
    return HttpSource("desk", options)


def test_logs_equal_the_service_s_candles(store: Store, eventually: Callable[..., None]) -> None:
    """Hours with a hole and days, through tokens that end and answers that fail."""
    frames = [Timeframe("1h"), Timeframe("1d")]
    with running() as service:
        hours, days = (walk(frame, T0, 900) for frame in frames)
        del hours[300:340]
        service.candles = {("BTCUSDT", "1h"): hours, ("BTCUSDT", "1d"): days}
        service.uses, service.page = 2, 100
        asked = source(service)
        wanted = [Series("desk", "BTC/USDT", frame) for frame in frames]
        assert asked.rows(wanted[0], T0)
        service.moods = [Answer(500), Answer(503)]
        feeds = [ExchangeFeed(asked, series, T0) for series in wanted]
        over = threading.Event()
        worker = threading.Thread(target=Push(store, feeds).run, args=(over.is_set,))
        worker.start()
        try:
            eventually(lambda: all(map(store.candles, wanted)), "both have begun")
            service.moods = [Answer(200, "<html>")]
            eventually(
                lambda: [store.candles(series) for series in wanted] == [hours, days],
                "both logs are whole",
            )
        finally:
            over.set()
            worker.join()

        assert len(service.logins) > 2
        assert [record.revised for record in store.models(wanted)] == [0, 0]
