"""A JSON request body whose members can be read, set, removed and renamed; an unchanged value keeps its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import bad_body
from ..wire import json_edit


def encoded(value: Any) -> bytes:
    """A value as JSON in UTF-8. Raises ValueError for NaN and infinity."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        # A lone surrogate can only be escaped.
        return json.dumps(value, allow_nan=False).encode()


def _number(text: str) -> int | float:
    """A number with a fraction or an exponent; whole ones as int, so that 4.0 is 4."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _canonical(raw: bytes) -> bytes:
    """A value as JSON in one spelling: of numbers, escapes and white space, and with sorted members."""
    if not json_edit.is_simple(raw) or (raw.startswith(b'"') and b"\\" not in raw):
        # A picture is as long as it looks: only searched, not decoded.
        return raw
    try:
        value = json.loads(raw, parse_float=_number)
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return raw
    return text.encode("utf-8", "surrogatepass")


class Document:
    """The members of a JSON object in order, each with the bytes of its value."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._repeated: set[str] = set()

    @classmethod
    def from_json(cls, body: bytes, members: list[json_edit.Member]) -> Document:
        """A document from a JSON object and its members, as json_edit.members() returns them."""
        document = cls()
        for member in members:
            if member.key in document._values:
                document._repeated.add(member.key)
            document._values[member.key] = body[member.start : member.end]
        return document

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Document:
        """A document from decoded values."""
        document = cls()
        for name, value in fields.items():
            document.set(name, value)
        return document

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return list(self._values)

    def raw(self, name: str) -> bytes | None:
        """The JSON of a member; None if it is missing. Raises Refusal (400) if the name is repeated."""
        if name in self._repeated:
            raise bad_body(f"{name} stands more than once in the request body.", param=name)
        return self._values.get(name)

    def value(self, name: str) -> Any:
        """The decoded value of a member; None if it is missing. Raises Refusal (400) as raw() does."""
        raw = self.raw(name)
        if raw is not None and not json_edit.is_simple(raw):
            raise bad_body(f"{name[:40]} has too many values.", param=name[:40])
        try:
            return None if raw is None else json.loads(raw)
        except (ValueError, RecursionError):
            # Valid JSON that Python does not decode: thousands of digits or of brackets.
            raise bad_body(f"{name[:40]} cannot be read.", param=name[:40]) from None

    def is_text(self, name: str) -> bool:
        """Whether the value of a member is a string, without decoding it. Raises Refusal (400) as raw() does."""
        return (self.raw(name) or b"").startswith(b'"')

    def text(self, name: str) -> str | None:
        """The value of a string member; None if it is missing or null. Raises Refusal (400) for any other type."""
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise bad_body(f"{name} is not a string.", param=name)
        return value

    def set(self, name: str, value: Any) -> None:
        """Set a member: in its place, or at the end if it is new. Raises Refusal (400) for what JSON cannot hold."""
        try:
            self._values[name] = encoded(value)
        except (ValueError, RecursionError):
            raise bad_body(f"{name[:40]} cannot be written as JSON.", param=name[:40]) from None

    def pop(self, name: str) -> Any:
        """Remove a member and return its decoded value; None if it is missing. Raises Refusal (400) as value() does."""
        value = self.value(name)
        self._values.pop(name, None)
        return value

    def rename(self, name: str, new: str) -> None:
        """Rename a member in its place; it replaces a member that has the new name."""
        self._values = {
            (new if key == name else key): value for key, value in self._values.items() if key != new or key == name
        }

    def replace(self, name: str, members: Mapping[str, bytes]) -> None:
        """Put members (JSON by name) in the place of one; one of them may have its name."""
        values: dict[str, bytes] = {}
        for key, value in self._values.items():
            values |= members if key == name else {key: value}
        self._values = values

    def body(self) -> bytes:
        """The document as JSON."""
        return b"{" + b",".join(json.dumps(name).encode() + b":" + raw for name, raw in self._values.items()) + b"}"

    def canonical(self) -> bytes:
        """The document as JSON in one spelling, the same for documents with equal members in any order."""
        members = (json.dumps(name).encode() + b":" + _canonical(raw) for name, raw in sorted(self._values.items()))
        return b"{" + b",".join(members) + b"}"
