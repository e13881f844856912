"""Call ids that carry what a dialect has no place for: seals, and the blocks between two calls.

All clients give ids back, so that nothing has to be remembered here. Letters, digits, `_` and `-` only: Anthropic's
pattern for ids.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final, NamedTuple, TypeAlias

from . import json_values
from .model import Seal, Text, Thinking

PREFIX: Final = "aip1-"
_PLAIN: Final = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_LENGTH: Final = 4 * 1024 * 1024
"""Bytes that an envelope may have inside; a client could send one that is a bomb."""

Before: TypeAlias = tuple[Text | Thinking | int, ...]
"""Blocks before a call, back to the call before it. A number stands for text of so many characters, which the client
has itself, 0 for a whole block, where the client has blocks; an empty text with a seal has that of the text before."""


class Opened(NamedTuple):
    """What a call's id carries: the vendor's id, the blocks before it, and the seal of the call itself."""

    id: str
    before: Before = ()
    seal: Seal | None = None


def sealed(id: str, before: Before = (), seal: Seal | None = None) -> str:
    """The id for a client; the vendor's own, if there is nothing to carry and it fits Anthropic's pattern."""
    if not before and seal is None and _PLAIN.fullmatch(id) and not id.startswith(PREFIX):
        return id
    items = [_packed(item) for item in before]
    return PREFIX + _text([id, items, [seal.vendor, seal.value] if seal else None])


def opened(id: str) -> Opened:
    """What an id from a client carries. One that is not ours is the vendor's own."""
    if not id.startswith(PREFIX):
        return Opened(id)
    inner = _inner(id)
    if not (isinstance(inner, list) and len(inner) == 3 and isinstance(inner[0], str) and isinstance(inner[1], list)):
        return Opened(id)
    before = [_unpacked(item) for item in inner[1]]
    return Opened(inner[0], tuple(item for item in before if item is not None), _seal(inner[2]))


def signature(seal: Seal | None, own: str = "anthropic") -> str:
    """The signature of a thinking block in Anthropic's dialect, of which `own` is the vendor."""
    if seal is None:
        return ""
    return seal.value if seal.vendor == own else PREFIX + _text([seal.vendor, seal.value])


def seal_of(signature: str, own: str = "anthropic") -> Seal | None:
    """The seal that a signature of Anthropic's dialect is."""
    inner = _inner(signature)
    return _seal(inner) or (Seal(own, signature) if signature else None)


def _text(inner: object) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json_values.encode(inner), 6)).decode().rstrip("=")


def _inner(text: str) -> object:
    if not text.startswith(PREFIX):
        return None
    try:
        packed = base64.urlsafe_b64decode(text[len(PREFIX) :] + "===")
        stream = zlib.decompressobj()
        inner = stream.decompress(packed, _MAX_LENGTH)
        return json_values.decode(inner) if stream.eof else None
    except (ValueError, binascii.Error, zlib.error):
        return None


def _packed(item: Text | Thinking | int) -> object:
    if isinstance(item, int):
        return item
    kind = "s" if isinstance(item, Text) else "r" if item.is_redacted else "t"
    seal = item.seal
    return [kind, item.text, seal.vendor if seal else "", seal.value if seal else ""]


def _unpacked(item: object) -> Text | Thinking | int | None:
    if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
        return item
    if not (isinstance(item, list) and len(item) == 4 and all(isinstance(part, str) for part in item)):
        return None
    kind, text, vendor, value = item
    seal = Seal(vendor, value) if vendor else None
    return Text(text, seal=seal) if kind == "s" else Thinking(text, seal, kind == "r")


def _seal(inner: object) -> Seal | None:
    if isinstance(inner, list) and len(inner) == 2 and all(isinstance(part, str) and part for part in inner):
        return Seal(*inner)
    return None
