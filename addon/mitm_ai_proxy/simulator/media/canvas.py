"""The image that videos and pictures show, as a grid of coloured cells: lines of text, and a progress bar."""

from __future__ import annotations

import colorsys
import hashlib
import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

CELL: Final = 16
"""Side of a cell in pixels; that of a macroblock in H.264."""
MIN_SIDE: Final = 64
MAX_SIDE: Final = 4096

BACKGROUND, WORDS, TRACK, BAR = range(4)
"""Indexes into a palette; the track is the part of the bar that is not filled yet."""

_LETTER_ROWS = 5
_SPACE = [".", ".", ".", ".", "."]
_FONT: dict[str, Sequence[str]] = {
    letter: rows.split()
    for letter, rows in {
        "A": ".#. #.# ### #.# #.#",
        "B": "##. #.# ##. #.# ##.",
        "C": ".## #.. #.. #.. .##",
        "D": "##. #.# #.# #.# ##.",
        "E": "### #.. ##. #.. ###",
        "F": "### #.. ##. #.. #..",
        "G": ".## #.. #.# #.# .##",
        "H": "#.# #.# ### #.# #.#",
        "I": "### .#. .#. .#. ###",
        "J": "..# ..# ..# #.# .#.",
        "K": "#.# #.# ##. #.# #.#",
        "L": "#.. #.. #.. #.. ###",
        "M": "#.# ### ### #.# #.#",
        "N": "##. #.# #.# #.# #.#",
        "O": ".#. #.# #.# #.# .#.",
        "P": "##. #.# ##. #.. #..",
        "Q": ".#. #.# #.# ##. .##",
        "R": "##. #.# ##. #.# #.#",
        "S": ".## #.. ### ..# ##.",
        "T": "### .#. .#. .#. .#.",
        "U": "#.# #.# #.# #.# ###",
        "V": "#.# #.# #.# #.# .#.",
        "W": "#.# #.# ### ### #.#",
        "X": "#.# #.# .#. #.# #.#",
        "Y": "#.# #.# .#. .#. .#.",
        "Z": "### ..# .#. #.. ###",
        "0": "### #.# #.# #.# ###",
        "1": ".#. ##. .#. .#. ###",
        "2": "### ..# ### #.. ###",
        "3": "### ..# .## ..# ###",
        "4": "#.# #.# ### ..# ..#",
        "5": "### #.. ##. ..# ##.",
        "6": ".## #.. ### #.# ###",
        "7": "### ..# ..# .#. .#.",
        "8": "### #.# ### #.# ###",
        "9": "### #.# ### ..# ##.",
        ":": ". # . # .",
        ".": ". . . . #",
        "-": "... ... ### ... ...",
        "/": "..# ..# .#. #.. #..",
    }.items()
}


class RGB(NamedTuple):
    """A colour, eight bits each."""

    red: int
    green: int
    blue: int


class Area(NamedTuple):
    """A part of the grid, in cells."""

    column: int
    row: int
    columns: int
    rows: int


class Card(NamedTuple):
    """The image: cells row by row, as indexes into the palette; cells of the last column and row may be cut off."""

    columns: int
    rows: int
    cells: bytearray
    palette: tuple[RGB, RGB, RGB, RGB]
    bar: Area

    def paint(self, area: Area, colour: int) -> None:
        for row in range(area.row, area.row + area.rows):
            start = row * self.columns + area.column
            self.cells[start : start + area.columns] = bytes((colour,)) * area.columns

    def write(self, column: int, row: int, scale: int, word: str) -> None:
        """Write a word; column and row are those of its upper left corner. Characters not in the font are blank."""
        for letter in word:
            for y, dots in enumerate(_letter(letter)):
                for x, dot in enumerate(dots):
                    if dot == "#":
                        self.paint(Area(column + x * scale, row + y * scale, scale, scale), WORDS)
            column += _advance(letter) * scale


