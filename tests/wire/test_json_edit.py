"""Positions of the members of a JSON object, documents that are refused, and edits that keep every other byte."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mitm_ai_proxy.wire import json_edit
from mitm_ai_proxy.wire.json_edit import MAX_MARKS, Edit, JSONError, Member
from tests.tables import table

SPACES = ("", "", "", " ", "\n", "\t", "\r\n", " \t\r\n ")
SCALARS = ("0", "-0", "1.50", "1E400", "-2e-7", "12345678901234567890123", "true", "false", "null")
PIECES = (*"ab{}[]:, é😀\x7f", r"\"", r"\\", r"\/", r"\n", r"\u00e9", r"\ud83d\ude00")
HALF_PAIRS = (r"\ud800", r"\uDFFF")
SEEDS = range(150)


class _Writer:
    """Random JSON text: odd white space, every escape, repeated keys, numbers that no float holds."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # Half a pair sends the whole document to another parser, so only some documents have any.
        self._pieces = PIECES + HALF_PAIRS * (seed % 3 == 0)

    def document(self) -> bytes:
        return f"{self._space()}{self._object(0)}".encode()

    def _space(self) -> str:
        return self._random.choice(SPACES)

    def _string(self) -> str:
        return '"' + "".join(self._random.choices(self._pieces, k=self._random.choice((0, 1, 2, 12)))) + '"'

    def _key(self) -> str:
        return self._random.choice((self._string(), '"model"', r'"mod\u0065l"'))

    def _value(self, depth: int) -> str:
        kinds = (self._random.choice(SCALARS), self._string(), self._object(depth), self._array(depth))
        return self._random.choice(kinds[:2] if depth > 3 else kinds)

    def _array(self, depth: int) -> str:
        return f"[{self._items([self._value(depth + 1) for _ in range(self._count(depth))])}]"

    def _object(self, depth: int) -> str:
        pairs = [(self._key(), self._space(), self._value(depth + 1)) for _ in range(self._count(depth))]
        return f"{{{self._items([f'{key}{space}:{space}{value}' for key, space, value in pairs])}}}"

    def _count(self, depth: int) -> int:
        return self._random.randrange(5) if depth < 3 else 0

    def _items(self, items: list[str]) -> str:
        return ",".join(f"{self._space()}{item}{self._space()}" for item in items) or self._space()


def _parsed(text: bytes) -> Any:
    """Python's own reading: objects as tuples of pairs, so that repeated keys count; numbers as they are written."""
    return json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str)


def _read(document: bytes, found: list[Member]) -> tuple[tuple[str, Any], ...]:
    return tuple((member.key, _parsed(document[member.start : member.end])) for member in found)


def _only(document: bytes) -> Member:
    (member,) = json_edit.members(document)
    return member


@table("worth", [0, json_edit._WORTH_DECODING])
@table("seed", SEEDS)
def test_members_and_their_positions_are_those_that_python_reads(
    seed: int, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_edit, "_WORTH_DECODING", worth)
    document = _Writer(seed).document()
    found = json_edit.members(document)
    assert _read(document, found) == _parsed(document)
    assert [json.loads(document[member.key_start : member.key_end]) for member in found] == [m.key for m in found]
    for member in found:
        inner = _parsed(document[member.start : member.end])
        assert _read(document, json_edit.members_of(document, member)) == (inner if isinstance(inner, tuple) else ())
        if isinstance(inner, list):
            items = json_edit.items_at(document, member.start, member.end)
            assert [_parsed(document[item.start : item.end]) for item in items] == inner


@table("seed", SEEDS)
def test_a_truncated_document_is_refused(seed: int) -> None:
    document = _Writer(seed).document()
    for length in range(len(document)):
        with pytest.raises(JSONError):
            json_edit.members(document[:length])


@table("seed", SEEDS)
def test_removing_a_member_takes_it_and_one_comma_and_keeps_the_bytes_of_the_others(seed: int) -> None:
    document = _Writer(seed).document()
    found = json_edit.members(document)
    for index, member in enumerate(found):
        (edit,) = json_edit.remove(found, [member])
        edited = json_edit.apply(document, [edit])
        assert edited == document[: edit.start] + document[edit.end :]
        others = [document[other.key_start : other.end] for other in found if other is not member]
        assert [edited[other.key_start : other.end] for other in json_edit.members(edited)] == others
        assert _parsed(edited) == _parsed(document)[:index] + _parsed(document)[index + 1 :]


