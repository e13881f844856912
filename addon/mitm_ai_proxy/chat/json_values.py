"""JSON for the translators: values are decoded one level at a time, and what is not looked into keeps its bytes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ..errors import Refusal, bad_body

Raw = msgspec.Raw
Typed = TypeVar("Typed")
NOTHING: Final = Raw(b"null")
"""The JSON of a member that is missing, in the structures of typed()."""
DecodeError = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

MAX_OBJECTS: Final = 1_000_000
"""Opening braces of a request; limits the time that a hostile one can take."""

_NUMBER: Final = frozenset(b"-0123456789")
_INTEGER: Final = re.compile(rb"-?[0-9]{1,18}\Z")
# What msgspec says of a value that is not of its type.
_WRONG: Final = re.compile(r"(?:Expected `(?P<types>.+?)`|Object missing required field `(?P<missing>.+?)`)")
_PLACE: Final = re.compile(r" - at `\$(.*)`\Z", re.DOTALL)
_TYPES: Final = {
    "str": "a string",
    "array": "a list",
    "object": "an object",
    "bool": "true or false",
    "int": "a whole number",
}
# Both halves of a pair, a lone half, or another escape.
_ESCAPE: Final = re.compile(rb"(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def encode(value: object) -> bytes:
    """A value as JSON; msgspec.Raw in it is written byte by byte. Lone surrogates become escapes."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode_slowly(value)


