"""One base error; every error of ours tells what was wrong and what to do about it."""

from typing import Any


class CandlecastError(Exception):
    """Base of every error that Candlecast raises on purpose; it can pass between processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Its text is made from what the constructor was given, and cannot be given to it again.
        return _revived, (type(self), self.args, self.__dict__)


def _revived(
    kind: type[CandlecastError], args: tuple[Any, ...], facts: dict[str, Any]
) -> CandlecastError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class InvalidValue(CandlecastError, ValueError):
    """A value from outside breaks a rule: names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}={value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class DecodeError(CandlecastError):
    """Bytes that are not what their key promises; carries them in ``raw``."""

    def __init__(self, message: str, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class StoreError(CandlecastError):
    """Redis refused or failed a command."""


class StoreUnavailable(StoreError):
    """Redis cannot be reached, did not answer in time, or takes nothing for now: try again."""


class StoreFull(StoreUnavailable):
    """Redis has no memory left for what was to be written."""


class StateError(CandlecastError):
    """A saved model state is missing, unsigned, of another model or unreadable."""


class OtherModel(StateError):
    """A saved model state is of another model, or of another pair of models, than wanted."""


class RegistryError(CandlecastError):
    """MLflow refused or failed a call."""
