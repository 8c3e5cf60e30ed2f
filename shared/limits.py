"""The constants of the protocol."""

from dataclasses import dataclass

RULES = 2
"""Version of the rules: workers of another wait, as for another model. In 2 states are behind."""
_DAY_MS = 86_400_000


def life_ms(candle_ms: int) -> int:
    """Return how long what is said of a candle may be of use to somebody: three more, or a day."""
    return max(3 * candle_ms, _DAY_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Constants of the protocol; times in milliseconds, other numbers counts."""

    claim_series: int = 64
    claim_candles: int = 2_000
    series_candles: int = 500
    lease_ms: int = 2_000
    job_ms: int = 1_000
    series_ms: int = 250
    flush_ms: int = 50
    state_every: int = 8
    """Candles after which a worker that keeps a learner writes the state again; at most 32."""
    kept_series: int = 10_000
    """Learners that a worker keeps in its memory at most, 38 KB each."""
    max_waiting: int = 10_000
    max_series: int = 20_000
    allowed_series: tuple[str, ...] = ("*",)
    """Shell patterns of the series that may be appended to."""
    unclosed_grace_ms: int = 5_000
    retention: int = 2_000
    history: int = 100
    dead_letters: int = 10_000
    fleet_ttl_ms: int = 60_000
    tick_guard_ms: int = 500
    snapshot_period_ms: int = 900_000