def card(width: int, height: int, words: Sequence[str], seed: str) -> Card:
    """A card of this size in pixels: each word on its own line, as large as fits, above the track of the bar.

    Words that are too long are cut, lines that do not fit are left out. The seed chooses the colours. Raises ValueError
    for sides out of MIN_SIDE to MAX_SIDE.
    """
    for side in (width, height):
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise ValueError(f"a side has from {MIN_SIDE} to {MAX_SIDE} pixels, not {side}")
    columns, rows = -(-width // CELL), -(-height // CELL)
    # Text and bar use only cells that are not cut off.
    wide, high = width // CELL, height // CELL
    margin = min(wide, high) // 15
    thickness = max(1, margin * 2 // 3)
    bar = Area(margin, high - margin - thickness, wide - 2 * margin, thickness)
    made = Card(columns, rows, bytearray(columns * rows), _palette(seed), bar)
    made.paint(bar, TRACK)
    room = bar.row - 2 * margin
    lines = _lines(words, wide, bar.columns, room)
    row = margin + (room - _high(lines)) // 2
    for scale, word in lines:
        made.write((wide - _wide(word) * scale) // 2, row, scale, word)
        row += _LETTER_ROWS * scale + _gap(lines)
    return made


def _lines(words: Sequence[str], wide: int, room_wide: int, room_high: int) -> list[tuple[int, str]]:
    """The words with their scales. Only a word at scale 1 may exceed the margins."""
    cut = [_cut(word.upper().strip(), wide) for word in words]
    lines = [(max(1, room_wide // _wide(word)), word) for word in cut if word]
    while lines and _high(lines) > room_high:
        largest = max(range(len(lines)), key=lambda place: lines[place][0])
        scale, word = lines[largest]
        if scale > 1:
            lines[largest] = (scale - 1, word)
        else:
            lines.pop()
    return lines


def _cut(word: str, wide: int) -> str:
    """The beginning of a word that fits at scale 1."""
    ends = itertools.accumulate(map(_advance, word))
    return word[: sum(1 for end in ends if end - 1 <= wide)].rstrip()


def _wide(word: str) -> int:
    return sum(map(_advance, word)) - 1


def _advance(letter: str) -> int:
    """Columns from a letter to the next one."""
    return len(_letter(letter)[0]) + 1


def _letter(letter: str) -> Sequence[str]:
    return _FONT.get(letter, _SPACE)


def _high(lines: Sequence[tuple[int, str]]) -> int:
    return sum(_LETTER_ROWS * scale for scale, _ in lines) + _gap(lines) * (len(lines) - 1)


def _gap(lines: Sequence[tuple[int, str]]) -> int:
    """Rows between two lines."""
    return max((scale for scale, _ in lines), default=0)


def _palette(seed: str) -> tuple[RGB, RGB, RGB, RGB]:
    """The colours of a seed: light words on a dark background of any hue, and a bar of the opposite hue."""
    digest = hashlib.sha256(seed.encode()).digest()
    hue = int.from_bytes(digest[:2]) / 0x10000
    saturation = 0.6 + digest[2] / 0x400
    light = 0.18 + digest[3] / 0x1000
    return (
        _rgb(hue, saturation, light),
        _rgb(hue, saturation / 2, 0.93),
        _rgb(hue, saturation / 2, 0.34),
        _rgb((hue + 0.5) % 1, 0.75, 0.7),
    )


def _rgb(hue: float, saturation: float, light: float) -> RGB:
    """A colour of this lightness, in the weights of ITU-R BT.709, for every hue."""
    parts = colorsys.hsv_to_rgb(hue, saturation, 1)
    own = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
    # Mixed with black, or with white.
    share, white = (light / own, 0.0) if light < own else ((1 - light) / (1 - own), (light - own) / (1 - own))
    red, green, blue = (round(255 * (share * part + white)) for part in parts)
    return RGB(red, green, blue)
