"""Examples of new providers: one row for OpenAI's API, a transducer for a protocol of its own."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import pytest

from mitm_ai_proxy import pipeline
from mitm_ai_proxy.apis import Call
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import PASS, Handling, Head, NeedsBody, Pieces, Transducer, Upstream
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.compatible import Compatible
from mitm_ai_proxy.providers.row import Row
from mitm_ai_proxy.wire import header_fields, media_types
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table
from tests.upstream_of import requested, rewritten

CHAT = "/v1/chat/completions"
JSON_FIELDS = ((b"Host", b"proxy"), (b"Content-Type", b"application/json"), (b"Content-Length", b"2"))


ROW = Row("row", "row.test", "/api/v3", frozenset({"openai/v1/chatcompletions"}), "A provider that is one row.")


class LinesToEvents:
    """Lines `text WORD`, `end REASON` and `error MESSAGE` as chunks of OpenAI's chat."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_finished = False

    def feed(self, data: bytes) -> bytes:
        """The events of all lines that are whole."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return b"".join(map(self._event, lines))

    def end(self) -> bytes:
        """The event of the last line, and [DONE] after a regular end."""
        last = self._event(self._rest) if self._rest else b""
        return last + (b"data: [DONE]\n\n" if self._is_finished else b"")

    def _event(self, line: bytes) -> bytes:
        word, _, text = line.decode().removesuffix("\r").partition(" ")
        if word == "text":
            return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        if word == "end":
            self._is_finished = True
            return _event({"choices": [{"index": 0, "delta": {}, "finish_reason": text}]})
        return _event({"error": {"message": text}}) if word == "error" else b""


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


class Translating(Provider):
    """A provider with a protocol of its own, in both directions."""

    type = "translating"
    home = Origin("https", "row.test", 443)
    default_capabilities = {"openai/v1/chatcompletions": "/ask"}  # noqa: RUF012 - read only

    def call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """A chat is sent as lines."""
        return NeedsBody(self.origin, functools.partial(self._asked, notes), notes)

    def _asked(self, notes: tuple[str, ...], body: bytes) -> Upstream:
        asked = json.loads(body)
        model, mapped = self.map_model(asked["model"])
        lines = "".join(f"{message['role']} {message['content']}\n" for message in asked["messages"])
        memo = {"is_stream": bool(asked.get("stream"))}
        fields = {b"content-type": b"text/plain", b"accept-encoding": b"identity"}
        return Upstream(self.origin, "POST", f"/ask/{model}", fields, lines.encode(), memo, (*notes, *mapped))

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """Lines become events if a stream was requested, and the answer is one."""
        if (
            sent.memo.get("is_stream")
            and status == 200
            and header_fields.value(fields, b"content-type") == "text/plain"
        ):
            return Pieces(
                LinesToEvents(), {b"content-type": media_types.EVENT_STREAM.encode(), b"content-length": None}
            )
        return super().responseheaders(sent, status, fields)


def _provider(kind: type[Provider], **keys: Any) -> Provider:
    return kind(kind.Keys(kind.type, **{"api_tokens": (Secret("key"),), **keys}), lambda: 0.0)


def test_a_row_is_a_whole_provider() -> None:
    provider = _provider(Compatible.made(ROW), model_mapping=ModelMapping({"*": "large"}), base_path="/proxy")
    head = Head("POST", f"/proxy{CHAT}?a=1", fields=(*JSON_FIELDS, (b"X-Api-Key", b"client")))
    head = head._replace(caller=head.caller._replace(content_type="application/json"))
    needs = pipeline.requestheaders(provider, head)
    assert isinstance(needs, NeedsBody)

    upstream = requested(needs, head, b'{"model": "gpt-5", "n": 1.0}')
    outgoing = pipeline.outgoing(provider, head, upstream, raw=b'{"model": "gpt-5", "n": 1.0}')
    assert (str(upstream.origin), upstream.method) == ("https://row.test", "POST")
    assert (outgoing.target, outgoing.body) == ("/api/v3/chat/completions?a=1", b'{"model": "large", "n": 1.0}')
    assert outgoing.fields == (
        (b"Host", b"row.test"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"28"),
        (b"Authorization", b"Bearer key"),
    )
    assert upstream.notes[0] == "sent to https://row.test: openai/v1/chatcompletions of row"
    assert pipeline.responseheaders(provider, upstream, 200, ()) == PASS


class Translated(Translating):
    """The same, and it says so: what is nearly a chat of OpenAI's is never sent on."""

    type = "translated"
    translated = frozenset({"openai/v1/chatcompletions"})

    def is_own(self, method: str, path: str) -> bool:
        """Its own paths begin with /ask."""
        return path.startswith("/ask/")


