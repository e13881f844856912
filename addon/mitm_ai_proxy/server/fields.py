"""Heads of requests and answers on this edge: what belongs to one connection, and what aiohttp's client can send."""

from __future__ import annotations

from typing import Final

from multidict import CIMultiDict

from .. import errors
from ..chat import callers
from ..exchange import Head
from ..wire.header_fields import Fields

_HOP: Final = frozenset(b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())
"""Header fields of one connection (RFC 9110, section 7.6.1), besides those that Connection names."""
_PERSISTENCE: Final = frozenset((b"close", b"keep-alive", b""))
_KEPT: Final = frozenset((b"host", b"content-length", b"content-type", b"authorization"))
"""What Connection cannot take away: a message means something else without it."""


def end_to_end(fields: Fields) -> Fields:
    """The fields without those of one connection."""
    dropped = _HOP
    for name, value in fields:
        if name.lower() == b"connection":
            named = {part.strip().lower() for part in value.split(b",")} - _PERSISTENCE - _KEPT
            dropped = dropped | named if named else dropped
    return tuple([field for field in fields if field[0].lower() not in dropped])


def head(method: str, target: str, fields: Fields, *, is_tls: bool) -> Head:
    """The head of a client's request, without what belongs to its connection."""
    left = tuple([field for field in end_to_end(fields) if field[0].lower() != b"expect"])
    return Head(method, target, callers.read(target, left), left, is_tls=is_tls)


def check_text(target: str, fields: Fields) -> None:
    """Raise Refusal (400) for a head that aiohttp's client would not send to the byte: what is no UTF-8 vanishes."""
    try:
        target.encode()
    except UnicodeEncodeError:
        raise errors.bad_head("The path or its query holds bytes that are no UTF-8.") from None
    for name, value in fields:
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                text = name.decode()
                raise errors.bad_head(f"The header field {text} holds bytes that are no UTF-8.", param=text) from None


def for_client(fields: Fields) -> CIMultiDict[str]:
    """The fields as aiohttp's client takes them: it would replace a field by one of its name in another case."""
    made: CIMultiDict[str] = CIMultiDict()
    spelled: dict[str, str] = {}
    for raw, value in fields:
        name = raw.decode("ascii")
        made.add(spelled.setdefault(name.lower(), name), value.decode())
    return made
