"""Reading and changing header fields: names in any case, values to the byte, order kept."""

from __future__ import annotations

from mitm_ai_proxy.wire import header_fields
from tests.tables import table

FIELDS = ((b"Host", b"a"), (b"X-A", b"1"), (b"x-a", b"\xff"), (b"Accept", b"*/*"))


@table(("name", "expected"), [(b"host", "a"), (b"x-a", "1, \udcff"), (b"accept", "*/*"), (b"x-b", ""), (b"Host", "")])
def test_the_values_of_all_fields_of_a_name_are_joined(name: bytes, expected: str) -> None:
    assert header_fields.value(FIELDS, name) == expected


@table(
    ("without", "prefixes", "expected"),
    [
        ({b"x-a", b"cookie"}, (), (FIELDS[0], FIELDS[3])),
        ((), (b"x-", b"b"), (FIELDS[0], FIELDS[3])),
        ({b"host"}, (b"acc",), FIELDS[1:3]),
        ({b"x"}, (b"a-",), FIELDS),
    ],
)
def test_fields_are_removed_by_name_in_any_case(
    without: set[bytes], prefixes: tuple[bytes, ...], expected: header_fields.Fields
) -> None:
    assert header_fields.changed(FIELDS, {}, without, prefixes) == expected


@table(("without", "prefixes"), [({b"host"}, ()), ((), (b"ho",))])
def test_a_new_value_of_a_removed_field_is_appended(without: set[bytes], prefixes: tuple[bytes, ...]) -> None:
    assert header_fields.changed(FIELDS, {b"host": b"b"}, without, prefixes) == (*FIELDS[1:], (b"Host", b"b"))


@table(
    ("changes", "expected"),
    [
        ({}, FIELDS),
        ({b"host": b"b"}, ((b"Host", b"b"), *FIELDS[1:])),
        ({b"x-a": b"2"}, (FIELDS[0], (b"X-A", b"2"), FIELDS[3])),
        ({b"x-a": None, b"x-b": None}, (FIELDS[0], FIELDS[3])),
        ({b"content-type": b"a", b"accept": b"b"}, (*FIELDS[:3], (b"Accept", b"b"), (b"Content-Type", b"a"))),
        ({b"content-length": b"0"}, FIELDS),
    ],
)
def test_a_changed_field_stands_once_where_it_stood_or_at_the_end(
    changes: dict[bytes, bytes | None], expected: header_fields.Fields
) -> None:
    assert header_fields.changed(FIELDS, changes) == expected


def test_a_content_length_is_replaced_and_never_added() -> None:
    fields = ((b"content-length", b"12"), *FIELDS)

    assert header_fields.changed(fields, {b"content-length": b"7"}) == ((b"content-length", b"7"), *FIELDS)
