"""Header fields as mitmproxy keeps them, a tuple of pairs of bytes: looked at and changed in one pass over them.

mitmproxy's own mapping makes several passes for each field that is set, which a proxy notices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
Changes: TypeAlias = Mapping[bytes, bytes | None]
"""New values by name (in lower case); None removes."""


def value(fields: Fields, name: bytes) -> str:
    """What all fields of a name (in lower case) say together (RFC 9110, section 5.3); "" where there is none."""
    return b", ".join([field[1] for field in fields if field[0].lower() == name]).decode("utf-8", "surrogateescape")


def changed(
    fields: Fields, changes: Changes, without: Collection[bytes] = (), beginnings: tuple[bytes, ...] = ()
) -> Fields:
    """The fields with new values for some names (in lower case), each once.

    A new value stands where the old one stood, or at the end. None removes. A length only takes the place of another:
    a message without one is framed in another way, which stays. `without` are names to be left out, `beginnings`
    beginnings of such names; a new value for one of them stands at the end.
    """
    left = dict(changes)
    result = []
    for field in fields:
        name = field[0].lower()
        if name in without or name.startswith(beginnings):
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
