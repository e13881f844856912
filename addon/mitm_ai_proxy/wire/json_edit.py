"""Edits members of a JSON object in place: every other byte is kept.

msgspec validates the document; a scan that skips over strings finds the positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

import msgspec

MAX_STEPS: Final = 200_000
"""Members and brackets of one scan; limits the time that a hostile body can take."""

MAX_MARKS: Final = 5_000_000
"""Quotes, backslashes, commas and brackets of a document, for the same reason; a picture in base64 has none."""

_SPACE = re.compile(rb"[ \t\n\r]*")
LONG: Final = 64 * 1024
"""Bytes of a string value, such as a picture in base64, that are validated; after them, only its end is searched."""
_MAX_SEARCHES = 1000

# A member with a short scalar value and no escapes, and the comma or brace after it; others take the slow path.
_PLAIN_MEMBER = re.compile(
    rb'"([^"\\]{0,200}+)"[ \t\n\r]*+:[ \t\n\r]*+("[^"\\]{0,200}+"|[a-z0-9.E+-]{1,200}+)'
    rb"[ \t\n\r]*+(?:(,)[ \t\n\r]*+|})"
)
_SCALAR = re.compile(rb"[^,}\]\s]+")
# No possessive group has alternatives: Python 3.11 before 3.11.5 matches them wrongly (gh-106052).
_ESCAPED_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Everything up to the next bracket or long string, or 500 parts of it.
_RUN = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]{0,200}+(?:\\.[^"\\]{0,200}+){0,8}+"){0,500}', re.DOTALL)
_COLON = re.compile(rb"[ \t\n\r]*:")
# The first half of it is enough to see, and to put another character in its place.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

# A letter, a digit, `-` or `_` that is written as an escape, as no client does; `\u00e9` and the like are none.
_SPELLED = re.compile(rb"\\u00(?:2[dD]|3[0-9]|[4-7])")
_WORTH_DECODING: Final = 1000
"""Bytes of an object or a list in which the ends of values are found faster by decoding it."""

_Values = TypeVar("_Values", dict[str, msgspec.Raw], list[msgspec.Raw])

_valid = msgspec.json.Decoder(msgspec.Raw).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class JSONError(ValueError):
    """The text is not one JSON object. The message does not quote the text; it continues a sentence: "is empty"."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """One member of an object: its decoded key, and the positions of key (with quotes) and value in the document."""

    key: str
    key_start: int
    key_end: int
    start: int
    end: int


class Edit(NamedTuple):
    """Replaces document[start:end] by `text`."""

    start: int
    end: int
    text: bytes


def members(document: bytes) -> list[Member]:
    """The members of the JSON object in the document, in order, repeated keys included.

    Raises JSONError if the document is not exactly one JSON object in UTF-8 (RFC 8259). Only the first LONG bytes of a
    string value are validated: for a request with a picture, validating it all would take most of the time.
    """
    cuts = _cuts(document) if len(document) > LONG else []
    short = apply(document, cuts) if cuts else document
    _check_marks(short)
    if not (cuts and _is_valid(short)):
        if cuts:
            _check_marks(document)
        _check(document)
        short, cuts = document, []
    start = _skip_space(short, 0)
    if short[start] != 0x7B:
        raise JSONError("is not a JSON object")
    found = _scan(short, start, len(short))
    return [_moved(member, cuts) for member in found] if cuts else found


def members_of(document: bytes, member: Member) -> list[Member]:
    """The members of the object that is the value of `member`; empty if the value is not an object."""
    return _scan(document, member.start, member.end) if document[member.start] == 0x7B else []


def members_at(document: bytes, start: int, end: int) -> list[Member]:
    """The members of the object between two positions of a valid document."""
    return _scan(document, start, end)


def items_at(document: bytes, start: int, end: int) -> list[Member]:
    """The items of the list between two positions of a valid document, each as a member with an empty key."""
    found: list[Member] = []
    values = _decoded(_decode_items, document, start, end) or []
    steps = 0
    position = _skip_space(document, start + 1)
    while document[position] != 0x5D:
        value = values[len(found)] if len(found) < len(values) else None
        end, steps = _value_end(document, position, steps, value)
        found.append(Member("", position, position, position, end))
        steps = _step(steps)
        position = _skip_space(document, end)
        if document[position] == 0x2C:
            position = _skip_space(document, position + 1)
    return found


def may_spell(document: bytes, word: bytes) -> bool:
    """Whether a word of letters, digits, `-` and `_` may stand in a JSON text, also with escapes."""
    if word in document:
        return True
    # A picture in base64 has no backslash; the expression alone takes long for one.
    first = document.find(b"\\")
    return first >= 0 and _SPELLED.search(document, first) is not None


def string_value(document: bytes, member: Member) -> str | None:
    """The value of a member if it is a string, else None. Raises JSONError for a long one that is not valid."""
    if document[member.start] != 0x22:
        return None
    try:
        return _decode_string(document[member.start : member.end])
    except ValueError:
        # members() validates only the first LONG bytes of it.
        raise JSONError("holds a long string that is not valid JSON") from None


def string(value: str) -> bytes:
    """A JSON string, in ASCII."""
    return json.dumps(value).encode()


def remove(found: list[Member], gone: Iterable[Member]) -> list[Edit]:
    """The edits that remove members, each with one comma next to it, from the object with the members `found`."""
    places = {member.key_start for member in gone}
    edits: list[Edit] = []
    before: Member | None = None
    start: int | None = None
    for member in found:
        if member.key_start in places:
            start = member.key_start if start is None else start
            continue
        if start is not None:
            edits.append(Edit(start, member.key_start, b""))
        before, start = member, None
    if start is not None:
        edits.append(Edit(before.end if before else start, found[-1].end, b""))
    return edits


def apply(document: bytes, edits: Iterable[Edit]) -> bytes:
    """The document with the edits applied; they must not overlap. The same object if there are none."""
    # With a view, slices of a long document are copied once.
    view = memoryview(document) if len(document) > LONG else document
    parts: list[memoryview | bytes] = []
    position = 0
    for edit in sorted(edits):
        parts += (view[position : edit.start], edit.text)
        position = edit.end
    if not parts:
        return document
    parts.append(view[position:])
    return b"".join(parts)


def _scan(document: bytes, position: int, last: int) -> list[Member]:
    """The members of the object between two positions of a valid document."""
    found: list[Member] = []
    values: dict[str, msgspec.Raw] | None = None
    first = position
    steps = 0
    position = _skip_space(document, position + 1)
    while document[position] != 0x7D:
        plain = _PLAIN_MEMBER.match(document, position)
        if plain:
            (_, position), (key_start, key_end), (start, end), _ = plain.regs
            found.append(Member(plain[1].decode(), key_start - 1, key_end + 1, start, end))
            steps = _step(steps)
            if plain.lastindex == 2:
                return found
            continue
        key_start = position
        key_end = _string_end(document, key_start)
        start = _skip_space(document, _skip_space(document, key_end) + 1)
        key = _decode_string(document[key_start:key_end])
        if values is None and document[start] in b"{[":
            values = _decoded(_decode_members, document, first, last) or {}
        end, steps = _value_end(document, start, steps, values.get(key) if values else None)
        found.append(Member(key, key_start, key_end, start, end))
        steps = _step(steps)
        position = _skip_space(document, end)
        if document[position] == 0x2C:
            position = _skip_space(document, position + 1)
    return found


def _decoded(decode: Callable[[bytes], _Values], document: bytes, start: int, end: int) -> _Values | None:
    """The values of a long object or list, which tell how long each is; None if they have to be scanned."""
    if end - start < _WORTH_DECODING:
        return None
    try:
        return decode(document[start:end])
    except (msgspec.DecodeError, RecursionError):
        return None  # half a surrogate pair


def _value_end(document: bytes, start: int, steps: int, value: msgspec.Raw | None) -> tuple[int, int]:
    """The end of a value, which may be this one, or that of another member with the same key."""
    first = document[start]
    if first == 0x22:
        return _string_end(document, start), steps
    if first in b"{[":
        if value is not None and document.startswith(text := bytes(value), start):
            return start + len(text), steps
        return _container_end(document, start, steps)
    scalar = _SCALAR.match(document, start)
    return scalar.end() if scalar else start, steps


def _step(steps: int) -> int:
    if steps >= MAX_STEPS:
        raise JSONError(f"has more than {MAX_STEPS} members and brackets")
    return steps + 1


def _skip_space(document: bytes, position: int) -> int:
    if document[position] > 0x20:
        return position
    space = _SPACE.match(document, position)
    return space.end() if space else position


def _string_end(document: bytes, start: int) -> int:
    """The position after the string that begins at `start`; 0 if it does not end."""
    end = document.find(b'"', start + 1)
    if document[end - 1] != 0x5C:
        return end + 1
    escaped = _ESCAPED_STRING.match(document, start)
    return escaped.end() if escaped else 0


def _container_end(document: bytes, position: int, steps: int) -> tuple[int, int]:
    depth = 0
    while True:
        byte = document[position]
        if byte == 0x22:
            position = _string_end(document, position)
        elif byte in b"{[]}":
            steps = _step(steps)
            position += 1
            depth += 1 if byte in b"{[" else -1
            if depth == 0:
                return position, steps
        run = _RUN.match(document, position)
        position = run.end() if run else position


def _decode_string(text: bytes) -> str:
    if b"\\" not in text:
        return text[1:-1].decode()
    decoded = json.loads(text)
    assert isinstance(decoded, str)
    return decoded


def is_simple(text: bytes) -> bool:
    """Whether a JSON text has few enough values (MAX_STEPS) to be decoded to objects of Python's."""
    return text.startswith(b'"') or len(text) <= MAX_STEPS or sum(map(text.count, b",[{")) <= MAX_STEPS


