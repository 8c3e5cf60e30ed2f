"""Which series there may be, by name and by number."""

from fnmatch import fnmatchcase

from shared.candle import Series
from shared.errors import InvalidValue
from shared.limits import Limits


def check_allowed(series: Series, limits: Limits) -> None:
    """Raise `InvalidValue` where the series' name fits no allowed pattern."""
    if not any(fnmatchcase(str(series), pattern) for pattern in limits.allowed_series):
        remedy = f"CANDLECAST_ALLOWED_SERIES allows {', '.join(limits.allowed_series)} only"
        raise InvalidValue("series", str(series), remedy)


def one_too_many(series: Series, limits: Limits) -> InvalidValue:
    """Return what to raise where the series would be new, and no more are allowed."""
    remedy = (
        f"there are {limits.max_series} series, and no more are allowed: retire some "
        "(candlecast series retire) or raise CANDLECAST_MAX_SERIES"
    )
    return InvalidValue("series", str(series), remedy)
