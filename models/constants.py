"""The prior: what many other series have taught, before a series' own first candle."""

import hashlib
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import InvalidValue

NONE, SHIPPED = "none", "shipped"
HORIZONS = (1, 3, 6, 12, 24)
"""Candles ahead for which the network has an output; between them it is interpolated."""

MOST_SPREADS = 8.0
"""A feature counts up to so many spreads from its center: beyond, the network was never taught."""

_FOLDER = Path(__file__).with_name("prior")
_UNTIL = "trained_until"
_LONGEST_NAME = 64
_FEATURES, _WIDE, _NARROW, _SIZES = 37, 32, 16, 4


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Prior:
    """Constants of the default model, made by ``candlecast pretrain``; float32, read-only.

    Attributes
    ----------
    center, spread
        Mean and standard deviation of the features, shape (37,).
    weights_1, bias_1, weights_2, bias_2
        Two layers of tanh units, (37, 32), (32,), (32, 16), (16,): input times weights.
    weights_3, bias_3, skip
        The output, log variance a candle at `HORIZONS`: (16, 5), (5,), and (37, 5) straight
        from the input.
    sizes
        Quantiles of the absolute standardised return at 50, 80, 90, 95 %, shape (5, 4).
    hour, weekday, week, part
        Season of the log variance (UTC): (24,) by hour of the day, (7,) from Monday, (168,) by
        hour of the week, (12,) by five minutes of the hour.
    day
        The weekdays' season of daily and longer candles, (7,).
    trained_until
        When the newest candle closed that it was trained on (UTC ms), None where that is not known;
        no part of the digest.
    """

    center: NDArray[np.float32]
    spread: NDArray[np.float32]
    weights_1: NDArray[np.float32]
    bias_1: NDArray[np.float32]
    weights_2: NDArray[np.float32]
    bias_2: NDArray[np.float32]
    weights_3: NDArray[np.float32]
    bias_3: NDArray[np.float32]
    skip: NDArray[np.float32]
    sizes: NDArray[np.float32]
    hour: NDArray[np.float32]
    weekday: NDArray[np.float32]
    week: NDArray[np.float32]
    part: NDArray[np.float32]
    day: NDArray[np.float32]
    trained_until: int | None = None

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            array = np.array(getattr(self, name), np.float32)
            if array.shape != shape or not np.isfinite(array).all():
                raise InvalidValue(name, array.shape, f"must be finite numbers of shape {shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if (self.spread <= 0).any() or (self.sizes <= 0).any():
            raise InvalidValue("spread, sizes", "<= 0", "must be positive")

    def __repr__(self) -> str:
        return f"Prior({self.digest})"

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # read-only

    @cached_property
    def digest(self) -> str:
        """16 hex digits that name these numbers, and no others."""
        parts = (getattr(self, name).tobytes() for name in SHAPES)
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` has written.

        Raises
        ------
        InvalidValue
            When the file cannot be read, or its arrays are not those of a prior.
        """
        try:
            # Arrays only: a pickle in it is refused.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                arrays = {name: found[name].astype(np.float32) for name in SHAPES}
                until = int(found[_UNTIL]) if _UNTIL in found else None
        except MemoryError:
            raise
        except (
            Exception
        ) as error:  # whatever NumPy, zip and zlib make of bytes that are none of theirs
            kind = error.strerror if isinstance(error, OSError) else type(error).__name__
            remedy = f"name a file that `candlecast pretrain` has made ({kind})"
            raise InvalidValue("prior", str(path), remedy) from error
        return cls(**arrays, trained_until=until)

    def save(self, path: Path) -> None:
        """Write the arrays to a ``.npz`` file, the same bytes for the same numbers."""
        arrays = {name: getattr(self, name) for name in SHAPES}
        if self.trained_until is not None:
            arrays[_UNTIL] = np.int64(self.trained_until)
        with path.open("wb") as file:
            np.savez(file, **arrays)


_OUTPUTS = len(HORIZONS)
SHAPES: dict[str, tuple[int, ...]] = dict(
    zip(
        (field.name for field in fields(Prior) if field.default is MISSING),
        (
            *((_FEATURES,), (_FEATURES,)),
            *((_FEATURES, _WIDE), (_WIDE,), (_WIDE, _NARROW), (_NARROW,)),
            *((_NARROW, _OUTPUTS), (_OUTPUTS,), (_FEATURES, _OUTPUTS), (_OUTPUTS, _SIZES)),
            *((24,), (7,), (168,), (12,), (7,)),
        ),
        strict=True,
    )
)
# By digest: whoever asks for these numbers gets them, wherever they were read.
_known: dict[str, Prior] = {}
_load = cache(Prior.load)


def know(path: Path) -> str:
    """Let `prior` find the prior of a file by its digest, which is returned."""
    found = Prior.load(path)
    _known[found.digest] = found
    return found.digest


def may_be_named(which: str) -> bool:
    """Whether this can be a prior in a model's name: it is part of a file's name too."""
    is_name = which.isascii() and which.isalnum() and len(which) <= _LONGEST_NAME
    return which in {SHIPPED, NONE, ""} or is_name


def prior(which: str = SHIPPED) -> Prior | None:
    """Return the shipped prior, none, or the one of this digest.

    A prior of one's own is found once it is known, or in the folder of the shipped one, where a
    snapshot carries it.

    Raises
    ------
    InvalidValue
        When there is no prior of that digest here.
    """
    if which == NONE:
        return None
    if which == SHIPPED:
        return _load(_FOLDER / "default.npz")
    found, path = _known.get(which), _FOLDER / f"{which}.npz"
    if found is None and path.is_file():
        found = _load(path)
    if found is None or found.digest != which:
        raise InvalidValue(
            "prior", which, "set CANDLECAST_PRIOR to the file that its models were learned with"
        )
    return found
