"""One request and its answer as immutable values: what a client sent, what is sent upstream, what the client gets.

Providers return these values; gateway/ carries them out with mitmproxy.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from .wire.header_fields import Changes, Fields
from .wire.targets import Origin

Memo: TypeAlias = Mapping[str, Any]
"""What the answer is translated with: plain values, saved with the flow, without secrets."""

NO_CHANGES: Final[Changes] = MappingProxyType({})
NO_MEMO: Final[Memo] = MappingProxyType({})


def without_surrogates(text: str) -> str:
    """The text with each lone surrogate, which UTF-8 cannot hold, replaced by a question mark."""
    return text.encode("utf-8", "replace").decode()


class Caller(NamedTuple):
    """What the path and the header fields of a request say about its client.

    `content_type`: in full, it may hold a boundary. `dialect`: a row of chat/dialects.py. `is_openai_sdk`: OpenAI's SDK
    or one that behaves like it. `retries`: earlier attempts, as SDKs report them. `fetch_site`, `origin`: a browser's
    Sec-Fetch-Site and Origin. `host`: Host, or :authority. All fields of the names of these three and of
    `content_encoding` are joined by commas.
    """

    content_type: str = ""
    dialect: str = "openai"
    is_openai_sdk: bool = False
    retries: int = 0
    idempotency_key: str = ""
    fetch_site: str = ""
    content_encoding: str = ""
    origin: str = ""
    host: str = ""


UNKNOWN_CALLER: Final = Caller()


class Head(NamedTuple):
    """The head of a client's request. `target` is its path and query, unchanged (RFC 9112, origin-form).

    `has_host`: there is a Host header field, as in HTTP/1. `is_tls`: the client came by TLS.
    """

    method: str
    target: str
    caller: Caller = UNKNOWN_CALLER
    fields: Fields = ()
    has_host: bool = True
    is_tls: bool = False


class Scope(enum.Enum):
    """How far a request may be moved: what it is about may be known to one provider only, or to one of its tokens."""

    ANYWHERE = enum.auto()
    PROVIDER = enum.auto()
    TOKEN = enum.auto()


class Upstream(NamedTuple):
    """An upstream request without its credential.

    `fields` are changes to the client's header fields. `body` None: the client's body is streamed, or, if it is
    small, held, so that mitmproxy can show it; without `holds_small`, only one that has arrived with its head.
    `notes` has one line for each rewrite.
    `is_repeatable`: it buys nothing that a second one would buy again. `token`: the index of the only one of the
    provider's tokens that it may be sent with; None for any.
    """

    origin: Origin
    method: str
    target: str
    fields: Changes = NO_CHANGES
    body: bytes | None = None
    memo: Memo = NO_MEMO
    notes: tuple[str, ...] = ()
    holds_small: bool = True
    is_repeatable: bool = False
    token: int | None = None


_NO_HEADERS: Final[Mapping[str, str | None]] = MappingProxyType({})


class Answer(NamedTuple):
    """A complete answer: its body without Content-Encoding, and header fields to set (None: to remove)."""

    status: int
    body: bytes
    headers: Mapping[str, str | None] = _NO_HEADERS
    notes: tuple[str, ...] = ()

    @classmethod
    def json(cls, status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
        """An answer with a JSON document as its body."""
        return cls(status, json.dumps(document).encode(), {"content-type": "application/json", **(headers or {})})


class NeedsBody(NamedTuple):
    """A request that can only be rewritten with its body.

    `origin` is where it will be sent. `rewrite` takes the body without its Content-Encoding, and raises Refusal; with
    an Answer, nothing is sent. `notes` are those known without the body.
    """

    origin: Origin
    rewrite: Callable[[bytes], Upstream | Answer]
    notes: tuple[str, ...] = ()


class Transducer(Protocol):
    """Translates a stream as it arrives, in pieces of any length. If it raises, the client gets an error event."""

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client after the next bytes from the provider; b"" if there are none yet."""

    def end(self) -> bytes:
        """The last bytes for the client, when the provider's answer has ended."""


class Pass(NamedTuple):
    """The answer is passed on as it arrives. A small one is held, so that mitmproxy can show it.

    Without `holds_small`, only one that has arrived with its head.
    """

    holds_small: bool = True


class Whole(NamedTuple):
    """The answer is held until it is complete, and then rewritten.

    `rewrite` returns the same object if nothing changes. It raises wire.json_edit.JSONError for an answer that it
    cannot read, which is then passed on unchanged.
    """

    rewrite: Callable[[Answer], Answer]


class Pieces(NamedTuple):
    """The answer is streamed through a transducer. `fields` are changes to its header fields.

    Without `is_translated`, the transducer keeps the length of the answer: it only observes. If it `tells_end`, the
    client can tell by what its end() gives whether the provider's answer was complete, also where that broke off. If it
    `makes_end`, what its end() gives says that it was, whatever has come: then it is not asked where that broke off.
    """

    transducer: Transducer
    fields: Changes = NO_CHANGES
    is_translated: bool = True
    tells_end: bool = False
    makes_end: bool = False


Handling: TypeAlias = Pass | Whole | Pieces
"""What is done with an answer, decided when its status and header fields have arrived."""

PASS: Final = Pass()
