"""The simulator as a plain HTTP server, for tests in any language. It can cut connections, which WSGI cannot."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from .app import CUT, TRUNCATED, Simulator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class _Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, type: str, message: str, *args: object) -> None:
        """A request holds a credential, and a link is one."""


class _Cutting:
    """Carries out what the simulator asks of its host."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        cuts: list[str] = []
        environ[CUT] = cuts
        answer = self._simulator(environ, start_response)
        if not cuts:
            return answer
        whole = b"".join(answer)
        return self._cut(environ, whole[: len(whole) // 2] if TRUNCATED in cuts else b"")

    @staticmethod
    def _cut(environ: WSGIEnvironment, begin: bytes) -> Iterable[bytes]:
        if begin:
            yield begin
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def make(simulator: Simulator, host: str, port: int) -> BaseWSGIServer:
    """A server that listens already; serve_forever() answers, each connection in a thread. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With a socket of its own, which it copies, werkzeug does not end the process where the port is taken.
    with socket.create_server((host, port), family=family, backlog=128) as listener:
        return make_server(
            host,
            listener.getsockname()[1],
            _Cutting(simulator),
            threaded=True,
            request_handler=_Quiet,
            fd=listener.fileno(),
        )
