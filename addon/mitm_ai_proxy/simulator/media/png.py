"""Writes PNG pictures (ISO/IEC 15948) that look like the videos."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from mitm_ai_proxy.simulator.media import canvas
from mitm_ai_proxy.simulator.media.canvas import BAR, CELL

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS = 2
"""Bits of a pixel, for the four colours of a card."""
_PALETTE = 3
_PIXELS_PER_BYTE = 8 // _BITS
_FILTER_NONE = b"\0"
# By index in the palette, the bytes of a cell in one line of pixels.
_CELLS = [bytes((0b01010101 * colour,)) * (CELL // _PIXELS_PER_BYTE) for colour in range(1 << _BITS)]


def make(width: int, height: int, words: Sequence[str], seed: str) -> bytes:
    """A PNG file with these words; the seed chooses the colours. Equal arguments give equal bytes.

    Width and height are in pixels. Raises ValueError for sides that canvas.card() refuses.
    """
    card = canvas.card(width, height, words, seed)
    card.paint(card.bar, BAR)
    length = -(-width // _PIXELS_PER_BYTE)
    lines: list[bytes] = []
    for start in range(0, len(card.cells), card.columns):
        row = b"".join(_CELLS[cell] for cell in card.cells[start : start + card.columns])
        lines += [_FILTER_NONE + row[:length]] * CELL
    header = struct.pack(">2I5B", width, height, _BITS, _PALETTE, 0, 0, 0)
    palette = bytes(part for colour in card.palette for part in colour)
    data = zlib.compress(b"".join(lines[:height]), 9)
    chunks = _chunk(b"IHDR", header) + _chunk(b"PLTE", palette) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return _SIGNATURE + chunks


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
