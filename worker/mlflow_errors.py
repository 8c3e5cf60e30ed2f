"""What MLflow raises as errors of ours, and what it says to a log of its own as nothing."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gaierror

from shared.errors import CandlecastError, RegistryError, StateError

ABSENT, EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
NONE_SUCH = {ABSENT, "INVALID_PARAMETER_VALUE"}
"""What MLflow answers where there is no such version, alias or file, by the store behind it."""


# What stores of files say of one that is not there; addresses hold numbers of their own.
_ADDRESS = re.compile(r"\S*/\S*")
_GONE = re.compile(r"No such (?:file|artifact)|\b404\b|NoSuchKey|Not ?Found|does not exist")


@contextmanager
def translated(address: str, gone: StateError | None = None) -> Iterator[None]:
    """Turn whatever MLflow and the stores of its files raise into ours.

    Raises
    ------
    StateError
        ``gone``, where it is given and there is no such thing.
    RegistryError
        In all other cases; a password in the address is left out.
    """
    try:
        yield
    except (CandlecastError, MemoryError):
        raise
    except Exception as error:  # stores of files have errors of their own
        if gone and _is_absent(error):
            raise gone from error
        reason = re.sub(r"//[^/@\s]+@", "//", _plain(error).partition("\n")[0])
        raise RegistryError(f"MLflow at {address}: {reason}") from error


def _plain(error: BaseException) -> str:
    """Return what the system has said, where that is what libraries have wrapped in their words."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ConnectionError | TimeoutError | gaierror) and inner.errno:
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    return str(error)


def _is_absent(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError) or getattr(error, "error_code", "") in NONE_SUCH:
        return True
    return _GONE.search(_ADDRESS.sub("", str(error))) is not None


def silence() -> None:
    """Leave the reporting of failures to whoever catches `RegistryError`."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
