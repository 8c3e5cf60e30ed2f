"""How far one claim got: what was learned of it, what was buried, and what is to be kept."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    last: Candle | None = None
    learned: int = 0
    entries: list[Entry] = field(default_factory=list)
    dead_letter: DeadLetter | None = None
    said: Outlook | None = None
    """What the learner says now, where that was asked for together with others'."""
    scores: Mapping[str, Any] | None = None
    since: int | None = field(init=False)
    saved: bytes = field(init=False)
    """As it was claimed, until something was learned and saved."""

    def __post_init__(self) -> None:
        self.since, self.saved = self.claim.since, self.claim.state or b""

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

    def save(self, signer: state.Signer) -> None:
        """Take down what the learner knows now; without anything learned all stands as it is."""
        if self.learned:
            self.saved = state.dump(self.learner, signer, self.claim.series)
            self.scores = self.scores or self.learner.scores()

    def commit(self, forecast: bytes | None) -> Commit:
        """Return what is to be made durable, and published with it."""
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
        )