@table("seed", SEEDS)
def test_any_members_are_removed_at_once(seed: int) -> None:
    document = _Writer(seed).document()
    found = json_edit.members(document)
    for chosen in (
        found,
        found[1:],
        found[:-1],
        found[::2],
        found[1::2],
        random.Random(seed).sample(found, len(found) // 2),
    ):
        edited = json_edit.apply(document, json_edit.remove(found, chosen))
        kept = [document[member.key_start : member.end] for member in found if member not in chosen]
        assert [edited[member.key_start : member.end] for member in json_edit.members(edited)] == kept


@table("seed", SEEDS)
def test_edits_in_any_order_change_what_they_name_and_nothing_else(seed: int) -> None:
    document = _Writer(seed).document()
    edits = [Edit(member.start, member.end, b"<%d>" % member.start) for member in json_edit.members(document)]
    expected = document
    for start, end, text in reversed(edits):
        expected = expected[:start] + text + expected[end:]
    random.Random(seed).shuffle(edits)
    assert json_edit.apply(document, edits) == expected


@table(
    ("document", "key", "expected"),
    [
        (b'{"a":1,"b":2,"c":3}', "a", b'{"b":2,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', "b", b'{"a":1,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', "c", b'{"a":1,"b":2}'),
        (b'{ "a" : 1 }', "a", b"{  }"),
        (b'{ "a" : 1 ,\n  "b" : [2] \n}', "a", b'{ "b" : [2] \n}'),
        (b'{ "a" : 1 ,\n  "b" : [2] \n}', "b", b'{ "a" : 1 \n}'),
    ],
)
def test_a_removed_member_leaves_tidy_text(document: bytes, key: str, expected: bytes) -> None:
    found = json_edit.members(document)
    (member,) = (member for member in found if member.key == key)
    assert json_edit.apply(document, json_edit.remove(found, [member])) == expected


def test_without_edits_the_document_is_the_same_object() -> None:
    document = b'{"a": 1}'
    assert json_edit.apply(document, []) is document


def test_an_edit_may_insert_before_and_behind_everything() -> None:
    assert json_edit.apply(b"{}", [Edit(2, 2, b"!"), Edit(0, 0, b"?"), Edit(1, 1, b"-")]) == b"?{-}!"


def test_a_repeated_key_is_found_twice_however_it_is_written() -> None:
    document = rb'{"model":"one","mod\u0065l":"two"}'
    found = json_edit.members(document)
    assert [(member.key, json_edit.string_value(document, member)) for member in found] == [
        ("model", "one"),
        ("model", "two"),
    ]


@table(
    ("text", "may_be"),
    [
        (b'{"a":1}', True),
        (rb'{"\u0061":1}', True),
        (rb'{"\u00E9 \u00e9\u4f60\n\u003c":1}', False),
        (b'{"b":1}', False),
    ],
)
def test_a_word_may_be_spelled_with_escapes_of_its_letters_only(text: bytes, may_be: bool) -> None:
    assert json_edit.may_spell(text, b'"a"') is may_be


def test_a_repeated_key_of_a_long_object_has_two_values() -> None:
    first, second = b"[%b]" % b",".join([b"{}"] * 500), b"[[%b]]" % b",".join([b"{}"] * 500)
    document = b'{"a":%b,"a":%b}' % (first, second)

    found = json_edit.members(document)

    assert [document[member.start : member.end] for member in found] == [first, second]


# Around the lengths and counts at which the scan hands a string or a number to another of its patterns.
@table("length", [0, 1, 4, 5, 7, 8, 9, 199, 200, 201, 1600, 1601, 3000])
@table(
    "filler",
    ["x", '"', "\\", "\n", "{", "]", "},", '",', '"}', '["', '\\"', '":"', 'a\n"', "é", "/\\}"],
)
def test_the_content_of_a_string_does_not_change_the_end_of_a_member(filler: str, length: int) -> None:
    text = (filler * length)[:length]
    value = {"list": ["", text, {text: [text], "": ""}], text: text, "plain": text, "last": 1}
    document = json.dumps(value, ensure_ascii=False).encode()
    found = json_edit.members(document)
    assert {member.key: json.loads(document[member.start : member.end]) for member in found} == value


@table("length", [1, 199, 200, 201, 5000])
def test_a_number_keeps_all_its_digits(length: int) -> None:
    document = b'{"a":%s,"b":%s , "c":-%s}' % ((b"7" * length,) * 3)
    values = [document[member.start : member.end] for member in json_edit.members(document)]
    assert values == [b"7" * length, b"7" * length, b"-" + b"7" * length]


@table(
    ("document", "expected"),
    [
        (b'{"a":"plain"}', "plain"),
        (b'{"a":""}', ""),
        (rb'{"a":"\"\\\/\b\f\n\r\t"}', '"\\/\b\f\n\r\t'),
        (rb'{"a":"\ud83d\ude00"}', "😀"),
        (rb'{"a":"\ud83d"}', "\ud83d"),
        ('{"a":"é"}'.encode(), "é"),
        (b'{"a":1}', None),
        (b'{"a":null}', None),
        (b'{"a":["b"]}', None),
        (b'{"a":{"b":"c"}}', None),
    ],
)
def test_only_a_string_has_a_string_value(document: bytes, expected: str | None) -> None:
    assert json_edit.string_value(document, _only(document)) == expected


@table("text", ["", "kling-v3", 'a"b\\c\n', "é", "\u2028", "😀", "\ud800"])
def test_a_written_string_is_ascii_and_reads_back(text: str) -> None:
    written = json_edit.string(text)
    assert written.isascii()
    document = b'{"a":%s}' % written
    assert json_edit.string_value(document, _only(document)) == text


@table(
    ("document", "reason"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \r\n\t", "is empty", id="white space"),
        pytest.param(b"[1]", "is not a JSON object", id="array"),
        pytest.param(b' "{}"', "is not a JSON object", id="string"),
        pytest.param(b"null", "is not a JSON object", id="null"),
        pytest.param(b'{"secret":"\xff"}', r"is not UTF-8 \(byte 11\)", id="stray byte"),
        pytest.param(b'{"secret":"\xed\xa0\x80"}', r"is not UTF-8 \(byte 11\)", id="surrogate in UTF-8"),
        pytest.param(b'{"secret":"\\ud800\xff"}', r"is not UTF-8 \(byte 17\)", id="half a pair and a stray byte"),
        pytest.param('{"secret":1}'.encode("utf-16"), r"is not UTF-8 \(byte 0\)", id="UTF-16 with its mark"),
        pytest.param(b'\xef\xbb\xbf{"secret":1}', "is not valid JSON", id="byte order mark"),
        pytest.param(b'\xef\xbb\xbf{"secret":"\\ud800"}', "is not valid JSON", id="byte order mark and half a pair"),
        # Bytes that are text in UTF-8 and JSON in UTF-16, where what looks like half a pair is two letters.
        pytest.param(
            '{"secret":"\u755c\u3864"}'.encode("utf-16-le"), "is not valid JSON", id="UTF-16 without its mark"
        ),
        pytest.param(b'{"secret":1}{"a":1}', r"is not valid JSON \(trailing characters", id="two documents"),
        pytest.param(b'{"secret":1} secret', r"is not valid JSON \(trailing characters", id="text behind it"),
        pytest.param(b'{"secret":1', r"is not valid JSON \(it ends too early\)", id="cut"),
        pytest.param(b'{"secret":"sec', r"is not valid JSON \(it ends too early\)", id="cut in a string"),
        pytest.param(b'{"secret":1,}', "is not valid JSON", id="comma too many"),
        pytest.param(b'{"secret":"a" "b":1}', "is not valid JSON", id="no comma"),
        pytest.param(b"{'secret':1}", "is not valid JSON", id="single quotes"),
        pytest.param(b"{secret:1}", "is not valid JSON", id="no quotes"),
        pytest.param(b'{"secret":secret}', "is not valid JSON", id="unknown word"),
        pytest.param(b'{"secret":NaN}', "is not valid JSON", id="NaN"),
        pytest.param(b'{"secret":-Infinity,"a":"\\ud800"}', "is not valid JSON", id="infinity beside half a pair"),
        pytest.param(b'{"secret":01}', "is not valid JSON", id="leading zero"),
        pytest.param(b'{"secret":"\n"}', "is not valid JSON", id="line break in a string"),
        pytest.param(b'{"secret":"\\ud800\n"}', "is not valid JSON", id="line break behind half a pair"),
        pytest.param(b'{"secret":"\\x41"}', "is not valid JSON", id="unknown escape"),
        pytest.param(b'{"secret":1}\x00', "is not valid JSON", id="NUL behind it"),
        pytest.param(b'{"secret":\x0c1}', "is not valid JSON", id="form feed"),
        pytest.param(b'{"secret":/* secret */1}', "is not valid JSON", id="comment"),
    ],
)
def test_what_is_not_one_object_is_refused_without_quoting_it(document: bytes, reason: str) -> None:
    with pytest.raises(JSONError, match=f"^{reason}") as caught:
        json_edit.members(document)
    assert "secret" not in str(caught.value)


@table("value", [rb"\ud800", rb"\uDC00", rb"\ud800\u0041", rb"\ud83d\ud83d\ude00"])
def test_a_lone_surrogate_is_accepted_unchanged(value: bytes) -> None:
    document = b'{"%s": "%s", "number": %s}' % (value, value, b"9" * 5000)
    first, second = json_edit.members(document)
    assert document[first.start : first.end] == b'"%s"' % value
    assert first.key == json.loads(b'"%s"' % value)
    assert document[second.start : second.end] == b"9" * 5000


@table(
    "document",
    [b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":' * 100_000 + b"1" + b"}" * 100_000],
    ids=["arrays", "objects"],
)
def test_what_is_nested_too_deeply_is_refused(document: bytes) -> None:
    with pytest.raises(JSONError, match=r"^is nested too deeply$"):
        json_edit.members(document)


def test_a_lone_surrogate_does_not_let_deep_nesting_through() -> None:
    with pytest.raises(JSONError):
        json_edit.members(rb'{"a":"\ud800","b":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


PICTURE = b"A" * (json_edit.LONG + 1)


@table(
    "document",
    [
        b'{"image":"%s"}',
        b'{"a":"\\"","image":"%s","model":"m"}',
        b'{"%s":1}',
        b'{"a":["%s",{"b":"%s"}]}',
        b'{"a":"%s\\n%s","b":"%s"}',
        b'{"a":"%s\\"","b":"%s\\\\"}',
    ],
)
def test_a_picture_is_kept_and_what_stands_beside_it_is_found(document: bytes) -> None:
    whole = document.replace(b"%s", PICTURE)
    found = json_edit.members(whole)
    assert {member.key: json.loads(whole[member.start : member.end]) for member in found} == json.loads(whole)


@table(
    "document",
    [
        b'{"image":"%s',
        b'{"image":"%s"',
        b'{"image":"%s"} {}',
        b'{"image":"%s",}',
        b'{"image":"%s" "b":1}',
        b'{image:"%s"}',
        b'{"image":"%s","b":"\x01"}',
        b'{"image":"\n%s"}',
        b'{"image":"\\x%s"}',
        b'{"image":"%s\\"}',
        b'{"image":"%s\\"',
        b'{"image":"%s\\',
        b'{"\n%s":1}',
        b'{"%s\n" : 1}',
        b'{"a":\\"%s"}',
        b"{'image':'%s'}",
    ],
)
def test_what_is_wrong_beside_a_picture_is_refused(document: bytes) -> None:
    with pytest.raises(JSONError, match=r"^is not valid JSON"):
        json_edit.members(document.replace(b"%s", PICTURE))


@table("before", range(8))
@table("escape", [r"\n", r"\"", r"\\", r"\u00e9", r"\ud83d\ude00"])
def test_escapes_may_stand_where_the_validation_of_a_long_string_ends(escape: str, before: int) -> None:
    for tail in (PICTURE, b'","a":"'):
        document = b'{"image":"%s%s%s","model":"m"}' % (PICTURE[: json_edit.LONG - before], escape.encode(), tail)
        assert _read(document, json_edit.members(document)) == _parsed(document)


@table("before", range(4))
def test_a_long_text_may_be_in_any_language(before: int) -> None:
    document = f'{{"prompt":"{"x" * before}{"電" * json_edit.LONG}","model":"m"}}'.encode()
    assert [member.key for member in json_edit.members(document)] == ["prompt", "model"]


@table("text", ["é", "電", "😀"])
def test_a_picture_may_stand_beside_text_in_any_language(text: str) -> None:
    document = f'{{"{text}":"{text}","image":"{PICTURE.decode()}","b":"{text}"}}'.encode()
    found = json_edit.members(document)
    assert [member.key for member in found] == [text, "image", "b"]
    assert json_edit.string_value(document, found[2]) == text


BROKEN_ENDS = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\q", b"\\u12", b"\\n\n", b"\\n\0")


@table("end", BROKEN_ENDS)
@table("document", [b'{"a":"%s%s"}', b'{"b":1,"a":"%s%s" }'])
def test_a_long_string_that_does_not_end_well_has_no_value(document: bytes, end: bytes) -> None:
    whole = document % (PICTURE, end)
    with pytest.raises(JSONError, match=r"^holds a long string"):
        json_edit.string_value(whole, json_edit.members(whole)[-1])


@table("document", [b'{"a":"\xff%s"}', b'{"a":"\xff","b":"%s"}', b'{"a":"%s","b":"\xff"}'])
def test_what_is_not_utf_8_beside_a_picture_is_refused_with_its_place(document: bytes) -> None:
    whole = document.replace(b"%s", PICTURE)
    with pytest.raises(JSONError, match=rf"^is not UTF-8 \(byte {whole.index(255)}\)$"):
        json_edit.members(whole)


def test_only_the_beginning_of_a_long_string_is_validated() -> None:
    document = b'{"image":"%s\t\\x\xff","model":"m"}' % PICTURE
    assert [member.key for member in json_edit.members(document)] == ["image", "model"]


def test_a_lone_surrogate_may_be_next_to_a_picture() -> None:
    document = b'{"prompt":"\\ud83d","image":"%s"}' % PICTURE
    assert [member.key for member in json_edit.members(document)] == ["prompt", "image"]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(['"a":1'], id="short members"),
        pytest.param([r'"\n":"b"'], id="keys with escapes"),
        pytest.param([f'"a":{"1" * 300}'], id="long numbers"),
        pytest.param([f'"a":"{"b" * 300}"', '"a":1'], id="long strings"),
    ],
)
def test_a_scan_stops_at_its_limit_of_members(members: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_edit, "MAX_STEPS", 8)
    many = (members * 9)[:9]
    assert len(json_edit.members(f"{{{','.join(many[:8])}}}".encode())) == 8
    with pytest.raises(JSONError, match=r"^has more than 8 members and brackets$"):
        json_edit.members(f"{{{','.join(many)}}}".encode())


