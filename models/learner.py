"""One series' learner: forecaster, baseline, prequential skill and fallback."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from models import catalog
from models.baseline import RandomWalk
from models.conformal import Conformal
from models.contest import Contest
from models.drift import DriftDetector
from models.forecaster import QuantileForecaster
from models.hours import TradingHours
from models.learners import Learners, Outlook
from models.memory import Array, Memory
from models.skill import Prequential
from shared.candle import Candle, Timeframe
from shared.errors import InvalidValue

LONGEST_HORIZON = 64
_OWN: tuple[str, ...] = (
    *("sequence", "close", "rested_at", "hours", "forecaster", "baseline", "prequential", "drift"),
)


class Learner(Memory):
    """All that a series' state holds.

    Parameters
    ----------
    timeframe
        Length of the candles.
    horizon
        Number of candles to forecast, 1 to 64.
    model
        Name in the catalog; ``A+B`` is A, with B as its challenger.

    Attributes
    ----------
    sequence
        Candles that its series has learned.
    rested_at
        Open time of the candle after which a River model was last told to rest; None if never.
    drift
        Whether its model errs otherwise than it did.
    shadow
        The challenger's learner, which is never heard; None without one.
    contest
        What both were worth.

    Raises
    ------
    InvalidValue
        When the horizon or the model is none that exists.
    """

    _learned = _OWN

    def __init__(self, timeframe: Timeframe, horizon: int, model: str = "default") -> None:
        if not 1 <= horizon <= LONGEST_HORIZON:
            raise InvalidValue("horizon", horizon, f"use 1 to {LONGEST_HORIZON} candles ahead")
        self.timeframe = timeframe
        self.horizon = horizon
        self.model = model
        self.sequence = 0
        self.close = 0.0
        self.rested_at: int | None = None
        self.hours = TradingHours(timeframe.ms, horizon)
        speaker, challenger = catalog.roles(model)
        self.forecaster: QuantileForecaster = catalog.model(speaker).create(timeframe, horizon)
        self.baseline = RandomWalk()
        self.prequential = Prequential(horizon)
        self.drift = DriftDetector()
        self.shadow: Learner | None = None
        if challenger:
            self.shadow = Learner(timeframe, horizon, challenger)
            self.contest = Contest(self.prequential.horizons)
            self._learned = (*_OWN, "shadow", "contest")
        # What the model says is asked for twice a candle: to be scored, and to be published.
        self.said: Array | None = None
        self.said_after = -1
        self.gather()

    def recalled(self) -> None:
        """Forget what was said before."""
        self.said, self.said_after = None, -1

    def lie_in(self, buffer: Array) -> None:
        """Make the arrays views into a buffer; the parts' may be moving too."""
        super().lie_in(buffer)
        self.__dict__.pop("alone", None)

    @property
    def kind(self) -> tuple[Timeframe, int]:
        """Whose learners of one model can take up its state, and learn in step with it."""
        return self.timeframe, self.horizon

    @cached_property
    def alone(self) -> Learners:
        """Return the group of this one: all that is learned in step is written once."""
        return Learners((self,))

    def learn_one(self, candle: Candle) -> None:
        """Score what was forecast for a candle, then learn it.

        Raises whatever the model raises; the learner is of no use after that.
        """
        self.alone.learn((candle,))

    def learn_many(self, candles: Iterable[Candle]) -> None:
        """Do for each candle in turn what `learn_one` does, to the same bits, in less time."""
        self.alone.learn_many((candle,) for candle in candles)

    @cached_property
    def shares(self) -> tuple[tuple[int, int], ...]:
        """How many numbers and how many other values of its memory are the speaker's, and so on.

        Those of the speaker come first, then the challenger's.
        """
        if not self.shadow:
            return ((self.extent, len(self.holders)),)
        ((numbers, values),) = self.shadow.shares
        contest = self.contest.extent, len(self.contest.holders)
        own = self.extent - numbers - contest[0], len(self.holders) - values - contest[1]
        return own, (numbers, values)

    @cached_property
    def _rivers(self) -> list[Conformal]:
        """What holds estimators of a user's: of the challenger, then of the speaker."""
        both = [one.forecaster for one in (self.shadow, self) if one]
        return [forecaster for forecaster in both if isinstance(forecaster, Conformal)]

    @property
    def faults(self) -> int:
        """At how many candles estimators of a user's have failed."""
        return sum(river.faults for river in self._rivers)

    @property
    def news(self) -> int:
        """How many have begun to rest, or anew, since that was last taken."""
        return sum(river.is_news for river in self._rivers)

    def pop_news(self) -> bool:
        """Take the news; return whether there were any."""
        news = self.news
        for river in self._rivers:
            river.is_news = False
        return news > 0

    @cached_property
    def is_ours(self) -> bool:
        """Whether it holds no estimators of a user's."""
        return not self._rivers

    def forget_unless(self, can_be_read: Callable[[Any], str]) -> None:
        """Begin anew with estimators of the user's that hold what could not be read back."""
        for river in self._rivers:
            river.forget_unless(can_be_read)

    def rest(self, why: str, *, all_of_them: bool = True) -> bool:
        """Leave estimators of the user's alone for a while; return whether there were any to.

        Not all of them means the first that is awake: the challenger's, where there are two.
        """
        rested = (river.rest(why) for river in self._rivers)
        return self._note_rest(any([*rested]) if all_of_them else any(rested))

    def tire(self, limit_s: float) -> None:
        """Have a rest those that have taken longer, for two candles of a few."""
        self._note_rest(any([*(river.tire(limit_s) for river in self._rivers)]))

    def _note_rest(self, is_rest: bool) -> bool:  # noqa: FBT001
        if is_rest:
            self.rested_at = self.hours.open_time
        return is_rest

    def take_over(self, other: "Learner") -> None:
        """Know what another of the same model knows, challengers left out."""
        for name in _OWN:
            value = getattr(other, name)
            if isinstance(value, Memory):
                getattr(self, name).recall(value.memory())
            else:
                setattr(self, name, value)
        self.recalled()

    def inherit(self, other: "Learner") -> None:
        """Begin with what another series has taught a learner of this kind; this one is new.

        Raises
        ------
        InvalidValue
            When the other is of another timeframe, horizon or model, or its model cannot hand on
            what it knows.
        """
        for name in ("timeframe", "horizon", "model"):
            its, own = getattr(other, name), getattr(self, name)
            if its != own:
                raise InvalidValue(name, str(its), f"begin with a model of {name} {own}")
        hand_on = getattr(self.forecaster, "inherit", None)
        if hand_on is None:
            raise InvalidValue("model", self.model, "it has no `inherit`, and begins with nothing")
        hand_on(other.forecaster)

    def outlook(self) -> Outlook:
        """Return what is to be said now; defined from the first candle on."""
        return self.alone.outlooks()[0]

    def scores(self) -> dict[str, Any]:
        """Return everything about skill, ready for JSON.

        ``finite`` is whether what the model says now is, ``fault`` what was wrong with a model of
        the user's at the newest candle. ``horizons`` maps each scored horizon to
        its scores, ``recent`` (the last thousand candles or so) and ``total``: candles, crps (of
        the log return), coverage, mae (price), mape, direction_accuracy, brier, qlike (of forecasts
        from the hundredth candle on), and those of the baseline; null where nothing counts.
        """
        return self.alone.scores()[0]
