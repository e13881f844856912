"""Header fields as mitmproxy keeps them, a tuple of pairs of bytes: looked at and changed in one pass over them.

mitmproxy's own mapping makes several passes for each field that is set, which a proxy notices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

Fields = tuple[tuple[bytes, bytes], ...]


def value(fields: Fields, name: bytes) -> str:
    """What all fields of a name (in lower case) say together (RFC 9110, section 5.3); "" where there is none."""
    return b", ".join([field[1] for field in fields if field[0].lower() == name]).decode("utf-8", "surrogateescape")


def without(fields: Fields, names: Collection[bytes], beginnings: tuple[bytes, ...] = ()) -> Fields:
    """The fields whose names (in lower case) are others, and begin in another way."""
    return tuple(
        [field for field in fields if (name := field[0].lower()) not in names and not name.startswith(beginnings)]
    )


def changed(fields: Fields, changes: Mapping[bytes, bytes | None]) -> Fields:
    """The fields with new values for some names (in lower case), each once.

    A new value stands where the old one stood, or at the end. None removes. A length only takes the place of another:
    a message without one is framed in another way, which stays.
    """
    left = dict(changes)
    result = []
    for field in fields:
        name = field[0].lower()
        if name not in changes:
            result.append(field)
            continue
        new = left.pop(name, None)
        if new is not None:
            result.append((field[0], new))
    left.pop(b"content-length", None)
    result += [(name.title(), new) for name, new in left.items() if new is not None]
    return tuple(result)
