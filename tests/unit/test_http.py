"""A data service on this machine as a source: its address, its login, its moods."""

import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from producers.http import HttpSource
from producers.http_options import HttpOptions
from producers.pause import Pause
from producers.polling import ExchangeFeed
from producers.rows import ExchangeError, Unreachable
from shared.candle import Series, Timeframe
from shared.errors import InvalidValue
from tests.unit.data_service import PASSWORD, Answer, Service, row, running, walk

HOUR = 3_600_000
T0 = 1_704_067_200_000
FRAME = Timeframe("1h")
SERIES = Series("desk", "BTC/USDT", FRAME)
CANDLES = walk(FRAME, T0, 30)
ROWS = [
    [c.open_time, repr(c.open), repr(c.high), repr(c.low), repr(c.close), c.volume] for c in CANDLES
]


@pytest.fixture
def service() -> Iterator[Service]:
    """A service with hours and days of one pair."""
    with running() as service:
        service.candles = {
            ("BTCUSDT", "hourly"): CANDLES,
            ("BTCUSDT", "1d"): walk(Timeframe("1d"), T0, 10),
        }
        yield service


def options(service: Service, **other: Any) -> HttpOptions:
    """How this service is asked."""
    known: dict[str, Any] = {
        "url": f"{service.url}/candles/{{pair}}/{{timeframe}}?from={{since_ms}}&n={{limit}}",
        "rows": "data.candles",
        "timeframes": {"1h": "hourly"},
    }
    return HttpOptions(**known | other)


def with_login(service: Service, **other: Any) -> HttpOptions:
    """The same with a login."""
    login = {"login_url": f"{service.url}/login", "user": "ann", "password": PASSWORD}
    return options(service, **login | other)


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.now


def test_every_placeholder() -> None:
    """Each is filled in, and nothing of a symbol can change the address."""
    names = "base quote symbol pair timeframe minutes since_ms since_s since_iso limit"
    url = "https://desk.example/" + "/".join(f"{{{name}}}" for name in names.split())

    found = HttpOptions(url=url, limit=9).address(Series.parse("x:A.B/C:D:4h"), T0)

    assert found.split("/")[3:] == [
        *("A.B", "C", "A.B%2FC%3AD", "A.BC", "4h", "240"),
        *("1704067200000", "1704067200", "2024-01-01T00%3A00%3A00Z", "9"),
    ]
    assert HttpOptions(url=url).address(Series.parse("x:AAPL:1d"), T0).split("/")[3:7] == [
        *("AAPL", "", "AAPL", "AAPL")
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "desk.example/candles"}, "url='desk.example/candles': write https://host/path"),
        ({"url": "ftp://desk.example"}, "write https://host/path"),
        ({"url": "https://[desk/"}, "write https://host/path"),
        ({"url": "https://ann:hush@desk.example/"}, "use the login"),
        ({"url": "ann:hush@desk.example/"}, "write https://host/path"),
        ({"url": "https://desk.example/{coin}"}, "url='{coin}': use the placeholders {base}"),
        ({"url": "https://desk.example/{base!r}"}, "use the placeholders"),
        ({"url": "https://desk.example/{base.__class__}"}, "use the placeholders"),
        ({"url": "https://desk.example/{base"}, "use the placeholders"),
        ({"login_url": "https://desk.example/"}, "needs a user and a password"),
        ({"login_url": "desk", "user": "ann", "password": "hush"}, "login_url='desk': write"),
        ({"token": "hush hush"}, "must be printable ASCII"),
        ({"token": "hush\n"}, "must be printable ASCII"),
        ({"fields": {"price": "p"}}, "fields='price': name one of open_time, open"),
    ],
)
def test_wrong_options_say_the_remedy(wrong: dict[str, Any], says: str) -> None:
    """No secret is shown."""
    with pytest.raises(InvalidValue) as error:
        HttpOptions(**{"url": "https://desk.example/"} | wrong)

    assert says in str(error.value)
    assert "hush" not in str(error.value)


def test_secrets_are_not_shown(service: Service) -> None:
    """Options may be logged."""
    assert PASSWORD not in repr(with_login(service, token="hush"))
    assert "hush" not in repr(options(service, token="hush"))


def test_hours_and_days_by_pair(service: Service) -> None:
    """Rows come in order, from the time on that was asked for."""
    source = HttpSource("desk", options(service, limit=7))

    assert source.rows(SERIES, T0) == ROWS
    assert source.rows(SERIES, T0 + 28 * HOUR) == ROWS[28:]
    days = Series("desk", "BTC/USDT", Timeframe("1d"))
    assert len(source.rows(days, T0)) == 10
    assert source.rows(Series("desk", "ETH/USDT", FRAME), T0) == []
    assert service.asked[0] == f"/candles/BTCUSDT/hourly?from={T0}&n=7"
    assert service.signed == [None] * 4


