"""Holding, streaming and translating bodies, on flows without sockets."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from mitm_ai_proxy.auth.masking import Mask
from mitm_ai_proxy.chat.dialects import DIALECTS
from mitm_ai_proxy.exchange import Handling, Pass, Pieces, Whole
from mitm_ai_proxy.gateway import streams
from mitm_ai_proxy.gateway.streams import SHOWN_BODY
from mitm_ai_proxy.pipeline import BODY_LIMIT
from tests.tables import table

FAILURE = b'data: {"error": {"message": "ai-proxy could not translate'


class Upper:
    """A transducer to upper case, with an end."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return b"."


class Lines:
    """A transducer that gives whole lines only."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        done, _, self._rest = (self._rest + data).rpartition(b"\n")
        return done

    def end(self) -> bytes:
        return b""


class Raising:
    """A transducer that raises at a piece, or at the end."""

    def __init__(self, at: bytes | None) -> None:
        self._at = at

    def feed(self, data: bytes) -> bytes:
        if self._at is not None and self._at in data:
            raise RuntimeError("text of a body")
        return data

    def end(self) -> bytes:
        if self._at is None:
            raise KeyError("text of a body")
        return b""


def _answer(fields: dict[str, str], version: str = "HTTP/1.1") -> http.HTTPFlow:
    """A flow with the head of an answer."""
    flow = tflow.tflow(resp=http.Response.make(200, b"", fields))
    assert flow.response
    flow.response.http_version = version
    flow.response.data.content = None
    flow.response.headers.pop("content-length", None)
    flow.response.headers.update(fields)
    return flow


pytestmark = pytest.mark.usefixtures("mitmproxy_context")


def _begin(flow: http.HTTPFlow, handling: Handling, dialect: str = "openai") -> Callable[[bytes], list[bytes]] | bool:
    assert flow.response
    streams.begin_answer(flow, flow.response, handling, DIALECTS[dialect], False)
    stream = flow.response.stream
    assert isinstance(stream, bool) or callable(stream)
    return stream  # type: ignore[return-value]


EVENTS = {"content-type": "text/event-stream"}
CHUNKED = {"Transfer-Encoding": "chunked"}
WHOLE = Whole(lambda answer: answer)


@table(
    ("fields", "handling", "streamed"),
    [
        ({"content-length": "2"}, Pass(), False),
        ({"content-length": str(SHOWN_BODY)}, Pass(), False),
        ({"content-length": str(SHOWN_BODY + 1)}, Pass(), True),
        ({"content-length": "2"}, Pass(holds_small=False), True),
        ({"content-length": "2", "content-type": "video/mp4"}, Pass(), True),
        ({"content-length": "2", "content-type": "TEXT/Event-Stream; charset=utf-8"}, Pass(), True),
        ({"content-length": "2", "content-type": "application/json"}, Pass(), False),
        # A length that is not known before the end; a flow without sockets has no layers.
        ({"transfer-encoding": "chunked"}, Pass(), True),
        ({"content-length": str(SHOWN_BODY + 1), "content-type": "video/mp4"}, WHOLE, False),
        ({"content-length": str(BODY_LIMIT)}, WHOLE, False),
    ],
)
def test_an_answer_is_held_or_flows_by_its_length_its_type_and_its_handling(
    fields: dict[str, str], handling: Handling, streamed: bool
) -> None:
    assert bool(_begin(_answer(fields), handling)) is streamed


@table(
    ("status", "coding", "secret", "streamed"),
    [
        (401, {"content-encoding": "gzip"}, b"a secret", False),
        (401, {"content-encoding": "gzip"}, b"", True),
        (401, {}, b"a secret", True),
        (200, {"content-encoding": "gzip"}, b"a secret", True),
    ],
)
def test_an_encoded_error_is_held_where_it_may_repeat_a_credential(
    status: int, coding: dict[str, str], secret: bytes, streamed: bool
) -> None:
    flow = _answer({"content-length": "2", **coding})
    assert flow.response
    flow.response.status_code = status
    mask = Mask((secret,)) if secret else None

    streams.begin_answer(flow, flow.response, Pass(holds_small=False), DIALECTS["openai"], False, mask)

    assert bool(flow.response.stream) is streamed


@table(
    ("fields", "handling", "is_kept"),
    [
        (EVENTS, Pass(), True),
        ({"content-type": "application/x-ndjson"}, Pass(), True),
        ({"content-type": "application/json"}, Pass(holds_small=False), True),
        ({}, Pass(holds_small=False), True),
        (EVENTS, Pieces(Upper()), True),
        ({"content-type": "video/mp4"}, Pass(), False),
        ({"content-type": "application/octet-stream"}, Pass(holds_small=False), False),
        ({"content-type": "audio/mpeg"}, Pieces(Upper()), False),
    ],
)
def test_what_was_streamed_is_kept_where_a_person_can_read_it(
    fields: dict[str, str], handling: Handling, is_kept: bool
) -> None:
    flow = _answer(fields)
    stream = _begin(flow, handling)
    sent = b"".join(b"".join(stream(piece)) for piece in (b"a", b"b", b"")) if callable(stream) else b"ab"
    assert flow.response

    assert streams.show_stream(flow.response) == ""
    assert flow.response.data.content == (sent if is_kept else None)


def test_of_a_long_stream_the_beginning_is_kept_and_a_note_says_so() -> None:
    flow = _answer(EVENTS)
    stream = _begin(flow, Pass())
    assert callable(stream)
    for _ in range(5):
        stream(b"x" * (SHOWN_BODY // 4))
    stream(b"")
    assert flow.response

    assert "the first 1048576 bytes" in streams.show_stream(flow.response)
    assert flow.response.data.content == b"x" * SHOWN_BODY


def test_what_mitmproxy_has_kept_itself_stays() -> None:
    flow = _answer(EVENTS)
    stream = _begin(flow, Pass())
    assert callable(stream)
    assert flow.response
    stream(b"a")
    flow.response.data.content = b"all of it"

    assert streams.show_stream(flow.response) == ""
    assert flow.response.data.content == b"all of it"


def test_an_answer_that_is_here_already_is_left_alone() -> None:
    flow = tflow.tflow(resp=http.Response.make(200, b"x" * (SHOWN_BODY + 1)))

    assert _begin(flow, Pass()) is False


@table(
    ("version", "fields", "expected"),
    [
        ("HTTP/1.1", {"content-length": "9", "content-encoding": "identity"}, {"transfer-encoding": "chunked"}),
        ("HTTP/1.1", {"transfer-encoding": "chunked"}, {"transfer-encoding": "chunked"}),
        ("HTTP/2.0", {"content-length": "9"}, {}),
    ],
)
def test_a_translated_answer_has_no_length_and_no_coding(
    version: str, fields: dict[str, str], expected: dict[str, str]
) -> None:
    flow = _answer({"x-a": "1", **fields}, version)

    _begin(flow, Pieces(Upper(), {b"content-type": b"text/event-stream"}))

    assert flow.response
    headers = {name.lower(): value for name, value in flow.response.headers.items()}
    assert headers == {"x-a": "1", "content-type": "text/event-stream", **expected}


def test_an_answer_that_is_only_listened_to_keeps_its_head() -> None:
    flow = _answer({"content-length": "9", "content-encoding": "br"})
    assert flow.response
    before = flow.response.headers.fields

    _begin(flow, Pieces(Upper(), is_translated=False))

    assert flow.response.headers.fields == before


@table(
    ("transducer", "pieces", "expected"),
    [
        (Upper(), [b"a", b"b"], [[b"A"], [b"B"], [b"."]]),
        # b"" would end a chunked answer.
        (Lines(), [b"a", b"b\nc", b"\n"], [[], [b"ab"], [b"c"], []]),
    ],
)
def test_each_piece_is_translated_and_nothing_is_an_empty_list(
    transducer: Upper | Lines, pieces: list[bytes], expected: list[list[bytes]]
) -> None:
    stream = _begin(_answer(EVENTS), Pieces(transducer))
    assert not isinstance(stream, bool)

    assert [stream(piece) for piece in [*pieces, b""]] == expected


@table("coding", ["gzip", "deflate"])
@table("size", [1, 7, 10_000])
def test_a_coded_stream_is_decoded_before_it_is_translated(coding: str, size: int) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    packed = packer.compress(b"abc" * 1000) + packer.flush()
    stream = _begin(_answer({**EVENTS, "content-encoding": coding}), Pieces(Upper()))
    assert not isinstance(stream, bool)

    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]

    assert b"".join(part for piece in [*pieces, b""] for part in stream(piece)) == b"ABC" * 1000 + b"."


@table(
    ("transducer", "pieces", "before"),
    [
        (Raising(b"x"), [b"a", b"x", b"b"], 1),
        (Raising(b"a"), [b"a", b"b"], 0),
        (Raising(None), [b"a", b"b"], 2),
    ],
    ids=["in the middle", "at once", "at the end"],
)
@table("dialect", ["openai", "anthropic"])
def test_a_transducer_that_raises_gives_one_error_event_and_silence(
    transducer: Raising, pieces: list[bytes], before: int, dialect: str
) -> None:
    stream = _begin(_answer(EVENTS), Pieces(transducer), dialect)
    assert not isinstance(stream, bool)

    got = [stream(piece) for piece in [*pieces, b"", b""]]

    assert got[:before] == [[piece] for piece in pieces[:before]]
    (event,) = got[before]
    assert event.startswith(b"event: error\n" if dialect == "anthropic" else FAILURE)
    assert event.endswith(b"}\n\n")
    assert b"text of a body" not in event
    assert got[before + 1 :] == [[]] * len(got[before + 1 :])


def test_a_broken_coding_is_a_failure_too() -> None:
    stream = _begin(_answer({**EVENTS, "content-encoding": "gzip"}), Pieces(Upper()))
    assert not isinstance(stream, bool)

    (event,) = stream(b"no gzip at all")

    assert event.startswith(FAILURE)


def test_the_failure_of_what_is_no_event_stream_is_its_end() -> None:
    stream = _begin(_answer({"content-type": "text/plain"}), Pieces(Raising(b"x")))
    assert not isinstance(stream, bool)

    assert [stream(b"a"), stream(b"x"), stream(b"b"), stream(b"")] == [[b"a"], [], [], []]


@table(
    ("fields", "streamed"),
    [
        ({}, False),
        ({"Content-Length": str(SHOWN_BODY)}, False),
        ({"Content-Length": str(SHOWN_BODY + 1)}, True),
        (CHUNKED, True),
    ],
)
def test_a_request_that_only_passes_is_held_as_long_as_it_is_small(fields: dict[str, str], streamed: bool) -> None:
    flow = _request(fields)

    streams.stream_long_request(flow)

    assert flow.request.stream is streamed


@table(
    ("fields", "pieces", "shown"),
    [
        (CHUNKED, [b"a", b"b"], b"ab"),
        ({"Content-Length": "2"}, [b"a", b"b"], b"ab"),
        (CHUNKED, [], b""),
        (CHUNKED, [b"a" * SHOWN_BODY], b"a" * SHOWN_BODY),
        (CHUNKED, [b"a" * SHOWN_BODY, b"a", b"b"], None),
        ({**CHUNKED, "Content-Type": "video/mp4"}, [b"a"], None),
    ],
)
def test_a_streamed_request_is_shown_whole_or_not_at_all(
    fields: dict[str, str], pieces: list[bytes], shown: bytes | None
) -> None:
    flow = _request(fields)

    streams.stream_request(flow)
    stream: Any = flow.request.stream
    passed = pieces if stream is True else [stream(piece) for piece in pieces]
    streams.show_request(flow.request)

    assert (passed, flow.request.raw_content) == (pieces, shown)


def test_a_request_that_is_here_is_not_streamed() -> None:
    flow = _request({"Content-Length": "4"})
    streams.stream_request(flow)
    assert flow.request.stream
    # A person sends it again.
    flow.request.data.content = b"here"

    streams.stream_request(flow)
    streams.show_request(flow.request)

    assert (flow.request.stream, flow.request.raw_content) == (False, b"here")


def _request(fields: dict[str, str]) -> http.HTTPFlow:
    """A flow with the head of a request."""
    flow = tflow.tflow(req=http.Request.make("POST", "http://a.test/"))
    flow.request.data.content = None
    flow.request.headers.pop("content-length", None)
    flow.request.headers.update(fields)
    return flow