def _check_marks(document: bytes) -> None:
    if len(document) > MAX_MARKS and sum(map(document.count, b'"\\,[{')) > MAX_MARKS:
        raise JSONError(f"has more than {MAX_MARKS} quotes, backslashes, commas and brackets")


def _check(document: bytes) -> None:
    """Raise JSONError unless the document is one JSON value in UTF-8."""
    if not document or document.isspace():
        raise JSONError("is empty")
    if not document.isascii():
        try:
            document.decode()
        except UnicodeDecodeError as error:
            raise JSONError(f"is not UTF-8 (byte {error.start})") from None
    try:
        _valid(document)
    except RecursionError:
        raise JSONError("is nested too deeply") from None
    except msgspec.DecodeError as error:
        # A lone surrogate is legal (RFC 8259, section 8.2) and comes from truncated strings; msgspec refuses it.
        if _SURROGATE.search(document) and _is_valid(_SURROGATE.sub(rb"\\u00", document)):
            return
        raise JSONError(f"is not valid JSON ({_reason(error)})") from None


def _is_valid(document: bytes) -> bool:
    try:
        if not document.isascii():
            document.decode()
        _valid(document)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True


def _cuts(document: bytes) -> list[Edit]:
    """Edits that shorten string values to LONG bytes. If the result is valid JSON, so is the rest of the document.

    In JSON only strings have quotes, so that a search for quotes finds them. A cut inside an escape makes the result
    invalid.
    """
    edits: list[Edit] = []
    position = 0
    for _ in range(_MAX_SEARCHES):
        start = document.find(b'"', position)
        position = _string_end(document, start) if start >= 0 else 0
        if not position:
            break
        cut, end = start + 1 + LONG, position - 1
        if cut < end and not _COLON.match(document, position):
            edits.append(Edit(cut, end, b""))
    return edits


def _moved(member: Member, cuts: list[Edit]) -> Member:
    """A member of the shortened document, with its positions in the whole one."""

    def move(place: int) -> int:
        for cut in cuts:
            if place <= cut.start:
                break
            place += cut.end - cut.start
        return place

    return Member(member.key, move(member.key_start), move(member.key_end), move(member.start), move(member.end))


def _reason(error: msgspec.DecodeError) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return "it ends too early" if text == "Input data was truncated" else text
