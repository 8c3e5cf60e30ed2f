"""The dead letters: candles and rows that were refused or could not be learned, with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.allowed import check_allowed, one_too_many
from shared.candle import Series
from shared.limits import Limits
from shared.link import Link
from shared.records import DeadLetter

REASONS = ("invalid", "revised", "undecodable", "model raised", "kills workers")
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter(DeadLetter):
    """A dead letter as it is kept: its id says when it came (``<UTC milliseconds>-<number>``)."""

    id: str
    series: str

    @classmethod
    def read(cls, entry_id: bytes, fields: dict[bytes, bytes]) -> Self:
        """Type one entry of the stream."""
        known = {
            name: fields.get(name.encode(), b"").decode(errors="replace")
            for name in ("series", "candle", "reason", "error")
        }
        return cls(id=entry_id.decode(), **known)

    @property
    def time_ms(self) -> int:
        """When it was set aside, UTC milliseconds."""
        return int(self.id.partition("-")[0])


class DeadLetters:
    """The newest letters of one prefix.

    Parameters
    ----------
    link
        The connection.
    limits
        Which series there may be, and about how many letters are kept; older ones go.

    Raises
    ------
    StoreError
        From every method, when Redis fails.
    """

    def __init__(self, link: Link, limits: Limits) -> None:
        self._link = link
        self._key = link.keys.dead_letters
        self._limits = limits

    def put(self, series: Series, letter: DeadLetter) -> None:
        """Set something aside, and count it for its series.

        Raises
        ------
        InvalidValue
            When the series is not allowed or one too many.
        """
        limits = self._limits
        check_allowed(series, limits)
        place = (str(series), limits.max_series, limits.dead_letters)
        if self._link.run("set_aside", *place, *letter.fields.values()) == b"too_many":
            raise one_too_many(series, limits)

    def newest(self, series: str | None = None) -> Iterator[KeptLetter]:
        """Yield the letters, of one series or all, the newest first."""
        before = "+"
        while page := self._page(before):
            before = f"({page[-1].id}"
            yield from (letter for letter in page if series in (None, letter.series))

    def get(self, letter_id: str) -> KeptLetter | None:
        """Return the letter of this id, or None."""
        with self._link.translated() as redis:
            found = redis.xrange(self._key, letter_id, letter_id)
        return KeptLetter.read(*found[0]) if found else None

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove letters for good; return how many there were."""
        dropped = 0
        with self._link.translated() as redis:
            for at in range(0, len(letter_ids), _PAGE):
                dropped += redis.xdel(self._key, *letter_ids[at : at + _PAGE])
        return dropped

    def _page(self, before: str) -> list[KeptLetter]:
        with self._link.translated() as redis:
            found: list[Any] = redis.xrevrange(self._key, max=before, count=_PAGE)
        return [KeptLetter.read(*entry) for entry in found]
