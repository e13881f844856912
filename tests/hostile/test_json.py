"""JSON is read and edited as Python's `json` would, with every byte kept that is not meant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, Final

import pytest

from mitm_ai_proxy.wire import json_edit, json_text
from mitm_ai_proxy.wire.json_edit import Edit, JSONError
from tests.hostile.inputs import Inputs, mutated

SPACES: Final = ("", "", "", " ", "\n", "\t", "\r\n", " \t\r\n  ")
NUMBERS: Final = "0 -0 1 -1 0.0 1.50 1E400 -2e-7 1e+5 12345678901234567890123 0.1000 1e-400 9e99999".split()
PIECES: Final = (
    *"ab{}[]:, é😀\x7f\u2028/'\ufeff",
    *r"\" \\ \/ \n \b \f \r \t \u00e9 \ud83d\ude00 \u0000 \uD800 \udfff \ude00\ud83d".split(),
)
KEYS: Final = ('"model"', r'"mod\u0065l"', '""', '"a"', r'"\ud800"', '"image"', '"prompt"')
WORDS: Final = [
    *b'{ } [ ] : , " \\ / - + . e E 0 1 u null true false NaN Infinity -Infinity 1e5 01 .5 1. \\u \\ud800'.split(),
    *(b" ", b"\n", b"\t", b"\x00", b"\x1f", b"\x0b", b"\xa0", b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"//", b"'"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b'{"a":1}', b"[]", b"{}", b'""', b",,", b"\\\\", b'\\"'),
]
DEEPEST: Final = 200
"""Levels that both have to read; deeper ones may be refused."""


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    text: str


def _written(random: Random) -> str:
    """A JSON text; often an object."""

    def string() -> str:
        length = random.choice((0, 1, 1, 2, 3, 12, 60))
        return '"' + "".join(random.choices(PIECES if random.random() < 0.5 else PIECES[:2], k=length)) + '"'

    def number() -> str:
        if random.random() < 0.9:
            return random.choice(NUMBERS)
        digits = "".join(random.choices("0123456789", k=random.choice((20, 300, 5000))))
        return f"{random.choice(('', '-'))}1{digits}{random.choice(('', '.5', 'e-3'))}"

    def items(found: list[str]) -> str:
        return ",".join(f"{random.choice(SPACES)}{item}{random.choice(SPACES)}" for item in found)

    def made(depth: int) -> str:
        kind = random.randrange(8 if depth else 5)
        if kind < 2:
            return string()
        if kind < 4:
            return number()
        if kind == 4:
            return random.choice(("true", "false", "null"))
        found = [made(depth - 1) for _ in range(random.choice((0, 1, 1, 2, 3, 6)))]
        return f"[{items(found)}]" if kind == 5 else mapping(found)

    def mapping(found: list[str]) -> str:
        keys = [random.choice((string(), random.choice(KEYS))) for _ in found]
        return f"{{{items([f'{key}{random.choice(SPACES)}:{value}' for key, value in zip(keys, found, strict=True)])}}}"

    text = mapping([made(3) for _ in range(random.choice((0, 1, 2, 3, 5, 9)))]) if random.random() < 0.9 else made(3)
    if random.random() < 0.02:
        levels = random.randint(0, DEEPEST - 20)
        text = (
            '{"a":' * levels + text + "}" * levels if random.random() < 0.5 else f'{{"a":{"[" * levels}{"]" * levels}}}'
        )
    return f"{random.choice(SPACES)}{text}{random.choice(SPACES)}"


def _decoded(text: bytes | str) -> Any:
    """What `json` reads: objects as tuples of pairs, so that repeated keys count; numbers as they are written.

    Raises ValueError also for NaN and Infinity, which are no JSON, and for text that is not UTF-8.
    """
    plain = text.decode() if isinstance(text, bytes) else text
    return json.loads(plain, object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _is_object(document: bytes) -> bool:
    try:
        decoded = _decoded(document)
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, tuple)


def _replacement(random: Random) -> bytes:
    return random.choice((b"1", b'"x"', b"null", b'{"a": [1]}', json_edit.string('a\ud800é"\\\n')))


def test_members_are_those_that_json_reads_and_edits_change_nothing_else(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known differences: NaN and Infinity, which `json` reads, and a byte order mark, are no JSON; a text that is
    nested hundreds of levels deep may be refused; of a string of more than LONG bytes only the beginning is checked.
    """
    long = json_edit.LONG
    for random in inputs.of(2000):
        document = _written(random).encode("utf-8", "surrogatepass")
        is_whole = random.random() < 0.4
        document = document if is_whole else mutated(random, document, WORDS)
        is_object = _is_object(document)
        # Of long strings only the beginning is checked: with a small limit, what is good has to be read all the same.
        monkeypatch.setattr(
            json_edit, "LONG", random.choice((1, 8, 30)) if is_object and random.random() < 0.5 else long
        )
        try:
            found: list[json_edit.Member] | None = json_edit.members(document)
        except JSONError:
            found = None
        assert (found is not None) == is_object
        if found is None:
            continue
        inputs.tally["objects"] += 1
        pairs = _decoded(document)
        assert tuple((member.key, _decoded(document[member.start : member.end])) for member in found) == pairs
        for member, (key, value) in zip(found, pairs, strict=True):
            assert _decoded(document[member.key_start : member.key_end]) == key
            assert json_edit.string_value(document, member) == (value if isinstance(value, str) else None)
            inner = value if isinstance(value, tuple) else ()
            assert [one.key for one in json_edit.members_of(document, member)] == [name for name, _ in inner]
        _check_edits(random, document, found, list(pairs))


