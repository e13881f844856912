"""A request body as members that can be read, replaced and added; a value that is not replaced stays to the byte.

From a JSON object or from the fields of a form; what the members mean is not known here.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import bad_body
from ..wire import json_edit


def encoded(value: Any) -> bytes:
    """A value as JSON in UTF-8. Raises ValueError for a number that JSON has no word for."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair can only be escaped.
        return json.dumps(value, allow_nan=False).encode()


class Document:
    """Members in order: name to the bytes of its value."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._repeated: set[str] = set()

    @classmethod
    def of_json(cls, body: bytes, members: list[json_edit.Member]) -> Document:
        """The members of a JSON object."""
        document = cls()
        for member in members:
            if member.key in document._values:
                document._repeated.add(member.key)
            document._values[member.key] = body[member.start : member.end]
        return document

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Document:
        """The members of an object that is decoded already."""
        document = cls()
        for name, value in fields.items():
            document.put(name, value)
        return document

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return list(self._values)

    def value(self, name: str) -> Any:
        """The decoded value; None where there is none. Raises Refusal (400) for a name that stands twice."""
        if name in self._repeated:
            raise bad_body(f"{name} stands more than once in the request body.", param=name)
        raw = self._values.get(name)
        try:
            return None if raw is None else json.loads(raw)
        except (ValueError, RecursionError):
            # Thousands of digits or of brackets, which are valid JSON.
            raise bad_body(f"{name[:40]} cannot be read.", param=name[:40]) from None

    def text(self, name: str) -> str | None:
        """The value where it is a text; None where there is none or null. Raises Refusal (400) for anything else."""
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise bad_body(f"{name} is not a string.", param=name)
        return value

    def put(self, name: str, value: Any) -> None:
        """Set a member, where it stood or at the end."""
        try:
            self._values[name] = encoded(value)
        except (ValueError, RecursionError):
            raise bad_body(f"{name[:40]} cannot be written as JSON.", param=name[:40]) from None

    def take(self, name: str) -> Any:
        """The decoded value, and the member is gone."""
        value = self.value(name)
        self._values.pop(name, None)
        return value

    def rename(self, name: str, new: str) -> None:
        """Another name for a member, in its place; one that had the new name is gone."""
        self._values = {
            (new if key == name else key): value for key, value in self._values.items() if key != new or key == name
        }

    def body(self) -> bytes:
        """The JSON object."""
        return b"{" + b",".join(json.dumps(name).encode() + b":" + raw for name, raw in self._values.items()) + b"}"
