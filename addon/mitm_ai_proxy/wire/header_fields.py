"""Reads and changes header fields, as mitmproxy keeps them: a tuple of (name, value) pairs of bytes.

All changes are made in one pass: mitmproxy's Headers takes several passes for each field, which costs time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
Changes: TypeAlias = Mapping[bytes, bytes | None]
"""New values by name (in lower case); None removes the field."""


def value(fields: Fields, name: bytes) -> str:
    """The values of all fields of a name (in lower case), joined by commas (RFC 9110, section 5.3); "" without any."""
    return b", ".join([field[1] for field in fields if field[0].lower() == name]).decode("utf-8", "surrogateescape")


def changed(
    fields: Fields, changes: Changes, without: Collection[bytes] = (), prefixes: tuple[bytes, ...] = ()
) -> Fields:
    """The fields with changes made, each in the place of the first field of its name, or at the end.

    Removed are fields whose name (in lower case) is in `without` or begins with one of `prefixes`, unless changed: then
    the new value is at the end. A Content-Length is replaced but not added, for a message without one is framed in
    another way.
    """
    left = dict(changes)
    result = []
    for field in fields:
        name = field[0].lower()
        if name in without or name.startswith(prefixes):
            continue
        if name not in changes:
            result.append(field)
            continue
        new = left.pop(name, None)
        if new is not None:
            result.append((field[0], new))
    left.pop(b"content-length", None)
    result += [(name.title(), new) for name, new in left.items() if new is not None]
    return tuple(result)
