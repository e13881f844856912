"""Asks the simulator without a server: a request and its answer as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from ..wire.header_fields import Fields

if TYPE_CHECKING:
    from .app import Simulator
    from .chat.views import Pieces


class Asked(NamedTuple):
    """A request to a provider. `base_path` is removed from its path; `origin` is where links to results lead."""

    method: str
    target: str
    fields: Fields
    body: bytes
    base_path: str
    origin: str


class Said(NamedTuple):
    """An answer. `cuts`: faults that end the connection (see chat/views.py); `pieces`: how it is sent, in seconds."""

    status: int
    fields: Fields
    body: bytes
    cuts: list[str]
    pieces: Pieces

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(seconds for seconds, _ in self.pieces)


def ask(simulator: Simulator, asked: Asked) -> Said:
    """The simulator's answer. Takes a while: call it in a thread."""
    # Imported when needed, since it takes a while.
    from werkzeug.test import run_wsgi_app

    from .chat.views import CUT, PIECES
    from .result_links import ORIGIN

    cuts: list[str] = []
    pieces: Pieces = []
    environ = _environ(asked) | {ORIGIN: asked.origin, CUT: cuts, PIECES: pieces}
    body, status, headers = run_wsgi_app(simulator, environ, True)
    # Unchanged: the Content-Length of an answer to HEAD is not that of its body.
    fields = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return Said(int(status.split()[0]), fields, b"".join(body), cuts, pieces)


def _environ(asked: Asked) -> dict[str, Any]:
    """The WSGI environ for a request."""
    from werkzeug.test import EnvironBuilder

    # What is no UTF-8 becomes U+FFFD.
    path, _, query = asked.target.encode("utf-8", "surrogateescape").decode("utf-8", "replace").partition("?")
    path = path.removeprefix(asked.base_path) if path.startswith(asked.base_path + "/") else path
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.fields]
    builder = EnvironBuilder(
        path=unquote(path),
        query_string=query,
        method=asked.method,
        headers=[pair for pair in headers if pair[0].lower() not in ("transfer-encoding", "content-length")],
        data=asked.body,
    )
    try:
        return dict(builder.get_environ())
    finally:
        builder.close()
