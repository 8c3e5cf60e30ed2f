"""Work on many series at once, each in a process of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from shared.errors import CandlecastError


@contextmanager
def forked(
    processes: int, initializer: Callable[..., object] | None = None, *args: Any
) -> Iterator[ProcessPoolExecutor]:
    """Give processes that were forked from this one.

    Parameters
    ----------
    processes
        How many; at least one.
    initializer, args
        Called first in each of them.

    Raises
    ------
    CandlecastError
        When one of them was killed.
    """
    with ProcessPoolExecutor(max(1, processes), get_context("fork"), initializer, args) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise CandlecastError(
                "a process was killed, perhaps for want of memory: fewer at once (--processes 1) "
                "or fewer candles take less"
            ) from error
        except BaseException:
            # What runs is waited for, what waits is not begun.
            pool.shutdown(cancel_futures=True)
            raise
