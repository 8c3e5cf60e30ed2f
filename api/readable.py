"""What can be read of what lies in Redis."""

from shared.errors import DecodeError
from shared.forecast import Forecast
from shared.wire import decode_forecast


def decoded(raw: bytes | None) -> Forecast | None:
    """Return a forecast; None where there is none, or nothing that is one."""
    try:
        return decode_forecast(raw) if raw else None
    except DecodeError:
        return None
