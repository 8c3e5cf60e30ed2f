"""Where a reader stands in the histories of some series, whoever asks Redis for it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from shared.errors import DecodeError
from shared.forecast import Forecast
from shared.wire import decode_forecast

Entry = tuple[bytes, dict[bytes, bytes]]
Entries = Sequence[Entry]
_FIELD = b"forecast"
_BEFORE_ALL = b"0-0"
_NONE = (-1, 0)
PAGE = 8


class Following:
    """What has been seen of the histories of some series, and what comes next.

    A reader first asks for the newest entry of each (`newest`), then for all that follow (`news`).
    After an outage it asks for the newest ones again: a Redis that has forgotten some goes on from
    earlier ids, so that all that it still has is looked through.

    Parameters
    ----------
    streams
        Their keys.
    """

    def __init__(self, streams: Iterable[str]) -> None:
        self._after = dict.fromkeys(streams, _BEFORE_ALL)
        self._last: dict[str, tuple[int, int]] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    @property
    def streams(self) -> list[str]:
        """The keys of the histories that are followed."""
        return [*self._after]

    def change(self, streams: Iterable[str]) -> None:
        """Follow these from now on; of those that are new the newest entry is to be asked for."""
        wanted = [*streams]
        self._after = {one: self._after.get(one, _BEFORE_ALL) for one in wanted}
        for known in (self._last, self._seen):
            for gone in known.keys() - self._after.keys():
                del known[gone]

    @property
    def after(self) -> dict[str, bytes]:
        """Behind which entry to read on, by stream: the argument of XREAD."""
        return self._after

    def newest(self, found: Iterable[Entries]) -> list[Forecast]:
        """Take the newest entry of each stream, where there is one; return what is news in them."""
        forecasts: list[Forecast] = []
        for stream, entries in zip(self.streams, found, strict=True):
            begins = stream not in self._last
            if entries and begins:
                # One that cannot be read is none; what follows it is.
                self._last[stream], self._seen[stream] = _place(entries[0][0]), _NONE
                self._after[stream] = entries[0][0]
                with suppress(DecodeError):
                    forecast = _decoded(entries[0][1])
                    self._seen[stream] = forecast.candle_open_time, forecast.revision
                    forecasts.append(forecast)
            elif not entries or _place(entries[0][0]) < self._last[stream]:
                self._after[stream] = _BEFORE_ALL
        return forecasts

    def news(self, found: Iterable[tuple[bytes, Entries]]) -> list[Forecast]:
        """Take an answer of XREAD; return the forecasts in it, of each series in their order.

        An entry that is no forecast is passed over.
        """
        forecasts: list[Forecast] = []
        for stream, entries in found:
            for entry_id, fields in entries:
                self._after[stream.decode()] = entry_id
                with suppress(DecodeError):
                    forecast = _decoded(fields)
                    if self._is_news(stream.decode(), entry_id, forecast):
                        forecasts.append(forecast)
        return forecasts

    def _is_news(self, stream: str, entry_id: bytes, forecast: Forecast) -> bool:
        """Say whether an entry is news."""
        place, last = _place(entry_id), self._last.get(stream, (0, 0))
        order = forecast.candle_open_time, forecast.revision
        # Behind what was seen all is new; before it only what Redis has said since it forgot.
        is_news = place > last or order > self._seen.get(stream, _NONE)
        if is_news:
            self._seen[stream] = order
        self._last[stream] = max(place, last)
        return is_news


class Past:
    """What was said of some series since a time, by time, without ever holding much of it.

    Parameters
    ----------
    ends
        The last entry of each history, as all were at one moment: nothing behind it is past.
    since
        UTC milliseconds.
    """

    def __init__(self, ends: Mapping[str, bytes], since: int) -> None:
        self._ends = ends
        # Of those of which more is to be read.
        self._starts = dict.fromkeys(ends, str(since))
        self._held: dict[str, Entries] = dict.fromkeys(ends, ())
        self._asked: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether all is told."""
        return not self._starts and not any(self._held.values())

    def wanted(self) -> dict[str, tuple[str, bytes]]:
        """Return from which entry to which to read on, by stream, where nothing is held."""
        self._asked = [stream for stream in self._starts if not self._held[stream]]
        return {stream: (self._starts[stream], self._ends[stream]) for stream in self._asked}

    def next(self, pages: Iterable[Entries]) -> Iterator[Forecast]:
        """Take the first `PAGE` entries of each wanted; yield what is before all that is unread."""
        for stream, entries in zip(self._asked, pages, strict=True):
            self._held[stream] = entries
            if len(entries) == PAGE:
                self._starts[stream] = f"({entries[-1][0].decode()}"
            else:
                del self._starts[stream]
        ends = [_time(self._held[stream][-1]) for stream in self._starts]
        ready: list[Entry] = []
        for stream, held in self._held.items():
            count = bisect_right(held, min(ends), key=_time) if ends else len(held)
            ready += held[:count]
            self._held[stream] = held[count:]
        for _, fields in sorted(ready, key=_time):
            with suppress(DecodeError):
                yield _decoded(fields)


def forecasts_of(entries: Iterable[tuple[Any, dict[bytes, bytes]]]) -> list[Forecast]:
    """Return the forecasts of a history, by revision; what cannot be read is left out."""
    found = []
    for _, fields in entries:
        with suppress(DecodeError):
            found.append(_decoded(fields))
    return sorted(found, key=_revision)


def is_past(said: Forecast, newest: Forecast | None) -> bool:
    """Whether a forecast is not behind another of its series.

    One that begins anew has earlier candles and is said later; where Redis's clock has stepped
    back, what is said next has later candles.
    """
    if newest is None or said.issued_at > newest.issued_at:
        return False
    order, last = ((one.candle_open_time, one.revision) for one in (said, newest))
    return order <= last


def _decoded(fields: dict[bytes, bytes]) -> Forecast:
    return decode_forecast(fields.get(_FIELD, b""))


def _revision(forecast: Forecast) -> int:
    return forecast.revision


def _place(entry_id: bytes) -> tuple[int, int]:
    time_ms, _, number = entry_id.partition(b"-")
    return int(time_ms), int(number)


def _time(entry: Entry) -> int:
    return _place(entry[0])[0]
