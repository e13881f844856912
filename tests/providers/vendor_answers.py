"""Answers of vendors with a form of their own, as the clients of a provider get them."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.exchange import Answer, Pieces, Upstream, Whole
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.wire.header_fields import Fields

WHOLE: Fields = ((b"Content-Type", b"application/json"),)
EVENTS: Fields = ((b"Content-Type", b"text/event-stream"),)


def whole_of(provider: Provider, sent: Upstream, document: object, status: int = 200, fields: Fields = WHOLE) -> Answer:
    """The client's whole answer."""
    handling = provider.responseheaders(sent, status, fields)
    assert isinstance(handling, Whole), handling
    body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    return handling.rewrite(Answer(status, body))


def stream_of(provider: Provider, sent: Upstream, stream: bytes) -> bytes:
    """The client's stream, which is the same wherever the vendor's is cut."""
    found = set()
    for size in (1, 3, 17, len(stream) or 1):
        handling = provider.responseheaders(sent, 200, EVENTS)
        assert isinstance(handling, Pieces), handling
        pieces = [handling.transducer.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
        found.add(b"".join([*pieces, handling.transducer.end()]))
    (made,) = found
    return made


def events(*documents: object, named: bool = False) -> bytes:
    """A stream of server-sent events. `named`: of pairs of a type and a document."""
    written = b""
    for document in documents:
        if named:
            assert isinstance(document, tuple)
            kind, document = document
            written += f"event:{kind}\n".encode()
        written += b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"
    return written


def document_of(answer: Answer) -> Any:
    """The JSON of an answer."""
    return json.loads(answer.body)


def chunks_of(stream: bytes) -> list[Any]:
    """The data of the events in a client's stream; `[DONE]` stays a text."""
    lines = [line.removeprefix("data: ") for line in stream.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_in(stream: bytes) -> str:
    """The text that a client of either dialect reads in a stream."""
    text = ""
    for chunk in chunks_of(stream):
        if isinstance(chunk, dict):
            text += chunk.get("delta", {}).get("text", "")
            text += "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))
    return text
