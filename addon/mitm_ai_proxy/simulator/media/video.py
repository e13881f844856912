"""Writes MP4 videos that show words and a progress bar: canvas.py draws, h264.py encodes, mp4.py writes the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mitm_ai_proxy.simulator.media import canvas, h264, mp4
from mitm_ai_proxy.simulator.media.canvas import BAR, TRACK, Area
from mitm_ai_proxy.simulator.media.h264 import Colour

FRAMES_PER_SECOND: Final = 24
_SHADES = 256
"""Steps in which a cell of the bar fills, so that the bar moves in every frame, in long videos too."""


def frames(seconds: float) -> int:
    """The number of frames of a video that was ordered with this length; one more than that, as in Kling's."""
    return round(FRAMES_PER_SECOND * seconds) + 1


def duration(seconds: float) -> str:
    """The real length of such a video in seconds, as Kling's API writes it: `5.041`."""
    milliseconds = frames(seconds) * 1000 // FRAMES_PER_SECOND
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}"


def make(width: int, height: int, seconds: float, words: Sequence[str], seed: str) -> bytes:
    """An MP4 file with these words; the seed chooses the colours. Equal arguments give equal bytes.

    Width and height are in pixels. Raises ValueError for odd sides, and for those that canvas.card() refuses.
    """
    card = canvas.card(width, height, words, seed)
    encoder = h264.Encoder(width, height, FRAMES_PER_SECOND)
    colours = [h264.colour(*rgb) for rgb in card.palette]
    pictures = [encoder.first([colours[cell] for cell in card.cells])]
    for painted in _growth(card.bar, frames(seconds) - 1, colours[TRACK], colours[BAR]):
        cells = {
            row * card.columns + column: colour
            for row in range(card.bar.row, card.bar.row + card.bar.rows)
            for column, colour in painted.items()
        }
        pictures.append(encoder.next(cells))
    parameter_sets = (encoder.sequence_parameter_set, encoder.picture_parameter_set)
    return mp4.mux(width, height, FRAMES_PER_SECOND, parameter_sets, pictures)


def _growth(bar: Area, steps: int, track: Colour, full: Colour) -> Iterator[dict[int, Colour]]:
    """For each step, the columns that change, with their new colours, until the bar is full."""
    reached = 0
    for step in range(1, steps + 1):
        start = reached // _SHADES
        reached = bar.columns * _SHADES * step // steps
        end, shade = divmod(reached, _SHADES)
        painted = {bar.column + column: full for column in range(start, end)}
        if shade:
            painted[bar.column + end] = _shade(track, full, shade)
        yield painted


def _shade(track: Colour, full: Colour, shade: int) -> Colour:
    # Only luma changes: a cell with the chroma of its neighbour has a third of the length.
    return full._replace(luma=track.luma + (full.luma - track.luma) * shade // _SHADES)
