"""Serves the simulator over HTTP, for tests in any language, and cuts connections for its faults."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from .app import Simulator
from .chat.views import ABORTED, CUT, TRUNCATED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class _SilentHandler(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Ignore it: requests hold credentials, and links are signed."""


class _ConnectionCutter:
    """WSGI middleware that closes connections where the simulator asks for it (see app.CUT)."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        cuts: list[str] = []
        environ[CUT] = cuts
        answer = self._simulator(environ, start_response)
        if not cuts:
            return answer
        if ABORTED in cuts:
            return self._aborted(environ, answer)
        whole = b"".join(answer)
        return self._cut(environ, whole[: len(whole) // 2] if TRUNCATED in cuts else b"")

    @staticmethod
    def _aborted(environ: WSGIEnvironment, answer: Iterable[bytes]) -> Iterable[bytes]:
        yield from answer
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _cut(environ: WSGIEnvironment, begin: bytes) -> Iterable[bytes]:
        if begin:
            yield begin
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def make(simulator: Simulator, host: str, port: int) -> BaseWSGIServer:
    """A listening server, with a thread per connection; call serve_forever(). Port 0: a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # If werkzeug makes the socket, it ends the process when the port is taken. It copies the one that it is given.
    with socket.create_server((host, port), family=family, backlog=128) as listener:
        return make_server(
            host,
            listener.getsockname()[1],
            _ConnectionCutter(simulator),
            threaded=True,
            request_handler=_SilentHandler,
            fd=listener.fileno(),
        )
