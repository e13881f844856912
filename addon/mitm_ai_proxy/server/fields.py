"""Heads of requests and answers on this edge, without what belongs to one connection."""

from __future__ import annotations

from typing import Final

from ..chat import callers
from ..exchange import Head
from ..wire.header_fields import Fields

_HOP: Final = frozenset(b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())
"""Header fields of one connection (RFC 9110, section 7.6.1), besides those that Connection names."""
_OF_REQUEST: Final = _HOP | {b"expect"}
_PERSISTENCE: Final = frozenset((b"close", b"keep-alive", b""))
_KEPT: Final = frozenset((b"host", b"content-length", b"content-type", b"authorization"))
"""What Connection cannot take away: a message means something else without it."""


def end_to_end(fields: Fields, hop: frozenset[bytes] = _HOP) -> Fields:
    """The fields without those of one connection, which are these and those that Connection names."""
    kept, named = [], set[bytes]()
    for field in fields:
        name = field[0].lower()
        if name not in hop:
            kept.append(field)
        elif name == b"connection":
            named |= {part.strip().lower() for part in field[1].split(b",")} - _PERSISTENCE - _KEPT
    return tuple([field for field in kept if field[0].lower() not in named] if named else kept)


def head(method: str, target: str, fields: Fields, *, is_tls: bool) -> Head:
    """The head of a client's request, without what belongs to its connection."""
    left = end_to_end(fields, _OF_REQUEST)
    return Head(method, target, callers.read(target, left), left, is_tls=is_tls)
