"""Two models on the same candles: what each forecast was worth, side by side."""

from typing import Any

import numpy as np

from models.memory import Array, Memory

_KEPT, _TARGETS = 300, 12


class Contest(Memory):
    """The losses of the model that speaks and of its challenger, for the last candles.

    Parameters
    ----------
    horizons
        The scored horizons, m of them.

    Attributes
    ----------
    kept
        Candles that are looked back on: 300, or twelve times the longest horizon.
    losses
        CRPS of the log return of both, shape (2, kept, m); NaN where one of them is unknown.
    """

    _learned = ("candles",)

    def __init__(self, horizons: tuple[int, ...] = (1,)) -> None:
        self.horizons = horizons
        self.candles = 0
        self.kept = max(_KEPT, _TARGETS * horizons[-1])
        self._remember(losses=(2, self.kept, len(horizons)))
        self.losses: Array
        self.losses[:] = np.nan

    def take_in(self, speaker: Array, challenger: Array) -> None:
        """Take in what the forecasts of some candles were worth, shape (candles, m) each."""
        places = (self.candles + np.arange(len(speaker))) % self.kept
        both = np.stack((speaker, challenger))
        both[:, np.isnan(both).any(0)] = np.nan
        self.losses[:, places] = both
        self.candles += len(speaker)

    def standing(self) -> dict[str, Any]:
        """Return for each horizon how the challenger stands, ready for JSON.

        ``ratio`` of its mean CRPS to the speaker's (below 1 is better), Diebold and Mariano's
        ``statistic`` (negative is better) and its two-sided ``p_value``, over ``candles``; null
        where these are too few.
        """
        from models.evaluation import diebold_mariano  # noqa: PLC0415 -- SciPy, for a contest only

        speaker, challenger = np.roll(self.losses, -self.candles % self.kept, axis=1)
        standing = {}
        for place, horizon in enumerate(self.horizons):
            losses = challenger[:, place], speaker[:, place]
            found = diebold_mariano(*losses, horizon)._asdict()
            numbers = {name: value if value == value else None for name, value in found.items()}  # noqa: PLR0124
            standing[str(horizon)] = {"candles": int(np.isfinite(losses[0]).sum()), **numbers}
        return standing
