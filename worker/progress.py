"""How far one claim got: what was learned of it, what was buried, and what is to be kept."""

import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from models import state
from models.learner import Learner
from models.learners import Outlook
from shared.candle import Candle
from shared.records import Claim, Commit, DeadLetter, Entry
from shared.wire import decode_candle


@dataclass(slots=True)
class Progress:
    """A learner on its way through a claim's entries."""

    claim: Claim
    fingerprint: str
    learner: Learner
    body: bytes | None = None
    """The learner as it was taken up, where it had been kept in memory."""
    last: Candle | None = None
    learned: int = 0
    entries: list[Entry] = field(default_factory=list)
    dead_letter: DeadLetter | None = None
    said: Outlook | None = None
    """What the learner says now, where that was asked for together with others'."""
    scores: Mapping[str, Any] | None = None
    since: int | None = field(init=False)
    etag: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Token of the series once this is committed."""
    _before: tuple[int, int] = field(init=False)
    saved: bytes | None = None
    """The state to be written; None where that which is there will do."""
    is_kept: bool = False

    def __post_init__(self) -> None:
        self.since = self.claim.since
        # It may have been told to rest before it was handed over.
        self._before = self.learner.drift.count, self.learner.faults - self.learner.news

    @property
    def sequence(self) -> int:
        """Candles that the series has learned so far."""
        return self.claim.sequence + self.learned

    def learn(self, entry: Entry) -> None:
        """Learn one entry; whatever the model raises is raised on."""
        candle = decode_candle(*entry)
        self.learner.learn_one(candle)
        self.note(entry, candle)

    def note(self, entry: Entry, candle: Candle) -> None:
        """Take down that an entry has been learned."""
        self.last = candle
        self.learned += 1
        self.entries.append(entry)
        if self.since is None:
            self.since = candle.open_time

    def bury(self, entry: Entry, reason: str, error: str | Exception) -> None:
        """Step over one entry, with the reason."""
        if isinstance(error, Exception):
            error = "".join(traceback.format_exception(error))
        candle = b" ".join([entry[0].partition(b"-")[0], *entry[1][1::2]])
        self.entries.append(entry)
        self.dead_letter = DeadLetter(
            candle=candle.decode(errors="replace"), reason=reason, error=error
        )

    def save(self, signer: state.Signer, keep: Callable[[str, bytes], bool], every: int) -> None:
        """Take down what the learner knows now.

        Parameters
        ----------
        signer
            Signs the state.
        keep
            Told the new token and the learner's body, keeps it in memory if it can.
        every
            Candles after which the state of a learner that is kept is written all the same.
        """
        if not self.learned and self.body is None and not self.claim.behind:
            self.saved = self.claim.state or b""
            return
        # Nobody else would know that a model has begun to rest, or anew.
        is_due = self.learner.pop_news() or self._is_due(every)
        body = state.body(self.learner, signer.modules, to_be_read=is_due)
        if self.learner.pop_news() and not is_due:
            is_due = True
            body = state.body(self.learner, signer.modules, to_be_read=True)
        if self.learned and (not self.scores or self.scores.get("faults") != self.learner.faults):
            self.scores = self.learner.scores()

        def sealed(raw: bytes) -> bytes:
            return state.sealed(raw, self.learner, signer, self.claim.series)

        # What raises has to do so before the learner is kept in place of that which was claimed.
        self.saved = sealed(body) if is_due else None
        self.is_kept = keep(self.etag, body)
        if not self.is_kept and self.saved is None:
            self.saved = sealed(state.body(self.learner, signer.modules, to_be_read=True))

    def _is_due(self, every: int) -> bool:
        """Whether the state has to be written though this worker keeps it.

        Whoever takes the series up learns what comes after the state again, so a state is behind by
        less than ``every`` candles, and never by one that was buried. What had to be read to be
        learned is written at once: such a series may well go on to the next worker. Not all series
        have their turn at the same candle.
        """
        offset = crc32(str(self.claim.series).encode())
        turns = [(number + offset) // every for number in (self.claim.sequence, self.sequence)]
        return not self.claim.is_kept or self.dead_letter is not None or turns[0] != turns[1]

    def commit(self, forecast: bytes | None, counts: Mapping[str, int], worker: str) -> Commit:
        """Return what is to be made durable, published with it, and counted."""
        learner, (drifts, faults) = self.learner, self._before
        more = {"drifts": learner.drift.count - drifts, "faults": learner.faults - faults}
        return Commit(
            claim=self.claim,
            entries=self.entries,
            learned=self.learned,
            state=self.saved,
            fingerprint=self.fingerprint,
            scores=self.scores,
            since=self.since,
            forecast=forecast,
            dead_letter=self.dead_letter,
            keeper=worker if self.is_kept else "",
            etag=self.etag,
            counts={**counts, **{name: count for name, count in more.items() if count > 0}},
        )
