"""Writes an MP4 file (ISO/IEC 14496-12 and -15) with one H.264 track; the index comes before the pictures.

Numbers of sections are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

TICKS_PER_FRAME: Final = 1000
_TRACK = 1
_LENGTH_BYTES = 4
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
_UNDETERMINED = 0x55C4  # the language "und" (ISO 639-2)
_DOTS_PER_INCH = 72 << 16
_ENABLED_AND_IN_MOVIE = 3


def mux(
    width: int,
    height: int,
    frames_per_second: int,
    parameter_sets: tuple[bytes, bytes],
    pictures: Sequence[bytes],
) -> bytes:
    """An MP4 file. `parameter_sets`: the sequence's and the picture's. `pictures`: NAL units, the first one IDR."""
    samples = [struct.pack(">I", len(picture)) + picture for picture in pictures]
    head = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    rate = frames_per_second * TICKS_PER_FRAME
    size = (width, height)
    # The length of the index does not depend on data_start.
    data_start = len(head) + len(_movie(size, rate, parameter_sets, samples, 0)) + 8
    return head + _movie(size, rate, parameter_sets, samples, data_start) + _box(b"mdat", *samples)


def _movie(
    size: tuple[int, int], rate: int, parameter_sets: tuple[bytes, bytes], samples: Sequence[bytes], data_start: int
) -> bytes:
    """moov (8.2.1)"""
    width, height = size
    duration = len(samples) * TICKS_PER_FRAME
    movie_header = struct.pack(">4IIH10x", 0, 0, rate, duration, 0x10000, 0x100) + _MATRIX + bytes(24)
    track_header = (
        struct.pack(">5I16x", 0, 0, _TRACK, 0, duration) + _MATRIX + struct.pack(">2I", width << 16, height << 16)
    )
    media_header = struct.pack(">4I2H", 0, 0, rate, duration, _UNDETERMINED, 0)
    data_reference = struct.pack(">I", 1) + _full_box(b"url ", 1)
    return _box(
        b"moov",
        _full_box(b"mvhd", 0, movie_header, struct.pack(">I", _TRACK + 1)),
        _box(
            b"trak",
            _full_box(b"tkhd", _ENABLED_AND_IN_MOVIE, track_header),
            _box(
                b"mdia",
                _full_box(b"mdhd", 0, media_header),
                _full_box(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"VideoHandler\0"),
                _box(
                    b"minf",
                    _full_box(b"vmhd", 1, bytes(8)),
                    _box(b"dinf", _full_box(b"dref", 0, data_reference)),
                    _sample_table(size, parameter_sets, samples, data_start),
                ),
            ),
        ),
    )


def _sample_table(
    size: tuple[int, int], parameter_sets: tuple[bytes, bytes], samples: Sequence[bytes], data_start: int
) -> bytes:
    """stbl (8.5.1), with all samples in one chunk."""
    count = len(samples)
    sizes = struct.pack(f">{count}I", *map(len, samples))
    return _box(
        b"stbl",
        _full_box(b"stsd", 0, struct.pack(">I", 1), _sample_entry(size, parameter_sets)),
        _full_box(b"stts", 0, struct.pack(">3I", 1, count, TICKS_PER_FRAME)),
        _full_box(b"stss", 0, struct.pack(">2I", 1, 1)),
        _full_box(b"stsc", 0, struct.pack(">4I", 1, 1, count, 1)),
        _full_box(b"stsz", 0, struct.pack(">2I", 0, count), sizes),
        _full_box(b"stco", 0, struct.pack(">2I", 1, data_start)),
    )


def _sample_entry(size: tuple[int, int], parameter_sets: tuple[bytes, bytes]) -> bytes:
    """avc1 (12.1.3) with avcC (ISO/IEC 14496-15, 5.3.3.1)."""
    sequence, picture = parameter_sets
    resolution = struct.pack(">2I4xH", _DOTS_PER_INCH, _DOTS_PER_INCH, 1)
    return _box(
        b"avc1",
        struct.pack(">6xH16x2H", 1, *size),
        resolution,
        struct.pack(">32xHh", 24, -1),
        _box(
            b"avcC",
            # Profile, constraints and level are the sequence parameter set's; unused bits are set.
            bytes((1, *sequence[1:4], 0xFC | _LENGTH_BYTES - 1)),
            struct.pack(">BH", 0xE0 | 1, len(sequence)),
            sequence,
            struct.pack(">BH", 1, len(picture)),
            picture,
        ),
    )


def _box(name: bytes, *parts: bytes) -> bytes:
    """4.2"""
    return struct.pack(">I4s", 8 + sum(map(len, parts)), name) + b"".join(parts)


def _full_box(name: bytes, flags: int, *parts: bytes) -> bytes:
    """A box with a version, here always 0, and flags (4.2)."""
    return _box(name, struct.pack(">I", flags), *parts)
