"""What the next closes are in a market that mostly stands still, counted in ticks."""

import numpy as np
from numpy.typing import NDArray

from models.memory import Array, Memory
from models.quantiles import LEVELS
from shared.forecast import MEDIAN

AWAKE = 0.3
"""Share of candles whose close does not move from which counting begins."""

SETTLED = 50
"""Candles after which that share is known."""

_STATES = 3
_REACH = 20
_LEAP = 10
_DECAY = 0.999
_POOLED = 0.005
_RATE, _NOISE = 0.5, 0.02
_START = 0.2
_HAIR = 1e-9


class TickHistogram(Memory):
    """Moves of the close in ticks, counted by horizon and by what the newest candle did.

    Where most closes stand still the price goes to and fro between few levels, the bid and the ask
    among them, and no scale times a smooth shape says that. So moves are counted as they are: in
    a mirror where the last move was a fall, and apart for candles without trade, with trade but no
    move, and with a move. How far the quantiles of the counts are to be trusted beside others is
    learned for each horizon by the gradient of the CRPS.

    Parameters
    ----------
    horizons
        Numbers of candles ahead, m of them.

    Attributes
    ----------
    counts
        Discounted shares of moves from -20 to 20 ticks, shape (m, 3, 41), float32; None until
        something is counted.
    gains, squares
        What the counts would have gained beside the others, and its square, shape (m,).
    code
        What the newest candle did, 1 to 3, negative where the last move was a fall; 0 after a leap
        of more than ten ticks, after which the counts have nothing to say.
    """

    _learned = ("code", "counts")

    def __init__(self, horizons: tuple[int, ...] = (1,)) -> None:
        self.horizons = horizons
        self._remember(gains=(len(horizons),), squares=(len(horizons),))
        self.gains: Array
        self.squares: Array
        self.counts: NDArray[np.float32] | None = None
        self.code = 1
        self._rows = np.arange(len(horizons))
        # Before anything is counted nothing moves.
        self._blank = np.zeros((len(horizons), _STATES, 2 * _REACH + 1), np.float32)
        self._blank[:, :, _REACH] = _POOLED

    @property
    def share(self) -> Array:
        """How far the counts are trusted, shape (m,), within (0, 1)."""
        odds = _START / (1 - _START) * np.exp(_RATE * self.gains / np.sqrt(self.squares + _NOISE))
        return np.asarray(odds / (1 + odds))

    def observe(self, ticks: float, volume: float) -> None:
        """Take in the newest candle: its move in ticks, and whether there was trade."""
        fell = ticks < 0 if ticks else self.code < 0
        state = 3 if ticks else 2 if volume > 0 else 1
        self.code = 0 if abs(ticks) > _LEAP else -state if fell else state

    def learn_one(self, moves: Array, codes: Array, others: Array, known: Array) -> None:
        """Learn moves.

        Parameters
        ----------
        moves
            Whole ticks from the origin to its target, shape (m,).
        codes
            `code` as it was at the origin, shape (m,); 0 where nothing was counted.
        others
            Quantiles that the other forecast gave, in ticks, shape (m, 9).
        known
            1 where the horizon's target is known, else 0, shape (m,).
        """
        counted = np.flatnonzero((known > 0) & (codes != 0))
        if not counted.size:
            return
        codes, moves, others = codes[counted], moves[counted], others[counted]
        share = self.share[counted, None]
        own = self._quantiles(counted, codes)
        own[:, MEDIAN] = others[:, MEDIAN]  # the others' median stays in force
        mixed = others + share * (own - others)
        gradient = LEVELS - (moves[:, None] < mixed)
        gain = (gradient * (own - others)).mean(1) / (1 + abs(others).mean(1))
        self.gains[counted] = _DECAY * self.gains[counted] + gain
        self.squares[counted] = _DECAY * self.squares[counted] + gain * gain
        if self.counts is None:
            self.counts = self._blank.copy()
        states = (abs(codes) - 1).astype(np.int64)
        mirrored = np.where(codes < 0, -moves, moves).clip(-_REACH, _REACH).astype(np.int64)
        self.counts[counted, states] *= np.float32(_DECAY)
        self.counts[counted, states, mirrored + _REACH] += 1 - _DECAY

    def predict_one(self) -> Array:
        """Return quantiles of the move in ticks at the nine levels, shape (m, 9)."""
        return self._quantiles(self._rows, np.full(len(self._rows), float(self.code)))

    def _quantiles(self, rows: NDArray[np.int64], codes: Array) -> Array:
        counts = self._blank if self.counts is None else self.counts
        states = (abs(codes) - 1).astype(np.int64)
        shares = counts[rows, states] + np.float32(_POOLED) * counts[rows].mean(1)
        shares[codes < 0] = shares[codes < 0, ::-1]
        np.add.accumulate(shares, axis=1, out=shares)
        wanted = (LEVELS - _HAIR) * shares[:, -1:]
        ticks = (shares[:, None, :] < wanted[:, :, None]).sum(2)
        return np.asarray(ticks - _REACH, dtype=np.float64)
