"""Silent sound files: MP3 (ISO/IEC 11172-3, Layer III) and WAV."""

from __future__ import annotations

import io
import wave

# Header (2.4.1.3): MPEG-1, Layer III, no CRC; 32 kbit/s, 48 kHz; one channel. At this rate no frame needs padding.
_MP3_HEADER = b"\xff\xfb\x14\xc0"
_MP3_FRAME_BYTES = 96
_MP3_FRAMES_PER_SECOND = 48_000 / 1152
# Side information of zeros (2.4.1.7) has no bits of main data: every spectral line is 0.
_MP3_FRAME = _MP3_HEADER.ljust(_MP3_FRAME_BYTES, b"\0")

_WAV_SAMPLES_PER_SECOND = 8000
_WAV_SILENCE = b"\x80"  # samples of eight bits have no sign


def mp3(seconds: float) -> bytes:
    """A silent MP3 file of this length, rounded to frames of 24 ms."""
    return _MP3_FRAME * max(1, round(seconds * _MP3_FRAMES_PER_SECOND))


def wav(seconds: float) -> bytes:
    """A silent WAV file of this length: 8 kHz, one channel, eight bits a sample."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(_WAV_SAMPLES_PER_SECOND)
        # An even number: a chunk of odd length needs a pad byte, which the library does not write.
        writer.writeframes(_WAV_SILENCE * (2 * round(seconds * _WAV_SAMPLES_PER_SECOND / 2)))
    return file.getvalue()