@pytest.mark.parametrize("item", [b"[]", b"{}", b'{"a":"b"}', b'["]"]'])
def test_a_scan_stops_at_its_limit_of_arrays_and_objects(item: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_edit, "MAX_STEPS", 50)
    assert json_edit.members(b'{"a":[%s]}' % b",".join([item] * 10))
    with pytest.raises(JSONError, match=r"^has more than 50 "):
        json_edit.members(b'{"a":[%s]}' % b",".join([item] * 50))


def test_strings_and_numbers_in_an_array_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_edit, "MAX_STEPS", 8)
    assert _only(b'{"a":[%s]}' % b",".join([b'"b",1'] * 1000)).key == "a"


@table(
    "document",
    [
        b'{"a":[' + b"1," * MAX_MARKS + b"1]}",
        b'{"a":[' + b"[]," * MAX_MARKS + b"1]}",
        b'{"a":' + b"{" * MAX_MARKS,
        b'{"a":["",' + b'"",' * (MAX_MARKS // 3) + b"1]}",
        b'{"x":"\\ud800","a":[' + b"1," * MAX_MARKS + b"1]}",
        b'{"a":"' + b"\\" * MAX_MARKS,
        b'{"picture":"' + b"A" * 100_000 + b'","a":[' + b"1," * MAX_MARKS + b"1]}",
    ],
    ids=["numbers", "lists", "objects", "strings", "half a pair", "backslashes", "beside a picture"],
)
def test_more_marks_than_any_client_sends_are_refused_before_they_are_read(document: bytes) -> None:
    with pytest.raises(JSONError, match="more than 5000000 quotes, backslashes, commas and brackets"):
        json_edit.members(document)


def test_a_picture_may_have_as_many_backslashes_as_it_likes() -> None:
    document = b'{"image":"' + b"\\/" * MAX_MARKS + b'A","model":"m"}'
    assert [member.key for member in json_edit.members(document)] == ["image", "model"]


@table(
    ("text", "is_valid"),
    [
        (rb'{"a":"\ud800"}', True),
        (rb'{"a":"\\ud800"}', True),
        (rb'{"a":"\udfff\ud800","b":["\uDBFF"]}', True),
        (rb'{"a":"\ud800","b":"\u12"}', False),
        (rb'{"a":"\ud8"}', False),
        (rb'{"a":"\ud8zz"}', False),
        (rb'{"a":"\ud800","b":NaN}', False),
        (rb'{"a":"\ud800","b":01}', False),
        (rb'{"a":"\ud800",}', False),
        (b'{"a":"\\ud800\x01"}', False),
    ],
)
def test_half_a_surrogate_pair_changes_nothing_for_the_rest(text: bytes, is_valid: bool) -> None:
    if is_valid:
        assert json_edit.members(text)[0].key == "a"
    else:
        with pytest.raises(JSONError, match="is not valid JSON"):
            json_edit.members(text)
