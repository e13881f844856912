"""Byte ranges: one part is given, what is not valid is ignored, what lies outside is refused."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.platform.web import ranges
from mitm_ai_proxy.platform.web.ranges import NotSatisfiable, Span
from tests.tables import table


@table(
    ("field", "expected"),
    [
        ("", None),
        ("bytes=0-", Span(0, 100)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 10)),
        ("bytes=90-200", Span(90, 10)),
        ("bytes=99-", Span(99, 1)),
        ("bytes=-1", Span(99, 1)),
        ("bytes=-200", Span(0, 100)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=\u0661-", None),
    ],
)
def test_a_range_is_a_part_of_the_file(field: str, expected: Span | None) -> None:
    assert ranges.asked(field, 100) == expected


@table(("field", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_a_range_outside_of_the_file_is_refused(field: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        ranges.asked(field, size)


def test_a_part_is_said_with_the_size_of_the_whole() -> None:
    assert ranges.content_range(Span(10, 10), 100) == "bytes 10-19/100"
