"""Folders of candle files: which of them are taken."""

from collections.abc import Callable, Sequence
from pathlib import Path

from producers import names, tables
from shared.errors import InvalidValue

_KINDS = ", ".join(f".{kind}" for kind in tables.KINDS)


def candle_files(
    paths: Sequence[Path], leave_out: Callable[[InvalidValue], None] | None = None
) -> list[Path]:
    """Return the files, and of each folder the candle files that lie in it, by name.

    Parameters
    ----------
    paths
        Files and folders.
    leave_out
        Told of each file in a folder whose name does not say its series, which is then left out;
        without it all are taken.

    Raises
    ------
    InvalidValue
        When a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if tables.is_candle_file(file))
        if not inside:
            raise InvalidValue("file", str(path), f"the folder holds no {_KINDS}")
        named = [file for file in inside if leave_out is None or _is_named(file, leave_out)]
        if not named:
            raise InvalidValue(
                "file", str(path), "no name of a file in this folder says its series"
            )
        found.extend(named)
    return found


def _is_named(file: Path, leave_out: Callable[[InvalidValue], None]) -> bool:
    try:
        names.series_of(file, tables.exchange_of(file))
    except InvalidValue as error:
        leave_out(error)
        return False
    return True