def _check_edits(random: Random, document: bytes, found: list[json_edit.Member], pairs: list[Any]) -> None:
    """Members are removed, renamed and given other values."""
    edits: list[Edit] = []
    removed = [member for member in found if random.random() < 0.3] if random.random() < 0.5 else []
    for index, member in enumerate(found):
        key, value = pairs[index]
        if member in removed or random.random() < 0.5:
            continue
        if random.random() < 0.3:
            key = "renamed é"
            edits.append(Edit(member.key_start, member.key_end, json_edit.string(key)))
        else:
            text = _replacement(random)
            value = _decoded(text)
            edits.append(Edit(member.start, member.end, text))
        pairs[index] = (key, value)
    expected = document
    edits += json_edit.remove(found, removed)
    pairs = [pair for pair, member in zip(pairs, found, strict=True) if member not in removed]
    for start, end, text in sorted(edits, reverse=True):
        expected = expected[:start] + text + expected[end:]
    random.shuffle(edits)
    edited = json_edit.apply(document, edits)
    assert edited == expected
    assert _decoded(edited) == tuple(pairs)


def test_the_parts_of_a_text_are_those_that_json_reads(inputs: Inputs) -> None:
    for random in inputs.of(750):
        document = _written(random).encode("utf-8", "surrogatepass")
        if random.random() < 0.6:
            document = mutated(random, document, WORDS)
        text = document.decode("utf-8", "surrogateescape")
        try:
            decoded = _decoded(text)
            is_valid = True
        except (ValueError, RecursionError):
            decoded, is_valid = None, False
        # What is not UTF-8, and so nothing that json_text is given, `json` reads as halves of surrogate pairs.
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            assert not json_text.is_valid(text)
            assert list(json_text.strings(text)) == []
            continue
        assert json_text.is_valid(text) == is_valid
        assert json_text.is_container(text) == (is_valid and text.strip(" \t\r\n")[0] in "{[")
        if not is_valid:
            assert list(json_text.strings(text)) == []
            continue
        inputs.tally["valid"] += 1
        read = [
            (
                part.path,
                json_text.string(text[part.start : part.end]) if part.is_key else _decoded(text[part.start : part.end]),
            )
            for part in json_text.parts(text)
        ]
        assert read == list(_parts(decoded, (), text))
        if json_text.is_container(text):
            assert list(json_text.strings(text)) == [
                value for path, value in _values(decoded) if isinstance(value, str)
            ]


def _parts(value: Any, path: json_text.Path, text: str) -> Any:
    """Keys, scalars and empty containers of a decoded text."""
    if isinstance(value, tuple) and value:
        for key, item in value:
            yield (*path, key), key
            yield from _parts(item, (*path, key), text)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _parts(item, (*path, index), text)
    else:
        yield path, value


def _values(value: Any) -> Any:
    if isinstance(value, tuple):
        for _, item in value:
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)
    else:
        yield (), value


def test_equal_numbers_have_one_normal_form(inputs: Inputs) -> None:
    for random in inputs.of(5000):
        number = random.choice(("0", "1", "10", "120", "7", "100000")) + random.choice(("", ".0", ".50", ".05", ".001"))
        number = random.choice(("", "-")) + number + random.choice(("", "e0", "E+3", "e-4", "e30", "e-30"))
        normal = json_text.number(number)
        assert Decimal(normal) == Decimal(number)
        other = f"{Decimal(number):f}" + ("" if "." in f"{Decimal(number):f}" else ".000")
        assert json_text.number(other) == normal