def _encode_slowly(value: object) -> bytes:
    if isinstance(value, str):
        return json.dumps(value).encode()
    if isinstance(value, dict):
        return b"{%b}" % b",".join(_encode_slowly(key) + b":" + _encode_slowly(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(map(_encode_slowly, value))
    return _encode(value)


def decode(data: bytes) -> Any:
    """A JSON value as Python's objects. Raises ValueError."""
    try:
        return _decode_any(data)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        if b"\\u" not in data:
            raise
        # A lone surrogate, which msgspec refuses: half of a character that a vendor has cut in two.
        try:
            return json.loads(data, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("is nested too deeply") from None


def _refuse(word: str) -> None:
    raise ValueError(word)


def _without_lone(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[2] else found[0], data)


def is_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    try:
        _decode_members(text)
    except (*DecodeError, UnicodeEncodeError):
        return False
    return True


def raw(value: str | bytes) -> Raw:
    """A value that is JSON already, to be written byte by byte."""
    return Raw(value.encode() if isinstance(value, str) else value)


def members(document: bytes) -> dict[str, Raw]:
    """The members of a JSON object that is known to be one."""
    return _decode_members(document)


def answer_object(body: bytes) -> dict[str, Raw]:
    """The members of the object that an answer is. Raises ValueError, which continues a sentence: "is not JSON"."""
    try:
        return _decode_members(body)
    except msgspec.ValidationError:
        raise ValueError("is no object") from None
    except DecodeError:
        repaired = _without_lone(body)
        if repaired != body:
            return answer_object(repaired)
        raise ValueError("is not JSON") from None


def text(value: Raw | None) -> str | None:
    """The string that a value is; None for another value."""
    if value is None or _first(value) != 0x22:
        return None
    try:
        return _decode_text(value)
    except DecodeError:
        return None


def objects(value: Raw) -> list[dict[str, Raw]]:
    """The members of each object of a list. Raises ValueError."""
    return _decode_objects(value)


def items(value: Raw) -> list[Raw]:
    """The items of a list that is known to be one."""
    return _decode_items(value)


def blocks(content: Raw | None) -> list[dict[str, Raw]]:
    """The members of each part of a content that is a list of objects; none for another content."""
    if content is None or _first(content) != 0x5B:
        return []
    try:
        return _decode_objects(content)
    except DecodeError:
        return []


class Object:
    """A JSON object of a request: its members by name, read by type. A null counts as a missing member.

    The methods raise Refusal (400), which names the member by its path: `messages[0].role`.
    """

    __slots__ = ("_index", "_place", "members")

    def __init__(self, members: dict[str, Raw], place: str = "", index: int = -1) -> None:
        self.members = members
        self._place = place
        self._index = index

    @property
    def path(self) -> str:
        """Where the object is: its place, with its index in a list."""
        return self._place if self._index < 0 else f"{self._place}[{self._index}]"

    def at(self, name: str) -> str:
        """The path of a member."""
        path = self.path
        return f"{path}.{name}" if path else name

    def wrong(self, name: str, why: str) -> Refusal:
        """The refusal of a member; `why` continues a sentence: "is not a string"."""
        return wrong(self.at(name), why)

    def raw(self, name: str) -> Raw | None:
        """The JSON of a member."""
        value = self.members.get(name)
        return None if value is None or _first(value) == 0x6E else value

    def first(self, name: str) -> int:
        """The first byte of a member's JSON, which tells its type; 0 for none."""
        value = self.members.get(name)
        first = 0 if value is None else _first(value)
        return 0 if first == 0x6E else first

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.members.get(name)
        if value is None:
            return None
        try:
            return _decode_text(value)
        except DecodeError:
            if _first(value) == 0x6E:
                return None
            raise self.wrong(name, "is not a string") from None

    def need(self, name: str) -> str:
        """A string that has to be there."""
        try:
            return _decode_text(self.members[name])
        except (KeyError, *DecodeError):
            text = self.text(name)
        if text is None:
            raise self.wrong(name, "is missing")
        return text

    def one_of(self, name: str, words: Iterable[str]) -> str | None:
        """One of some words."""
        text = self.text(name)
        if text is not None and text not in words:
            raise self.wrong(name, f"is {shown(text)}, not one of {', '.join(words)}")
        return text

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self.raw(name)
        if value is None:
            return None
        text = bytes(value)
        if text not in (b"true", b"false"):
            raise self.wrong(name, "is neither true nor false")
        return text == b"true"

    def whole(self, name: str, least: int = 0) -> int | None:
        """A whole number, of which less than `least` is refused."""
        value = self.raw(name)
        if value is None:
            return None
        if not _INTEGER.match(bytes(value)):
            raise self.wrong(name, "is not a whole number")
        number = int(bytes(value))
        if number < least:
            raise self.wrong(name, f"is {number}, less than {least}")
        return number

    def number(self, name: str) -> bytes | None:
        """A number, as it is written."""
        value = self.raw(name)
        if value is None:
            return None
        if _first(value) not in _NUMBER:
            raise self.wrong(name, "is not a number")
        return bytes(value)

    def object(self, name: str) -> Object | None:
        """An object."""
        value = self.raw(name)
        if value is None:
            return None
        if _first(value) != 0x7B:
            raise self.wrong(name, "is not an object")
        return Object(_decode_members(value), self.at(name))

    def need_object(self, name: str) -> Object:
        """An object that has to be there."""
        found = self.object(name)
        if found is None:
            raise self.wrong(name, "is missing")
        return found

    def schema(self, name: str) -> bytes:
        """An object, byte by byte; empty for none."""
        return object_bytes(self.members.get(name, NOTHING), self.at(name))

    def typed(self, name: str, decode: Callable[[Raw], Typed]) -> Typed:
        """A value of a type, read by a decoder of msgspec's; null if it is missing."""
        return typed(decode, self.members.get(name, NOTHING), self.at(name))

    def objects(self, name: str) -> list[Object]:
        """A list of objects; empty for none."""
        value = self.members.get(name)
        if value is None:
            return []
        try:
            found = _decode_objects(value)
        except msgspec.ValidationError:
            return self._no_objects(name, value)
        path = self.at(name)
        return [Object(members, path, index) for index, members in enumerate(found)]

    def _no_objects(self, name: str, value: Raw) -> list[Object]:
        """What a value is that is no list of objects: none, if it is null."""
        if _first(value) == 0x6E:
            return []
        if _first(value) != 0x5B:
            raise self.wrong(name, "is not a list")
        items = _decode_items(value)
        index = next(index for index, item in enumerate(items) if _first(item) != 0x7B)
        raise self.wrong(f"{name}[{index}]", "is not an object")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty for none."""
        value = self.raw(name)
        if value is None:
            return ()
        if _first(value) != 0x5B:
            raise self.wrong(name, "is not a list of strings")
        found = []
        for index, item in enumerate(_decode_items(value)):
            if _first(item) != 0x22:
                raise self.wrong(f"{name}[{index}]", "is not a string")
            found.append(_decode_text(item))
        return tuple(found)


def wrong(path: str, why: str) -> Refusal:
    """The refusal (400) of a member of a request; `why` continues a sentence: "is not a string"."""
    return bad_body(f"{path} {why}.", param=path)


def typed(decode: Callable[[Raw], Typed], value: Raw, path: str) -> Typed:
    """A value of a request, read at once by a decoder of msgspec's. Raises Refusal (400), which names the member."""
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        raise _mistyped(str(error), path) from None


def _mistyped(message: str, path: str) -> Refusal:
    found, place = _WRONG.match(message), _PLACE.search(message)
    path += place[1] if place else ""
    if found and found["missing"]:
        return wrong(f"{path}.{found['missing']}", "is missing")
    if not found:
        return wrong(path, "is none of the values that it may have")
    words = [_TYPES.get(word, word) for word in found["types"].split(" | ") if word != "null"]
    return wrong(path, f"is not {words[0]}" if len(words) == 1 else f"is neither {' nor '.join(words)}")


def object_bytes(value: Raw, path: str) -> bytes:
    """An object of a request, byte by byte; empty for null. Raises Refusal (400)."""
    text = bytes(value)
    if text.startswith(b"{"):
        return text
    if is_null(value):
        return b""
    raise wrong(path, "is not an object")


def is_null(value: Raw) -> bool:
    """Whether a value is null."""
    return value is NOTHING or _first(value) == 0x6E


def _first(value: Raw) -> int:
    return memoryview(value)[0]


def shown(text: str) -> str:
    """A client's word in a message: in quotes, and short."""
    return json.dumps(text if len(text) <= 40 else f"{text[:40]}...", ensure_ascii=False)


def request_object(body: bytes) -> Object:
    """The object that a request body is. Raises Refusal (400)."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise bad_body("The request body is empty.")
    if body.count(b"{") > MAX_OBJECTS:
        raise bad_body(f"The request body has more than {MAX_OBJECTS} objects.")
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise bad_body(f"The request body is not UTF-8 (byte {error.start}).") from None
    try:
        return Object(_decode_members(body))
    except RecursionError:
        raise bad_body("The request body is nested too deeply.") from None
    except msgspec.ValidationError:
        raise bad_body("The request body is not a JSON object.") from None
    except msgspec.DecodeError as error:
        repaired = _without_lone(body)
        if repaired != body:
            return request_object(repaired)
        raise bad_body(
            f"The request body is not valid JSON ({str(error).removeprefix('JSON is malformed: ')})."
        ) from None


def text_of_base64(data: str, path: str) -> str:
    """The text that is in base64 in a request. Raises Refusal (400), which names `path`."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        raise bad_body(f"{path} is no text in UTF-8 and base64.", param=path) from None