def test_rows_before_the_time_asked_for_are_left_out(service: Service) -> None:
    """Some services answer with whole days, whatever was asked for."""
    whole = json.dumps({"data": {"candles": [row(candle) for candle in reversed(CANDLES)]}})
    service.moods = [Answer(body=whole)]

    assert HttpSource("desk", options(service)).rows(SERIES, T0 + 3 * HOUR) == ROWS[3:]


def test_a_given_token_signs_and_its_end_is_an_error(service: Service) -> None:
    """Without a login there is nothing to renew it with."""
    service.token, service.left = "given", 1
    source = HttpSource("desk", options(service, token="given"))

    assert source.rows(SERIES, T0) == ROWS
    with pytest.raises(ExchangeError, match=r"desk: HTTP 401 from .*what the token may read"):
        source.rows(SERIES, T0)


@pytest.mark.parametrize("form", [False, True])
def test_a_token_is_fetched_and_renewed_when_it_is_refused(service: Service, form: object) -> None:
    """As JSON or as a form; who asks does not notice."""
    service.uses = 2
    source = HttpSource("desk", with_login(service, login_form=form))

    for _ in range(5):
        assert source.rows(SERIES, T0) == ROWS

    assert service.logins == [{"username": "ann", "password": PASSWORD}] * 3
    assert service.signed == [f"Bearer secret-{n}" for n in (1, 1, 1, 2, 2, 2, 3)]


def test_a_token_is_renewed_once_only(service: Service) -> None:
    """A service that refuses a new token too refuses."""
    source = HttpSource("desk", with_login(service))
    service.moods = [Answer(401), Answer(401)]

    with pytest.raises(ExchangeError, match="HTTP 401"):
        source.rows(SERIES, T0)

    assert len(service.logins) == 2
    service.moods = [Answer(403)]
    with pytest.raises(ExchangeError, match="HTTP 403"):
        source.rows(SERIES, T0)
    assert source.rows(SERIES, T0) == ROWS
    assert len(service.logins) == 2


def test_a_wrong_password_is_said_and_not_shown(service: Service) -> None:
    """Though the service's own answer shows it."""
    wrong = with_login(service, password="wrong-horse", login_fields=("user", "password"))

    with pytest.raises(ExchangeError, match=r"HTTP 401 from .*/login: check .*password") as error:
        HttpSource("desk", wrong).rows(SERIES, T0)

    assert service.logins == [{"user": "ann", "password": "wrong-horse"}]
    assert "wrong-horse" not in str(error.value)
    assert not isinstance(error.value, Unreachable)


