"""The field: which model learns, and what is done by a worker that has to wait for it."""

from ctypes import c_int8
from enum import IntEnum
from typing import Literal

import structlog

from shared.records import Tick
from shared.store import Store
from worker.prepare import Preparer
from worker.teaching import Model

log = structlog.get_logger(__name__)

# So many looks in a row must find the field empty before one takes it that has waited: after an
# outage longer than the name's life, workers of the model that learned come back within one or two.
_LOOKS = 5


class Part(IntEnum):
    """What a worker, or those before it, did last.

    Nothing, learn, wait, or wait for an empty field alone: after a turn, or where another one came
    first.
    """

    NONE = 0
    LEARN = 1
    WAIT = 2
    LOST = 3


class Field:
    """One worker's part in the field (design rule 11).

    Parameters
    ----------
    store
        Where it is said which model learns.
    model
        What this worker learns by; None for one that learns nothing, and waits for nobody.
    part
        A `Part`, shared with the workers before and after this one.
    take_over, rolling
        Whether to take the field at once, or once prepared. Only the first worker of its kind does
        the former, and only those the latter that have not had the field, or seen another one take
        it, yet.
    """

    def __init__(
        self,
        store: Store,
        model: Model | None,
        part: c_int8,
        *,
        take_over: bool = False,
        rolling: bool = False,
    ) -> None:
        self._store = store
        self._model = model
        self._fleet = model.fleet if model else ""
        self._part = part
        self._rolling = rolling
        self._claim: Literal["", "relieve", "take over"] = ""
        if take_over and part.value == Part.NONE:
            self._claim = "take over"
        self._waits_for: str | None = None
        self._found_empty = 0
        self._preparer: Preparer | None = None

    @property
    def waits(self) -> bool:
        """Whether another model holds the field."""
        return self._waits_for is not None

    def tick(self) -> Tick | None:
        """Keep the field, take it where that is right, or wait; return what a holder is to do."""
        waited = self._part.value in (Part.WAIT, Part.LOST)
        look = bool(self._fleet) and waited and self._found_empty < _LOOKS
        tick = self._store.tick(self._fleet, self._claim or ("look" if look else ""))
        self._claim = ""
        self._found_empty = 0 if tick.holder else self._found_empty + 1
        if look and not tick.holder:
            return None
        if self._fleet and tick.holder != self._fleet:
            self._wait_for(tick.holder)
            return None
        if self._waits_for:
            log.info("took over", own=self._fleet)
        self._waits_for, self._part.value, self._preparer = None, Part.LEARN, None
        return tick

    def miss(self) -> None:
        """Note that a tick has failed: nobody knows whether the field was empty."""
        self._found_empty = 0

    def prepare(self, until: float) -> None:
        """Teach the model beside those who hold the field; claim it once ready, if told to.

        ``until`` is a time of `time.monotonic`.
        """
        if self._model is None:
            return
        if self._preparer is None:
            self._preparer = Preparer(self._store, self._model, rolls=self._rolls)
        self._preparer.prepare(until)
        self._claim = "relieve" if self._rolls and self._preparer.is_ready else ""

    @property
    def _rolls(self) -> bool:
        return self._rolling and self._part.value == Part.WAIT

    def _wait_for(self, holder: str) -> None:
        is_news = self._waits_for != holder
        # Who has had a turn takes no more, nor does who saw another one come first.
        has_changed = self._waits_for is not None and is_news
        had_turn = self._part.value in (Part.LEARN, Part.LOST)
        self._part.value = Part.LOST if had_turn or has_changed else Part.WAIT
        self._waits_for = holder
        if is_news:
            self._preparer = None  # what it is to do once ready may be another thing now
            log.warning(self._prospects(holder), holder=holder, own=self._fleet)

    def _prospects(self, holder: str) -> str:
        """Say in what the workers that learn now differ from this one, and what comes of it."""
        model, _, key = holder.rpartition("-")
        own_model, _, own_key = self._fleet.rpartition("-")
        if self._rolls:
            then = (
                "this one prepares and takes over once it is ready, but not within two minutes "
                "after it was relieved"
            )
        elif self._part.value == Part.LOST:
            then = (
                "this one has had its turn, or another one came first: it takes over when nobody "
                "learns; end it, or start it anew"
            )
        else:
            then = "--rolling takes over once prepared, --take-over at once"
        if model == own_model and key != own_key:
            return (
                "waiting: the same model learns with another signing key; set CANDLECAST_STATE_KEY "
                f"(or CANDLECAST_DATA_DIR) as its workers have it; else {then}"
            )
        return f"waiting: another model, rules or horizons learn now; {then}"