@table(
    ("request_line", "outcome"),
    [
        ("POST /v1/chat/completions", "/ask/m"),
        ("POST /chat/completions", "/ask/m"),
        ("POST /openai/deployments/m/chat/completions?api-version=1", "/ask/m"),
        ("POST /v1/chat/completions/", "/ask/m"),
        ("POST /v2/chat/completions", "wrong_base_url"),
        ("POST /embeddings", "unsupported_api"),
        ("GET /v1/threads", "unsupported_api"),
        ("POST /ask/m", "/ask/m"),
        ("POST /ask/chat/completions", "/ask/chat/completions"),
        ("GET /other?a=1", "/other?a=1"),
    ],
)
def test_a_provider_that_names_what_it_translates_serves_or_refuses_what_is_nearly_that(
    request_line: str, outcome: str
) -> None:
    method, _, target = request_line.partition(" ")
    assert _outcome(_provider(Translated), Head(method, target)) == outcome


def _outcome(provider: Provider, head: Head) -> str:
    """The target of a chat, or the code of the refusal."""
    try:
        found = provider.requestheaders(head)
    except Refusal as refusal:
        return refusal.code
    return (rewritten(found, b'{"model": "m", "messages": []}') if isinstance(found, NeedsBody) else found).target


ANSWERS = [
    (
        "text Hé\ntext  lo 🙂\r\n\nend stop\n".encode(),
        _event({"choices": [{"index": 0, "delta": {"content": "Hé"}, "finish_reason": None}]})
        + _event({"choices": [{"index": 0, "delta": {"content": " lo 🙂"}, "finish_reason": None}]})
        + _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        + b"data: [DONE]\n\n",
    ),
    # The last line has no end.
    (b"end stop", _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"),
    # No finish is made up.
    (
        b"text a\nerror no",
        _event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]})
        + _event({"error": {"message": "no"}}),
    ),
    (b"text a\nte", _event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]})),
    (b"", b""),
]


def _translating() -> tuple[Provider, Upstream]:
    """A provider, and the upstream request of a chat that is to be streamed."""
    provider = _provider(Translating)
    head = Head("POST", CHAT, fields=JSON_FIELDS)
    needs = pipeline.requestheaders(provider, head)
    assert isinstance(needs, NeedsBody)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
    upstream = requested(needs, head, body)
    outgoing = pipeline.outgoing(provider, head, upstream, raw=body)
    assert (outgoing.target, outgoing.body) == ("/ask/m", b"user hi\n")
    assert outgoing.fields == (
        (b"Host", b"row.test"),
        (b"Content-Type", b"text/plain"),
        (b"Content-Length", b"8"),
        (b"Accept-Encoding", b"identity"),
        (b"Authorization", b"Bearer key"),
    )
    # A flow that is saved and loaded again.
    return provider, upstream._replace(memo=json.loads(json.dumps(dict(upstream.memo))))


def _transducer(provider: Provider, sent: Upstream) -> Transducer:
    fields = ((b"Content-Type", b"text/plain"), (b"Content-Length", b"9"), (b"Server", b"s"))
    handling = pipeline.responseheaders(provider, sent, 200, fields)
    assert isinstance(handling, Pieces)
    assert handling.is_translated
    changed = header_fields.changed(fields, handling.fields)
    assert changed == ((b"Content-Type", b"text/event-stream"), (b"Server", b"s"))
    return handling.transducer


@pytest.mark.parametrize(("answer", "events"), ANSWERS)
def test_a_translated_stream_is_the_same_however_it_is_cut(answer: bytes, events: bytes) -> None:
    provider, sent = _translating()
    whole = range(len(answer) + 1)
    cuts = [[0, first, second, len(answer)] for first in whole for second in whole if first <= second]
    for places in [*cuts, list(whole)]:
        transducer = _transducer(provider, sent)
        pieces = [transducer.feed(answer[start:end]) for start, end in itertools.pairwise(places)]
        assert b"".join(pieces) + transducer.end() == events


def test_an_event_is_sent_as_soon_as_its_line_is_complete() -> None:
    transducer = _transducer(*_translating())

    assert transducer.feed(b"text a") == b""
    assert transducer.feed(b"\nte").count(b"data: ") == 1
    assert transducer.feed(b"xt b\ntext c\n").count(b"data: ") == 2
    assert transducer.end() == b""


def test_each_answer_has_a_transducer_of_its_own() -> None:
    provider, sent = _translating()
    first, second = _transducer(provider, sent), _transducer(provider, sent)
    first.feed(b"text a")

    assert second.feed(b"\n") == b""
    assert first.feed(b"\n") != b""


@pytest.mark.parametrize(
    ("status", "content_type"), [(401, b"text/plain"), (200, b"application/json"), (500, b"text/html")]
)
def test_an_answer_that_is_no_stream_is_passed_on(status: int, content_type: bytes) -> None:
    provider, sent = _translating()

    assert pipeline.responseheaders(provider, sent, status, ((b"Content-Type", content_type),)) == PASS