def test_a_login_without_a_token_is_an_error(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another page than the login answers something else."""
    monkeypatch.setattr(service, "log_in", lambda _: Answer(body='{"access_token": "hush hush"}'))

    with pytest.raises(ExchangeError, match="answers no access_token and no token") as error:
        HttpSource("desk", with_login(service)).rows(SERIES, T0)

    assert "hush" not in str(error.value)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_a_pause_is_kept_for_all_series(service: Service, status: int, as_date: object) -> None:
    """The service is not asked before it wants to be, and then at once."""
    clock = Clock()
    source = HttpSource("desk", options(service), Pause("desk", clock))
    after = formatdate(usegmt=True, timeval=None) if as_date else "0"
    service.moods = [
        Answer(status, headers={"Retry-After": after}),
        Answer(status, headers={"Retry-After": "120"}),
    ]
    for _ in range(2):
        with pytest.raises(Unreachable, match=f"HTTP {status}"):
            source.rows(SERIES, T0)

    clock.now = 119.0
    with pytest.raises(Unreachable, match="asked for a pause, of which 1 s are left"):
        source.rows(Series("desk", "ETH/USDT", FRAME), T0)

    clock.now = 120.0
    assert source.rows(SERIES, T0) == ROWS
    assert len(service.asked) == 3


@pytest.mark.parametrize("header", ["soon", "nan", "-5", "Wed, 99 Foo", ""])
def test_a_pause_that_cannot_be_read_is_none(service: Service, header: str) -> None:
    """Whoever asks waits by himself."""
    source = HttpSource("desk", options(service))
    service.moods = [Answer(503, headers={"Retry-After": header})]
    with pytest.raises(Unreachable):
        source.rows(SERIES, T0)

    assert source.rows(SERIES, T0) == ROWS


MOODS = {
    "failure": (Answer(500, "secret"), Unreachable, "HTTP 500 from"),
    "gateway": (Answer(502, "<html>"), Unreachable, "HTTP 502 from"),
    "nothing there": (Answer(404), ExchangeError, "HTTP 404 from .*: check the address"),
    "a page": (
        Answer(200, "<html>secret", {"Content-Type": "text/html"}),
        ExchangeError,
        r"is no JSON \(text/html\): check the address",
    ),
    "half an answer": (Answer(200, '{"data": {"cand'), ExchangeError, "is no JSON"),
    "other JSON": (Answer(200, '{"error": "secret"}'), ExchangeError, "no list at 'data.candles'"),
    "other host": (
        Answer(302, headers={"Location": "https://elsewhere.example/secret"}),
        ExchangeError,
        "to another host, https://elsewhere.example:443: give that address",
    ),
    "other port": (
        Answer(307, headers={"Location": "//127.0.0.1:1/"}),
        ExchangeError,
        "another host",
    ),
    "nowhere": (Answer(302, headers={"Location": "http://[x"}), ExchangeError, "cannot be asked"),
    "short": (
        Answer(200, "{}", {"Content-Length": "500"}),
        Unreachable,
        r"does not answer \(\w+\): check the address and the network",
    ),
}


@pytest.mark.parametrize(("mood", "kind", "says"), MOODS.values(), ids=MOODS)
def test_moods_are_clear_errors_without_secrets(
    mood: Answer, kind: type[ExchangeError], says: str, service: Service
) -> None:
    """What may pass is told from what may not; neither token, query nor answer is shown."""
    source = HttpSource("desk", options(service, token="secret-token"))
    service.moods = [mood]

    with pytest.raises(ExchangeError, match=says) as error:
        source.rows(SERIES, T0)

    assert type(error.value) is kind
    assert str(error.value).startswith("desk")
    assert "secret" not in str(error.value)
    assert "from=" not in str(error.value)
    assert source.rows(SERIES, T0) == ROWS


def test_a_redirect_on_the_same_host_is_followed(service: Service) -> None:
    """With the token, and not in a circle."""
    source = HttpSource("desk", options(service, token="given"))
    there = Answer(301, headers={"Location": f"/candles/BTCUSDT/hourly?from={T0}"})
    service.moods = [there]
    assert source.rows(SERIES, T0) == ROWS
    assert service.signed == ["Bearer given"] * 2

    service.moods = [there] * 9
    with pytest.raises(ExchangeError, match="redirects in a circle"):
        source.rows(SERIES, T0)


def test_who_does_not_answer_is_unreachable(service: Service) -> None:
    """No server at all, or one that is silent."""
    url = "http://127.0.0.1:1/{pair}?key=secret"
    with pytest.raises(
        Unreachable, match=r"at http://127.0.0.1:1/BTCUSDT does not answer"
    ) as error:
        HttpSource("desk", HttpOptions(url=url)).rows(SERIES, T0)
    assert "secret" not in str(error.value)

    source = HttpSource("desk", options(service, timeout_s=0.05))
    with service.silent(), pytest.raises(Unreachable, match=r"does not answer \(ReadTimeout\)"):
        source.rows(SERIES, T0)


def test_a_netrc_takes_no_token_s_place(
    service: Service, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written there for this host is for others."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password hush\n")
    monkeypatch.setenv("NETRC", str(netrc))

    HttpSource("desk", options(service, token="given")).rows(SERIES, T0)

    assert service.signed == ["Bearer given"]


def test_a_feed_takes_the_closed_candles(service: Service) -> None:
    """In pages, numbers read from text, the open one left for later, a bad one refused."""
    service.page = 10
    bad = {"t": T0 // 1_000 + 30 * 3_600, "o": "1", "h": "2", "l": "2", "c": "2", "v": 1}
    refused: list[tuple[str, str]] = []
    now = T0 + 29 * HOUR + 60_000
    source = HttpSource("desk", options(service), now_ms=lambda: now)
    feed = ExchangeFeed(source, SERIES, T0, lambda *found: refused.append(found))

    assert [candle for _ in range(3) for candle in feed.take(500)] == CANDLES[:29]
    assert feed.wait_s() > 0

    service.moods = [Answer(body=json.dumps({"data": {"candles": [bad]}}))]
    now += 3 * HOUR
    feed.rewind(CANDLES[-1].open_time)
    assert feed.take(500) == []
    assert [json.loads(text)[0] for text, _ in refused] == [T0 + 30 * HOUR]
    assert "open=1.0: must be >= low" in refused[0][1]
