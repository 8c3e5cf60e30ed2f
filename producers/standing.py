"""Standing: what is told of how an exchange is doing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """How one exchange is doing.

    Attributes
    ----------
    series, streaming, failing
        How many are wanted, of how many of them a stream tells now, and how many get no answer.
    reconnects, corrected
        Of the stream: how often it broke, and how many of its candles were others by REST, or by a
        later word.
    bad
        Rows that were no candles.
    told
        Candles that were taken at the stream's word.
    retries, pauses
        How often a market was asked for again because the exchange failed or had just failed, and
        how often the exchange has asked to be left alone.
    holes, bridged
        How often it has had no candle for some times, and how many were made for such times.
    has_caught_up
        Whether Redis has all that the exchange had when it was asked last; of markets that it
        refuses there is nothing.
    error
        Why nothing comes, of all series or of one of those that fail.
    """

    series: int
    streaming: int
    failing: int
    reconnects: int
    corrected: int
    bad: int
    told: int
    retries: int
    pauses: int
    holes: int
    bridged: int
    has_caught_up: bool
    error: str
