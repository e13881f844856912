"""Text of a client in a log: one line, and nothing that a terminal obeys."""

from __future__ import annotations

from mitm_ai_proxy.wire.printable import printable
from tests.tables import table


@table("text", ["", "GET /v1/videos", "é 字 😀", "a\\x1bb"])
def test_what_is_printed_stays(text: str) -> None:
    assert printable(text) is text


@table(
    ("text", "expected"),
    [
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("é\x00\x7f", "é\\x00\\x7f"),
        ("\x85\x9b", "\\x85\\x9b"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_is_not_printed_is_an_escape(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_all_that_comes_out_is_printed() -> None:
    assert printable("".join(map(chr, range(0x11000)))).isprintable()
