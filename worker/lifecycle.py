"""What is put back in force: a version, the champion, or another series' champion as a start."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from models import state
from models.learner import Learner
from shared.candle import Series, utc
from shared.errors import InvalidValue, StateError
from shared.records import Event
from shared.store import Store
from worker.judge import Versions
from worker.recall import loaded
from worker.version import Hole, Version


@dataclass(frozen=True, slots=True)
class Restore:
    """A version of a series that may be put back in force."""

    series: Series
    version: Version
    learner: Learner
    raw: bytes
    first: int | None
    """Open time of the first retained candle."""

    def __str__(self) -> str:
        version = self.version
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        return (
            f"{self.series}: version {version.number}{aliases} has learned {version.sequence} "
            f"candles, up to {utc(version.cursor)} UTC; those kept after it are learned again"
        )

    @property
    def hole(self) -> str:
        """Say which candles the model would never learn, if there are any."""
        ends = self.version.cursor
        step = self.series.timeframe.ms
        if self.first is None:
            return f"no candle is kept; the model ends at {utc(ends)} UTC"
        if self.first <= ends:
            return ""
        missing = max(0, (self.first - ends) // step - 1)
        return (
            f"version {self.version.number} ends at {utc(ends)} UTC, the candles kept begin at "
            f"{utc(self.first)} UTC: up to {missing} in between would never be learned"
        )


class Restorer:
    """Puts versions back in force.

    Parameters
    ----------
    store
        Where they go.
    versions
        The registry.
    signer
        Checks the states of versions, and signs those that are made of another series'.
    fingerprint
        Of the model that the workers run, by series: they would learn any other anew.
    goes_on
        Whether they go on all the same from what a learner knows.
    """

    def __init__(
        self,
        store: Store,
        versions: Versions,
        signer: state.Signer,
        fingerprint: Callable[[Series], str],
        goes_on: Callable[[Series, Learner], bool] = lambda _series, _learner: False,
    ) -> None:
        self._store = store
        self._versions = versions
        self._signer = signer
        self._fingerprint = fingerprint
        self._goes_on = goes_on

    def find(self, series: Series, number: int | None = None) -> Restore:
        """Load a version, checked; without a number the champion.

        Raises
        ------
        InvalidValue
            When there is no such version.
        StateError
            When it cannot be loaded, or is of another model than the workers run.
        RegistryError
            When MLflow fails.
        """
        found = self._versions.versions(series)
        wanted = "a champion" if number is None else f"version {number}"
        chosen = [
            one for one in found if (one.is_champion if number is None else one.number == number)
        ]
        if not chosen:
            there = ", ".join(str(one.number) for one in found) or "none"
            raise InvalidValue("version", wanted, f"{series} has none such; versions: {there}")
        (version,) = chosen
        now = self._fingerprint(series)
        raw = self._versions.state(series, version.number)
        learner = loaded(raw, self._signer, version.fingerprint, series)
        if version.fingerprint != now and not self._goes_on(series, learner):
            raise StateError(
                f"version {version.number} of {series} is of model {version.fingerprint}, the "
                f"workers run {now}: set CANDLECAST_MODEL, _CHALLENGER, _PRIOR and "
                "_HORIZONS as they were, restart the workers, and try again"
            )
        knows = learner.hours.open_time or 0
        # Candles may have been buried after the last one that was learned.
        if learner.sequence != version.sequence or knows > version.cursor:
            raise StateError(
                f"version {version.number} of {series} holds {learner.sequence} candles up to "
                f"{utc(knows)}, its tags say {version.sequence} up to {utc(version.cursor)}: they "
                "were changed"
            )
        version = replace(version, cursor=knows)
        first, _ = self._store.retained(series)
        return Restore(series, version, learner, raw, first)

    def warm_start(self, series: Series, other: Restore) -> str:
        """Begin a series with what another's version knows; its retained candles are learned anew.

        Returns
        -------
        What it began with, as its versions will say.

        Raises
        ------
        InvalidValue
            When the other is the same or of another timeframe, or there is no such series.
        StateError
            When the workers run another model for this series.
        """
        if series == other.series:
            raise InvalidValue(
                "--from", str(series), "name another series: `restore` alone puts its own back"
            )
        if series.timeframe != other.series.timeframe:
            raise InvalidValue(
                *("timeframe", str(other.series.timeframe)),
                f"{series} begins with what a series of {series.timeframe} candles knows",
            )
        if self._fingerprint(series) != other.version.fingerprint:
            raise StateError(
                f"{other.series} is of model {other.version.fingerprint}, for {series} the workers "
                f"run {self._fingerprint(series)}"
            )
        taught = other.learner
        learner = Learner(series.timeframe, taught.horizon, taught.model)
        learner.inherit(taught)
        origin = f"{other.series}@{other.version.number}"
        answer = self._store.restore(
            series,
            etag=None,
            cursor=None,
            state=state.dump(learner, self._signer, series),
            fingerprint=other.version.fingerprint,
            scores={},
            sequence=0,
            since=None,
            event=Event(
                event="warm-started", version=other.version.number, why="by hand", origin=origin
            ),
        )
        if answer != "ok":
            raise InvalidValue("series", str(series), "it has been retired")
        return origin

    def put_back(
        self, found: Restore, event: Event, *, etag: str | None = None, accept_gap: bool = False
    ) -> bool:
        """Put a version in force; the retained candles after it are learned again.

        Returns
        -------
        Whether it is; False where ``etag`` is given and the live model has moved on from it.

        Raises
        ------
        Hole
            When candles are missing that it would never learn, and that is not accepted.
        InvalidValue
            When there is no such series.
        """
        event = replace(event, origin=found.version.origin)
        answer = self._store.restore(
            found.series,
            etag=etag,
            cursor=found.version.cursor,
            state=found.raw,
            fingerprint=found.version.fingerprint,
            scores=found.learner.scores(),
            sequence=found.learner.sequence,
            since=found.version.since,
            accept_hole=accept_gap,
            event=event,
        )
        if answer == "hole":
            raise Hole("gap", found.hole or "the log has moved on", "accept it with --accept-gap")
        if answer == "unknown":
            raise InvalidValue("series", str(found.series), "it has been retired")
        return answer == "ok"
