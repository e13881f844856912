"""Server-sent events: any cut, any end of line, comments, types, bounds; and what is written is read again."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.wire import sse
from mitm_ai_proxy.wire.sse import Event, Reader
from tests.tables import table

STREAM = (
    '\ufeff: hello\n\nevent: grüße\ndata: {"a": "é😀"}\n\ndata:one\ndata: two\ndata\n\nid: 7\nretry: 1\n'
    ":HTTP_STATUS/200\ndata:  x\n\nevent: none\n\n\n\ndata: [DONE]"
).encode()
EVENTS = [
    Event(b"", b"", b"hello"),
    Event('{"a": "é😀"}'.encode(), "grüße".encode()),
    Event(b"one\ntwo\n"),
    Event(b" x", b"", b"HTTP_STATUS/200"),
    Event(b"[DONE]"),
]


def _read(*pieces: bytes) -> list[Event]:
    reader = Reader()
    return [*(found for piece in pieces for found in reader.feed(piece)), *reader.end()]


@table("ending", [b"\n", b"\r\n", b"\r"])
def test_a_stream_gives_the_same_events_wherever_it_is_cut(ending: bytes) -> None:
    stream = STREAM.replace(b"\n", ending)

    assert _read(stream) == EVENTS
    assert _read(*(stream[i : i + 1] for i in range(len(stream)))) == EVENTS
    for cut in range(len(stream) + 1):
        assert _read(stream[:cut], b"", stream[cut:]) == EVENTS, cut


def test_an_event_is_given_as_soon_as_its_empty_line_is_there() -> None:
    assert Reader().feed(b"data: a\n\n") == [Event(b"a")]
    assert Reader().feed(b"data: a\r\r") == [Event(b"a")]
    assert Reader().feed(b"data: a\n") == []


def test_mixed_ends_of_lines_are_read_and_a_lone_cr_before_the_lf_of_another_piece_is_one_end() -> None:
    assert _read(b"data: a\r", b"\ndata: b\r", b"\r", b"\ndata: c\n\r\n") == [Event(b"a\nb"), Event(b"c")]


@table(
    ("stream", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data:\n\n", [Event(b"")]),
        (b"data\n\n", [Event(b"")]),
        (b"event: a\n\ndata: b\n\n", [Event(b"b")]),
        (b"event:a\ndata: b\n\n", [Event(b"b", b"a")]),
        (b"event: a\nevent: c\ndata: b\n\n", [Event(b"b", b"c")]),
        (b"datum: b\n\n", []),
        (b"no colon\n\n", []),
        (b"<html>\n<p>data: b</p>\n\n</html>", []),
        (b": a\n: b\n\n", [Event(b"", b"", b"b")]),
        (b":\n\n", [Event(b"", b"", b"")]),
        (b"data: \xff\n\n", [Event(b"\xff")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")]),
        (b"data: a\x00b\n\n", [Event(b"a\x00b")]),
        ("data: a\u2028b\x0bc\n\n".encode(), [Event("a\u2028b\x0bc".encode())]),
    ],
)
def test_odd_lines_are_skipped_or_kept_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert _read(stream) == events


@table(
    "pieces",
    [
        (b"data: 0123456789012345678901234567890",),
        (b"data: ", *(b"0123456789" for _ in range(3))),
        (b"data: 01234567\n", b"data: 01234567\n", b"data: 01234567\n"),
        (b"x" * 31,),
    ],
)
def test_an_event_that_does_not_end_is_refused_before_it_fills_the_memory(pieces: tuple[bytes, ...]) -> None:
    *before, last = pieces
    reader = Reader(limit=30)
    for piece in before:
        reader.feed(piece)

    with pytest.raises(sse.TooLong, match="more than 30 bytes"):
        reader.feed(last)


def test_the_bound_is_for_one_event_and_not_for_the_stream() -> None:
    reader = Reader(limit=30)

    found = [event for _ in range(100) for event in reader.feed(b"data: 0123456789\n: c\n\n")]

    assert len(found) == 100


@table(
    ("data", "type", "written"),
    [
        (b"a", b"", b"data: a\n\n"),
        (b"a", b"t", b"event: t\ndata: a\n\n"),
        (b"", b"", b"data: \n\n"),
        (b" a", b"", b"data:  a\n\n"),
        (b"a\nb\r\nc\rd\n", b"t", b"event: t\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
    ],
)
def test_what_is_written_is_read_again(data: bytes, type: bytes, written: bytes) -> None:
    assert sse.event(data, type) == written
    assert _read(written) == [Event(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), type)]


def test_a_comment_is_read_as_one() -> None:
    assert _read(sse.comment(b"ping")) == [Event(b"", b"", b"ping")]
