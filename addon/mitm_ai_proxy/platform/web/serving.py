"""Serves an ASGI application with uvicorn in a thread of this process, which has signals of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

GRACE_SECONDS: Final = 10
"""How long requests in hand may take when it stops."""
_BACKLOG: Final = 2048


class NotServed(Exception):
    """The address cannot be listened on; the text says why."""


class _Server(uvicorn.Server):
    """uvicorn's server within a program that has signals of its own."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: the command stops its servers itself."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those who listen for events go, whom it would wait for, and then wait for the others."""
        self._stopping()
        await super().shutdown(sockets)


class Serving:
    """A server of one application. `stopping` is called in its thread, before it waits for requests in hand."""

    def __init__(self, app: Any, host: str, port: int, *, stopping: Callable[[], None] = lambda: None) -> None:
        self._host = host
        try:
            self._socket = _listening(host, port)
        except OSError as error:
            raise NotServed(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            ),
            stopping,
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="platform-api", daemon=True
        )

    @property
    def port(self) -> int:
        """The port at which it listens."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def origin(self) -> str:
        """The origin under which it is reached from this machine, if it is at all."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - a comparison
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Start it; returns at once. Connections that come earlier wait."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, and wait until the requests in hand have ended."""
        self._server.should_exit = True
        self._thread.join()

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself, which it must not."""
        return not self._thread.is_alive()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
