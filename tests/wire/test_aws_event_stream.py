"""Amazon's event streams: published messages, any cut, and what is wrong with a stream."""

from __future__ import annotations

import itertools
import struct
from zlib import crc32

from mitm_ai_proxy.wire.aws_event_stream import MAX_HEADERS, Message, Reader, written
from tests.tables import table

JSON = b"{'foo':'bar'}"
TYPED = {"content-type": "application/json"}
EMPTY_HEX = "000000100000000005c248eb7d98c8ff"
BARE_HEX = "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
TYPED_HEX = (
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d"
    "8d9c08b1"
)
STREAM = [
    Message({":message-type": "event", ":event-type": "messageStart"}, b'{"role":"assistant"}'),
    Message({":message-type": "event", ":event-type": "contentBlockDelta"}, '{"delta":{"text":"é"}}'.encode()),
    Message({":message-type": "exception", ":exception-type": "throttlingException"}, b""),
    Message({}, b"\0" * 40),
]


def _read(data: bytes, reader: Reader | None = None) -> tuple[list[Message], str]:
    reader = reader or Reader()
    found = reader.feed(data)
    reader.end()
    return found, reader.problem


def _frame(headers: bytes, payload: bytes = b"", size: int | None = None, headers_size: int | None = None) -> bytes:
    """A message with right checksums; its lengths may be other ones than they should be."""
    sizes = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if size is None else size,
        len(headers) if headers_size is None else headers_size,
    )
    frame = sizes + struct.pack(">I", crc32(sizes)) + headers + payload
    return frame + struct.pack(">I", crc32(frame))


@table(
    ("data", "message"),
    [(EMPTY_HEX, Message({}, b"")), (BARE_HEX, Message({}, JSON)), (TYPED_HEX, Message(TYPED, JSON))],
)
def test_published_messages_are_read_and_written(data: str, message: Message) -> None:
    assert _read(bytes.fromhex(data)) == ([message], "")
    assert written(message).hex() == data


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    data = b"".join(map(written, STREAM))
    cuts = [range(0, len(data) + size, size) for size in range(1, 60)]
    cuts += [range(0, len(data) + 1, len(data))]
    for places in cuts:
        reader = Reader()
        pieces = [data[start:end] for start, end in itertools.pairwise(places)]
        found = [message for piece in pieces for message in reader.feed(piece)]
        reader.end()
        assert (found, reader.problem) == (STREAM, "")


def test_a_message_is_given_with_its_last_byte() -> None:
    reader = Reader()
    data = written(STREAM[0])

    assert reader.feed(data[:-1]) == []
    assert reader.feed(data[-1:] + data[:4]) == [STREAM[0]]
    assert reader.feed(data[4:]) == [STREAM[0]]
    assert reader.feed(b"") == []


def test_headers_of_all_types_are_passed_over_and_strings_are_kept() -> None:
    values = {
        0: b"",
        1: b"",
        2: b"\x10",
        3: b"\0\x10",
        4: b"\0\0\0\x28",
        5: b"\0" * 8,
        6: b"\0\x03abc",
        8: b"\0" * 8,
        9: b"\0" * 16,
    }
    headers = b"".join(b"\x01%c%c%b" % (97 + kind, kind, value) for kind, value in values.items())
    text = b"\x02ok\x07\0\x03\xe2\x82\xac"

    assert _read(_frame(headers + text, JSON)) == ([Message({"ok": "€"}, JSON)], "")


GOOD = written(STREAM[0])


@table(
    ("data", "problem"),
    [
        (GOOD[:8] + b"\0\0\0\0" + GOOD[12:], "has a message whose prelude does not match its checksum"),
        (b"\xff" * 12, "has a message whose prelude does not match its checksum"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "has a message whose prelude does not match its checksum"),
        (GOOD[:20] + bytes([GOOD[20] ^ 1]) + GOOD[21:], "has a message that does not match its checksum"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "has a message that does not match its checksum"),
        (_frame(b"", size=17 * 1024 * 1024), "has a message of more than 16777216 bytes"),
        (_frame(b"", size=15), "has a message whose lengths do not fit"),
        (_frame(b"", headers_size=1), "has a message whose lengths do not fit"),
        (_frame(b"", size=MAX_HEADERS + 99, headers_size=MAX_HEADERS + 1), "has a message whose lengths do not fit"),
        # The length of a name, of a value, a type that does not exist, a text that is not UTF-8.
        (_frame(b"\x05ab"), "has a message whose headers cannot be read"),
        (_frame(b"\x01a\x07\0\x05ab"), "has a message whose headers cannot be read"),
        (_frame(b"\x01a\x07\0"), "has a message whose headers cannot be read"),
        (_frame(b"\x01a\x0a"), "has a message whose headers cannot be read"),
        (_frame(b"\x01a\x07\0\x01\xff"), "has a message whose headers cannot be read"),
    ],
)
def test_what_is_wrong_ends_the_stream_behind_what_was_right(data: bytes, problem: str) -> None:
    assert _read(GOOD + data + GOOD) == ([STREAM[0]], problem)
    reader = Reader()
    found = [message for byte in GOOD + data + GOOD for message in reader.feed(bytes([byte]))]
    assert (found, reader.problem) == ([STREAM[0]], problem)
    assert reader.feed(GOOD) == []


def test_a_stream_that_ends_within_a_message_says_so() -> None:
    for length in range(1, len(GOOD)):
        assert _read(GOOD + GOOD[:length]) == ([STREAM[0]], "ends within a message")
    assert _read(GOOD) == ([STREAM[0]], "")
    assert _read(b"") == ([], "")


def test_no_more_is_held_than_the_limit_allows() -> None:
    message = Message({}, b"x" * 84)

    assert _read(written(message), Reader(limit=100)) == ([message], "")
    assert _read(written(message), Reader(limit=99)) == ([], "has a message of more than 99 bytes")
