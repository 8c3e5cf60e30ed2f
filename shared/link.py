"""One connection to Redis: its errors translated, its scripts loaded and run."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any, Self

import redis

from shared.clients import FORMS, address_of, from_url
from shared.errors import StoreError, StoreFull, StoreUnavailable
from shared.keys import Keys

_UNREACHABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.AuthenticationError,
    redis.exceptions.NoPermissionError,
)
# Redis is a replica, one without its primary, or lacks the replicas or the disk that it wants
# before it takes a write: after a failover, or with some space, the same command is right again. So
# is one that waited for news when Redis became a replica.
_REFUSED_FOR_NOW = (
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    # A pipeline asks first for its scripts; where Redis is started anew in between, they are gone.
    redis.exceptions.NoScriptError,
)
_ROOM = (
    "raise maxmemory, or make room with `candlecast dead-letters drop` or "
    "`candlecast series retire --no-archive`"
)
_REFUSAL = re.compile(r"(?:^|caused error: )(?:NOREPLICAS|MISCONF|UNBLOCKED) ")


class Link:
    """A client, the keys of one prefix and the scripts that work on them.

    Raises
    ------
    StoreUnavailable
        When Redis cannot be reached, refuses the password, or takes no writes for now.
    StoreError
        When Redis fails a command.
    """

    def __init__(self, client: Any, keys: Keys) -> None:
        self.redis: Any = client
        self.keys = keys
        self._script_keys = keys.of_scripts
        self._scripts: dict[str, Any] = {}

    @classmethod
    def open(cls, url: str, keys: Keys, *, hurried: bool = False) -> Self:
        """Connect and ping; ``hurried`` gives up after a second, without a second try.

        Raises
        ------
        InvalidValue
            When the URL is not one that redis-py understands.
        """
        link = cls(from_url(redis.Redis, url, hurried=hurried), keys)
        with link.translated():
            link.redis.ping()
        return link

    @property
    def address(self) -> str:
        """Host, port and database, without the password."""
        return address_of(self.redis)

    @contextlib.contextmanager
    def translated(self) -> Iterator[Any]:
        """Give the client for a few commands; turn Redis's errors into ours."""
        try:
            with translated(self.redis):
                yield self.redis
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, _UNREACHABLE):
                # Its name may lead to another server by now.
                self.redis.connection_pool.disconnect()
            raise
        except StoreError:
            raise
        except BaseException:
            # Whatever broke in may have left a reply unread on a connection.
            self.redis.connection_pool.disconnect()
            raise

    @contextlib.contextmanager
    def lock(self, key: str, life_s: float, wait_s: float) -> Iterator[Callable[[], bool] | None]:
        """Hold a lock; yield what renews it, or None where another has it all the while.

        It is kept alive meanwhile, however long its holder waits for something. Where it has run
        out all the same (Redis was away, the process was stopped), renewing takes it anew, or says
        by False that another has it by now.
        """
        with self.translated() as redis:
            left_ms = redis.pttl(key)
            if left_ms == -1 or left_ms > (life_s + 1) * 1_000:
                # It is not ours, or of before Redis's clock stepped back by more than a trifle.
                redis.delete(key)
            lock = redis.lock(key, timeout=life_s, thread_local=False)
            held = lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s)

        def renewed() -> bool:
            with self.translated():
                return bool(lock.reacquire() if lock.owned() else lock.acquire(blocking=False))

        if not held:
            yield None
            return
        try:
            with _meanwhile(life_s / 3, lambda: self._quietly(lock.reacquire)):
                yield renewed
        finally:
            self._quietly(lock.release)

    def _quietly(self, done: Callable[[], object]) -> None:
        """Do something with a lock that may have run out meanwhile, and be another's by now.

        Another thread's trouble may have closed the connection under it: the next time does.
        """
        with contextlib.suppress(Exception), self.translated():
            done()

    def now_ms(self) -> int:
        """Return Redis's clock, UTC milliseconds."""
        with self.translated() as redis:
            return time_ms(redis.time())

    def run(self, name: str, *args: Any, pipe: Any = None) -> Any:
        """Run a script, or queue it on a pipeline."""
        if name not in self._scripts:
            self._scripts[name] = self.redis.register_script(script_source(name))
        if pipe is not None:
            return self._scripts[name](keys=self._script_keys, args=args, client=pipe)
        with self.translated():
            return self._scripts[name](keys=self._script_keys, args=args)

    def run_each(self, name: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a script with each of some arguments, in one round trip; return the answers.

        All of them are run, whatever becomes of one; then its error is raised.
        """
        if len(calls) == 1:
            # A pipeline asks first whether Redis has the script.
            return [self.run(name, *calls[0])]
        with self.translated() as redis, redis.pipeline(transaction=False) as pipe:
            for args in calls:
                self.run(name, *args, pipe=pipe)
            return list(pipe.execute())


@contextlib.contextmanager
def translated(client: Any) -> Iterator[None]:
    """Turn the errors of a client, whether it is awaited or not, into ours."""
    try:
        yield
    except _UNREACHABLE as error:
        raise StoreUnavailable(
            f"Redis at {address_of(client)}: {error} "
            f"(the address is CANDLECAST_REDIS_URL, such as {FORMS})"
        ) from error
    except redis.RedisError as error:
        text = f"Redis at {address_of(client)}: {error}"
        if isinstance(error, redis.OutOfMemoryError):
            raise StoreFull(f"{text} ({_ROOM})") from error
        if isinstance(error, _REFUSED_FOR_NOW) or _REFUSAL.search(str(error)):
            raise StoreUnavailable(text) from error
        raise StoreError(text) from error


def time_ms(answer: tuple[int, int]) -> int:
    """Return what TIME has answered in UTC milliseconds."""
    seconds, micros = answer
    return int(seconds) * 1_000 + int(micros) // 1_000


@contextlib.contextmanager
def _meanwhile(every_s: float, done: Callable[[], None]) -> Iterator[None]:
    """Do something again and again, in a thread."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_s):
            done()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@cache
def script_source(name: str) -> str:
    """Return the Lua text of a script, whole as Redis loads it."""
    folder = resources.files("shared") / "scripts"
    return (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
