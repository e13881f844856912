"""One request and its answer as values: what a client sent, what goes upstream, what comes back.

Plain data. Providers make it, an edge (mitmproxy, a server) carries it out; it knows no sockets and no flows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from .wire.header_fields import Changes, Fields
from .wire.targets import Origin

Memo: TypeAlias = Mapping[str, Any]
"""What the way back needs to know of the way there: plain values, saved with a flow, never a secret."""

NO_CHANGES: Final[Changes] = MappingProxyType({})
NO_MEMO: Final[Memo] = MappingProxyType({})


def plain(text: str) -> str:
    """The text as UTF-8 can hold it, without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


class Caller(NamedTuple):
    """A client as its path and its header fields show it.

    `dialect` names a row of chat/dialects.py. `is_openai_sdk`: it is one of OpenAI's SDKs, or speaks exactly like one.
    `content_type` is as it was sent, for it may hold a boundary; `retries` is how often an SDK says it sent this
    request before; `fetch_site` is a browser's Sec-Fetch-Site; `content_encoding` is what all such fields say together.
    """

    content_type: str = ""
    dialect: str = "openai"
    is_openai_sdk: bool = False
    retries: int = 0
    idempotency_key: str = ""
    fetch_site: str = ""
    content_encoding: str = ""


ANYBODY: Final = Caller()


class Head(NamedTuple):
    """The head of a client's request. `target` is its path and query, as they were sent (RFC 9112, origin-form).

    `has_host`: the host is named by a header field, as in HTTP/1.
    """

    method: str
    target: str
    caller: Caller = ANYBODY
    fields: Fields = ()
    has_host: bool = True


class Upstream(NamedTuple):
    """A request as it goes out, but for its credential.

    `fields` are changes to the client's header fields. `body` None stands for the client's own, as it arrives, of which
    a small one may be held to be shown if `is_shown`. `notes` say each rewrite in one line.
    """

    origin: Origin
    method: str
    target: str
    fields: Changes = NO_CHANGES
    body: bytes | None = None
    memo: Memo = NO_MEMO
    notes: tuple[str, ...] = ()
    is_shown: bool = True


class NeedsBody(NamedTuple):
    """What only the body can decide: `rewrite` makes the Upstream from it, decoded, or raises Refusal.

    `origin` is where it will go. `notes` are what is known before.
    """

    origin: Origin
    rewrite: Callable[[bytes], Upstream]
    notes: tuple[str, ...] = ()


_NO_HEADERS: Final[Mapping[str, str | None]] = MappingProxyType({})


class Answer(NamedTuple):
    """A whole answer: its body without a Content-Encoding, and header fields to set (None: to remove)."""

    status: int
    body: bytes
    headers: Mapping[str, str | None] = _NO_HEADERS
    notes: tuple[str, ...] = ()

    @classmethod
    def json(cls, status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
        """An answer of our own making."""
        return cls(status, json.dumps(document).encode(), {"content-type": "application/json", **(headers or {})})


class Transducer(Protocol):
    """Translates a stream while it flows, however it is cut."""

    def feed(self, data: bytes) -> bytes:
        """What the client gets for a piece of the provider's answer; b"" for nothing yet."""

    def end(self) -> bytes:
        """What the client gets when the provider's answer has ended."""


class Pass(NamedTuple):
    """The answer passes as it arrives; a small one may be held to be shown if `is_shown`."""

    is_shown: bool = True


class Whole(NamedTuple):
    """The answer is held until it is complete, and rewritten.

    `rewrite` returns the same object where nothing changes, and raises wire.json_edit.JSONError for an answer that it
    cannot read, which is passed on as it came.
    """

    rewrite: Callable[[Answer], Answer]


class Pieces(NamedTuple):
    """The answer is translated as it arrives. `fields` are changes to its header fields.

    Without `is_translated`, the transducer only listens: what it returns is as long as what it was given.
    """

    transducer: Transducer
    fields: Changes = NO_CHANGES
    is_translated: bool = True


Handling: TypeAlias = Pass | Whole | Pieces
"""What happens to an answer; decided when its status and header fields are known."""

PASS: Final = Pass()
