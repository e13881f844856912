"""Masks a credential in an answer that repeats it: each byte becomes `*`, so that lengths stay the same."""

from __future__ import annotations

import functools
from typing import Final
from urllib.parse import quote, unquote

from ..wire.header_fields import Fields

_SHORTEST: Final = 8
"""Bytes of a credential that is looked for; a shorter one may be any word."""


class Mask:
    """Masks these texts wherever they stand in bytes, header fields or a stream."""

    def __init__(self, texts: tuple[bytes, ...]) -> None:
        self._texts = texts

    def mask(self, data: bytes) -> bytes:
        """The data, masked; the same object if none of the texts is in it."""
        for text in self._texts:
            if text in data:
                data = data.replace(text, b"*" * len(text))
        return data

    def text(self, text: str) -> str:
        """A text, masked."""
        return self.mask(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def fields(self, fields: Fields) -> Fields:
        """Header fields with their values masked; the same object if none of the texts is in them."""
        # All at once, for it is done for each answer.
        values = b"\n".join([value for _, value in fields])
        if self.mask(values) is values:
            return fields
        return tuple((name, self.mask(value)) for name, value in fields)

    def kept_back(self, data: bytes) -> int:
        """How many of the last bytes may be the beginning of one of the texts."""
        return max(_overlap(data, text) for text in self._texts)


class MaskedStream:
    """A transducer (see exchange.py) that masks a stream, also where a text is cut in two."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certain after the next ones."""
        data = self._mask.mask(self._rest + data)
        end = len(data) - self._mask.kept_back(data)
        self._rest = data[end:]
        return data[:end]

    def end(self) -> bytes:
        """The rest."""
        return self._rest


@functools.lru_cache(256)
def mask_of(credential: tuple[bytes, ...]) -> Mask | None:
    """The mask for the values of a credential's header fields and query parameters; None if there is nothing to mask.

    It finds a value without its scheme (`Bearer`), also percent-encoded or decoded, and with JSON's `\\/` for a slash.
    """
    texts: dict[bytes, None] = {}
    for value in credential:
        text = value.rpartition(b" ")[2]
        for form in (text, text.replace(b"/", b"\\/"), quote(text, safe="").encode(), unquote(text).encode()):
            if len(form) >= _SHORTEST:
                texts[form] = None
    # The longest first: one may be a part of another.
    return Mask(tuple(sorted(texts, key=len, reverse=True))) if texts else None


def _overlap(data: bytes, text: bytes) -> int:
    """Length of the longest end of the data that is a beginning of the text, but not all of it."""
    end = data[-(len(text) - 1) :]
    place = end.find(text[:1])
    while place >= 0:
        if text.startswith(end[place:]):
            return len(end) - place
        place = end.find(text[:1], place + 1)
    return 0
