"""A TCP proxy that cuts, delays and half-closes the connections that go through it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

_CHUNK = 65_536


class Proxy:
    """Listens on a port of the loopback address and passes on to another.

    Attributes
    ----------
    port
        Where it listens.
    delay_s
        How long everything is held up on its way.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._muted: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._stop = asyncio.Event()
        self.port = 0
        self.delay_s = 0.0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._listening.wait(10), "the proxy does not listen"

    def cut(self) -> None:
        """Break every connection at once, on both sides, whatever is on its way."""

        def abort(*writers: asyncio.StreamWriter) -> None:
            for writer in writers:
                writer.transport.abort()

        self._each(abort)

    def end_towards_clients(self) -> None:
        """Tell the clients that the server has ended; the server knows nothing of it."""
        self._each(lambda client, _: self._half_close(client))

    def end_towards_server(self) -> None:
        """Tell the server that the clients have ended; these wait for answers that never come."""

        def end(client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
            self._muted.add(client)
            self._half_close(server)

        self._each(end)

    def close(self) -> None:
        """End it with all its connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _each(self, act: Callable[[asyncio.StreamWriter, asyncio.StreamWriter], object]) -> None:
        async def on_all() -> None:
            for client, server in self._open.values():
                act(client, server)

        asyncio.run_coroutine_threadsafe(on_all(), self._loop).result(10)

    def _half_close(self, writer: asyncio.StreamWriter) -> None:
        self._muted.add(writer)
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _serve(self) -> None:
        listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()
        listener.close()
        for writers in self._open.values():
            for writer in writers:
                writer.transport.abort()
        await asyncio.gather(*self._open)

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            client.transport.abort()
            return
        task = asyncio.current_task()
        assert task
        pair = self._open[task] = (client, server)
        try:
            await asyncio.gather(self._pass(reader, server), self._pass(answers, client))
        finally:
            del self._open[task]
            self._muted.difference_update(pair)
            for writer in pair:
                writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until one side ends; then break the other, unless it is not to know."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay_s)
                if writer not in self._muted:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._muted:
            writer.transport.abort()
