"""Candles of a database: the rows of a query, by SQLAlchemy, into validated candles."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import numpy as np

from producers import names
from producers.columns import read_times
from producers.files import BadRow, CandleFile, joined, valid_candles
from producers.tables import BadFile, candle_columns
from shared.candle import Series, Timeframe
from shared.errors import CandlecastError, InvalidValue

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import URL

_KEYS = (("series",), ("exchange", "symbol", "timeframe"))
# What drivers raise beside what SQLAlchemy makes its own of, such as for unknown options.
_OF_DRIVERS = (OSError, RuntimeError, TypeError, ValueError)
_EXTRA = "reading a database needs pandas and SQLAlchemy: pip install 'candlecast[sql]'"


def read_query(
    url: str,
    query: str,
    series: str | None = None,
    skip_bad: Callable[[CandleFile, BadRow], None] | None = None,
) -> list[CandleFile]:
    """Read and validate the candles that a query gives, of one series or of many.

    The columns are those of a file, see `producers.files.read_candles`; numbers may be decimals,
    times datetimes. Rows may come in any order, as a query without ``ORDER BY`` has none.

    Parameters
    ----------
    url
        SQLAlchemy's address of the database. Nothing of its secrets is in any error.
    query
        A ``SELECT``. Its column ``series``, or ``exchange``, ``symbol`` and ``timeframe``, say of
        which series a row is.
    series
        ``exchange:symbol:timeframe`` of all rows, where the query has no such columns.
    skip_bad
        Called with each bad row and what was read of its series; without it the first one ends the
        reading.

    Raises
    ------
    BadFile
        When the database cannot be reached, the query fails, or what it gives cannot be used.
    InvalidValue
        When the series is not said.
    """
    place, frame = _rows(url, query)
    found = []
    for owner, part in _by_series(frame, Series.parse(series) if series else None):
        table = candle_columns(place, part)
        times, _ = read_times(table["open_time"])
        table = table.iloc[np.argsort(times, kind="stable")]
        bad: list[BadRow] = []
        file = valid_candles(place, table, owner, bad.append if skip_bad else None)
        found.append(file)
        if skip_bad:
            for row in bad:
                skip_bad(file, row)
    return joined(found)


def _rows(url: str, query: str) -> "tuple[str, pd.DataFrame]":
    """Return the address of the database without its secrets, and what the query gives."""
    try:
        import pandas as pd  # noqa: PLC0415 (an extra)
        import sqlalchemy as sa  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CandlecastError(_EXTRA) from error
    address = _address(url)
    place = sa.URL.create(
        address.drivername, host=address.host, port=address.port, database=address.database
    ).render_as_string()
    try:
        engine = sa.create_engine(address, poolclass=sa.NullPool)
        with engine.connect() as connection:
            # As it is: neither a colon nor a percent sign in it stands for a parameter.
            options = {"no_parameters": True}
            result = connection.exec_driver_sql(query, execution_options=options)
            if not result.returns_rows:
                raise BadFile(place, "the query is no SELECT: it gives no rows")
            frame = pd.DataFrame([tuple(row) for row in result], columns=list(result.keys()))
    except sa.exc.NoSuchModuleError:
        raise BadFile(place, "SQLAlchemy knows no such kind of database") from None
    except ModuleNotFoundError as error:
        raise BadFile(place, f"its driver {error.name} is not installed") from None
    except (sa.exc.SQLAlchemyError, *_OF_DRIVERS) as error:
        raise BadFile(place, _reason(error, address)) from None
    if frame.empty:
        raise BadFile(place, "the query gives no rows")
    return place, frame


def _address(url: str) -> "URL":
    import sqlalchemy as sa  # noqa: PLC0415 (an extra)

    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        address = None
    # A bare @ in a password would be taken for its end, and the rest for the host.
    if address is None or (address.host and "@" in f"{address.host}{address.database}"):
        # Neither the URL nor the cause is shown: both may hold parts of a password.
        raise CandlecastError(
            "--sql is no URL of a database: write it like postgresql+psycopg://user@host/database, "
            "special characters of a password as %XX"
        )
    file = address.database or ":memory:"
    at_rest = address.get_backend_name() == "sqlite" and not file.startswith((":", "file:"))
    if at_rest and not Path(file).is_file():  # SQLite would make an empty one
        raise BadFile(file, "there is no such database")
    return address


def _reason(error: Exception, address: "URL") -> str:
    """Return what the driver says, in one line and without anything secret of the URL."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    options = [value for values in address.normalized_query.values() for value in values]
    for secret in filter(None, (address.password, *options)):
        for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(spelling, "***")
    return f"cannot be read: {text}"


def _by_series(
    frame: "pd.DataFrame", given: Series | None
) -> "Iterator[tuple[Series, pd.DataFrame]]":
    """Yield each series of a query with its rows."""
    frame = frame.set_axis([str(name).lower() for name in frame.columns], axis=1)
    names_found = list(frame.columns)
    said = next((key for key in _KEYS if all(names_found.count(name) == 1 for name in key)), None)
    if said is None:
        if given is None:
            remedy = f"say --series, or select {' or '.join(', '.join(key) for key in _KEYS)}"
            raise InvalidValue("series", "", remedy)
        yield given, frame
        return
    parts = list(frame.groupby(list(said), sort=False, dropna=False))
    if given is not None and len(parts) > 1:
        remedy = f"the query's {', '.join(said)} name {len(parts)} series: leave --series out"
        raise InvalidValue("series", str(given), remedy)
    for key, part in parts:
        yield given or _series(*map(str, key)), part


def _series(name: str, symbol: str = "", timeframe: str = "") -> Series:
    if not symbol:
        return Series.parse(name)
    unified = symbol if "/" in symbol else names.unified(symbol.upper())
    return Series(name.lower(), unified, Timeframe(timeframe))
