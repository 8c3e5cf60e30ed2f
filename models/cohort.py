"""Forecasters of a kind that learn in step: what is done with arrays is done for all at once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.distribution import at_levels, to_prices
from models.features import clock
from models.memory import Array, bounded, column, each, rows, stacked
from models.moves import Move
from models.pending import Slots
from models.scale import Origin, ScaleExpert, regressors
from models.stillness import AWAKE

if TYPE_CHECKING:
    from models.forecaster import ScaleMixtureForecaster

# What is known at an origin, in the columns of the rows that wait for its targets.
LOG_CLOSE, SPENT, EXPECTED, MIXED, CODE, EXPERTS = 0, 1, 2, 3, 4, 5

LABEL_FLOOR = 1e-9
_LABEL_CLIP = 7.0
_LARGEST_RETURN = 100.0
_RETURN_SHARE = 0.7


class Cohort:
    """Several forecasters with the same parameters, each of its own series.

    They say and learn to the last bit what each would alone, in a fraction of the time: calling
    NumPy costs more than what it does with the few numbers of one series. What works with single
    numbers, or differently from series to series, the members do themselves.

    Parameters
    ----------
    members
        n of them; where there are several, their arrays lie in the rows of one: see `stacked`.
    """

    def __init__(self, members: "Sequence[ScaleMixtureForecaster]") -> None:
        self.members = members
        self._one = members[0]
        stack = stacked(members)
        self._scale, self._pending = stack.scale, stack.pending
        self._calendar, self._features = stack.calendar, stack.features
        self._mixture, self._tracker = stack.mixture, stack.tracker
        panels = zip(*(member.experts for member in members), strict=True)
        # One alone may have any experts: they are left as they are.
        self._experts: list[ScaleExpert] = [stacked(experts) for experts in panels]

    def learn(self, ys: Sequence[float], xs: Sequence[Mapping[str, Any]]) -> None:
        """Learn the next candle of each, as its `learn_one` would."""
        moves = [member.begin(x) for member, x in zip(self.members, xs, strict=True)]
        times = [x["open_time"] for x in xs]
        position = column([member.hours.position for member in self.members])
        slots = self._pending.slots(position)
        self._learn_labels(slots, position, times, moves)
        self._features.learn(moves, [member.calendar.now for member in self.members])
        for member, y, move in zip(self.members, ys, moves, strict=True):
            member.end(y, move)
        self._look_ahead(slots, position, times, moves)

    def forecast_quantiles(self, levels: Sequence[float]) -> Array:
        """Return quantiles of the close prices of all horizons, shape (n, H, len(levels))."""
        one, members = self._one, self.members
        deviation = np.exp(np.matvec(one.between, self._scale) / 2) * one.all_roots
        returns = np.matmul(one.between, self._tracker.predict_one()) * deviation[..., None]
        for at in self._standing_still():
            if members[at].counts.code:
                members[at].count_in(each(returns, members)[at])
        np.maximum.accumulate(returns, axis=-1, out=returns)
        returns = bounded(returns, _LARGEST_RETURN)
        for member, own in zip(members, each(returns, members), strict=True):
            member.ticks.snap(own)
        closes = column([member.ticks.close for member in members], axes=2)
        return to_prices(at_levels(returns, levels), closes)

    def _standing_still(self) -> list[int]:
        """Which series mostly stand still."""
        shares = each(self._features.stillness, self.members)
        settled = enumerate(zip(self.members, shares, strict=True))
        return [at for at, (member, share) in settled if share > AWAKE and member.is_settled]

    def _learn_labels(
        self, slots: Slots, position: Any, times: Sequence[int], moves: Sequence[Move]
    ) -> None:
        """Teach the parts what the horizons that end with these candles have brought."""
        one, members = self._one, self.members
        self._pending.rows[..., SPENT] += column(
            [
                _RETURN_SHARE * move.log_return**2 + (1 - _RETURN_SHARE) * move.variance
                for move in moves
            ]
        )
        due, known = self._pending.due(slots, column(times))
        label = np.log(due[..., SPENT] / one.steps + LABEL_FLOOR) - due[..., EXPECTED]
        label = bounded(label, _LABEL_CLIP)
        for expert in self._experts:
            expert.learn_one(label, position, known)
        error = column([move.log_close for move in moves]) - due[..., LOG_CLOSE]
        z = error / (np.exp(due[..., MIXED] / 2) * one.roots)
        for at in self._standing_still():
            own = each(due, members)[at], moves[at].log_close, each(known, members)[at]
            members[at].learn_counts(*own)
        self._tracker.learn_one(z, known)
        gradient = self._tracker.gradient
        self._mixture.learn_one(due[..., EXPERTS:], due[..., MIXED], gradient, known)

    def _look_ahead(
        self, slots: Slots, position: Any, times: Sequence[int], moves: Sequence[Move]
    ) -> None:
        """Forecast the scale at the knots, and keep what is known until the targets arrive."""
        one, members = self._one, self.members
        paths = rows([member.hours.path for member in members])
        ahead = self._calendar.ahead(paths)
        features = self._features.transform(
            ahead, moves, [member.calendar.now for member in members]
        )
        inputs = regressors(features, rows([clock(time) for time in times]))
        expected = self._features.levels + ahead.take(one.last, -1)
        returns = column([move.log_return for move in moves])
        origin = Origin(position, inputs, expected, returns)
        kept = np.zeros((*expected.shape, one.pending.width))  # nothing is spent yet
        for place, expert in enumerate(self._experts, EXPERTS):
            expert.observe(origin)
            kept[..., place] = expert.predict_one(origin)
        self._mixture.weigh(self._features.stillness)
        opinions = kept[..., EXPERTS:]
        self._scale[:] = self._mixture.predict_one(opinions)
        parts = zip(members, *(each(a, members) for a in (self._scale, opinions)), strict=True)
        for member, scale, opinion in parts:
            member.opinions = opinion
            scale[:] = member.widened(scale)
        kept[..., LOG_CLOSE] = column([move.log_close for move in moves])
        kept[..., EXPECTED] = expected
        kept[..., MIXED] = self._scale
        for at in self._standing_still():
            each(kept, members)[at][:, CODE] = members[at].counts.code
        self._pending.put(slots, paths.take(one.last, -1), kept)
