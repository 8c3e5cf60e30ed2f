"""Settings: defaults, the environment, and errors that name the setting."""

from pathlib import Path

import pytest

from config import settings
from config.shown import shown


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_horizons_are_set_by_timeframe_and_by_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series' own horizon wins over its timeframe's; the rest keep their defaults."""
    monkeypatch.setenv("CANDLECAST_HORIZONS", "1h=12, binance:BTC/USDT:1h=48")

    read = settings.load()

    assert read.horizon("binance:BTC/USDT:1h") == 48
    assert read.horizon("binance:ETH/USDT:1h") == 12
    assert read.horizon("binance:ETH/USDT:1m") == 30


def test_mlflow_s_own_variable_is_heard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours comes first; without either the store is a file in the data folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    beside = settings.load().tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    theirs = settings.load().tracking_uri()
    monkeypatch.setenv("CANDLECAST_MLFLOW_TRACKING_URI", "http://ours:5000")

    assert beside.startswith("sqlite:////")
    assert (theirs, settings.load().tracking_uri()) == ("http://mlflow:5000", "http://ours:5000")


def test_what_is_asked_of_champions_is_set_by_timeframe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare value is that of all timeframes; those of a name keep their own."""
    monkeypatch.setenv("CANDLECAST_GATE_CANDLES", "300, 1h=20")
    monkeypatch.setenv("CANDLECAST_GATE_SKILL", "1m=-0.1")
    monkeypatch.setenv("CANDLECAST_GATE_COVERAGE", "1h=0.5-1,0.8-0.99")
    monkeypatch.setenv("CANDLECAST_ROLLBACK_AFTER_S", "60")

    read = settings.load()

    assert read.gate("1h") == (20, 0.0, (0.5, 1.0))
    assert read.gate("1m") == (300, -0.1, (0.8, 0.99))
    assert read.gate("1d") == (250, 0.0, (0.8, 0.99))
    assert read.patience("4h") == (0.05, 60.0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HORIZONS", "1h=65", "1h=65 must be 1 to 64"),
        ("HORIZONS", "1h=many", "HORIZONS"),
        ("GATE_SKILL", "1x=0.1", "gate_skill: 1x is no timeframe"),
        ("GATE_SKILL", "much", "CANDLECAST_GATE_SKILL"),
        ("GATE_CANDLES", "1h=many", "CANDLECAST_GATE_CANDLES"),
        ("GATE_COVERAGE", "0.95-0.85", r"\*=0.95-0.85 must rise"),
        ("GATE_COVERAGE", "0.9", r"CANDLECAST_GATE_COVERAGE: .*\*=0.9 must be lowest and highest"),
        ("GATE_CANDLES", "-5", "CANDLECAST_GATE_CANDLES: .*greater than or equal to 1"),
        ("GATE_CANDLES", "1h=5,1h=7", "CANDLECAST_GATE_CANDLES: .*1h is there twice"),
        ("API_TOKENS", "pasted-token", "CANDLECAST_API_TOKENS: 0: .*candlecast api --new-token"),
        ("API_ORIGINS", "https://a.example/x", "CANDLECAST_API_ORIGINS: .*no path"),
        ("ALERTS_WEBHOOK", "ftp://host/x", "CANDLECAST_ALERTS_WEBHOOK: .*'http' or 'https'"),
        ("ALERTS_WEBHOOK", "http://", "CANDLECAST_ALERTS_WEBHOOK: .*empty host"),
        ("ALERTS_WEBHOOK", "https://host/x", "a webhook needs CANDLECAST_ALERTS_SECRET"),
        ("ALERTS_SECRET", "whsec_c2hvcnQ=", "CANDLECAST_ALERTS_SECRET: .*openssl rand"),
        ("ALERTS_SECRET", "A" * 44, "CANDLECAST_ALERTS_SECRET: .*openssl rand"),
        ("GATE_SKILL", "2", "CANDLECAST_GATE_SKILL: .*less than or equal to 1"),
        ("ROLLBACK_MARGIN", "-0.05", "CANDLECAST_ROLLBACK_MARGIN: .*greater than or equal to 0"),
        ("ROLLBACK_AFTER_S", "1h=-1", "CANDLECAST_ROLLBACK_AFTER_S: .*greater than or equal to 0"),
        ("GATE_SKILL", "nan", "CANDLECAST_GATE_SKILL: .*finite"),
        ("ROLLBACK_MARGIN", "2h3=1", "rollback_margin: 2h3 is no timeframe"),
        ("STATE_KEY", "short", "CANDLECAST_STATE_KEY: .*32"),
        ("RETENTION", "1", "CANDLECAST_RETENTION"),
        ("ENVIRONMENT", "production", "CANDLECAST_STATE_KEY"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """The error names the variable and does not show the value, which may be a secret."""
    monkeypatch.setenv(f"CANDLECAST_{name}", value)

    with pytest.raises(settings.SettingsError, match=says):
        settings.load()


@pytest.mark.parametrize(("value", "read"), [("", "shipped"), ("none", "none"), ("x/y", "x/y")])
def test_the_prior_is_the_shipped_one_by_default(
    monkeypatch: pytest.MonkeyPatch, value: str, read: str
) -> None:
    """An empty variable is none that was set: it does not name a file."""
    assert settings.load().prior == "shipped"
    monkeypatch.setenv("CANDLECAST_PRIOR", value)

    assert settings.load().prior == read


def test_settings_are_read_from_a_file_beside(tmp_path: Path) -> None:
    """A `.env` file in the working folder is read."""
    (tmp_path / ".env").write_text("CANDLECAST_PREFIX=other:\n")

    assert settings.load().prefix == "other:"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor the password in the URL are in the representation."""
    monkeypatch.setenv("CANDLECAST_STATE_KEY", "k" * 32)
    monkeypatch.setenv("CANDLECAST_REDIS_URL", "redis://:secret@localhost:1/0")

    shown = repr(settings.load())

    assert "k" * 32 not in shown
    assert "secret" not in shown


def test_options_of_exchanges_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold keys, tokens and passwords, with addresses beside or without; nor is bad JSON."""
    options = '{"binance": {"apiKey": "hidden", "httpsProxy": "http://u:hidden@proxy:1"}}'
    monkeypatch.setenv("CANDLECAST_EXCHANGES", options)
    lines = [*shown(settings.load()), repr(settings.load())]
    monkeypatch.setenv("CANDLECAST_EXCHANGES", '{"binance": "hidden"')
    with pytest.raises(settings.SettingsError, match="CANDLECAST_EXCHANGES: cannot be") as caught:
        settings.load()

    assert "CANDLECAST_EXCHANGES=********" in lines
    assert "hidden" not in "".join(lines)
    assert "hidden" not in f"{caught.value}{caught.value.__cause__}"


def test_a_development_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Two processes without a key sign alike, and only their user can read the file."""
    first, _ = settings.load().signing_keys()
    second, previous = settings.load().signing_keys()

    path = tmp_path / ".candlecast" / "state.key"
    assert first == second
    assert len(first) >= 32
    assert previous is None
    assert path.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == ["state.key"]
