"""Output in a terminal: titles, two columns with their differences in colour, notes, progress bars.

Other outputs get neither colours nor movement.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

WIDTH: Final = 100
NARROWEST: Final = 72
_LEFT: Final = 52 / 97
"""Share of the left column, which is wider: it shows an application's paths, which are longer than Kling's."""
_BAR: Final = 40
_BESIDE_BAR: Final = 50
"""Characters of a line that are left for the text beside a bar."""
_INDENT: Final = 7

_STYLES: Final[Mapping[str, str]] = {
    "head": "1",
    "title": "1;36",
    "same": "",
    "faint": "90",
    "before": "33",
    "after": "32",
    "good": "1;32",
    "bad": "1;31",
}
_PLAIN: Final = str.maketrans({"─": "-", "│": "|", "█": "#", "░": ".", "✓": "*", "✗": "!", "·": "*", "…": "~"})
"""For outputs whose encoding lacks these characters; of equal width, so that columns stay aligned."""


class Page:
    """Writes to one text stream. `width` and `columns` (left, right) are in characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_animated = out.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = self._is_animated and not os.environ.get("NO_COLOR")
        self.width = max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns)) if out.isatty() else WIDTH
        left = round((self.width - 3) * _LEFT)
        self.columns = left, self.width - 3 - left
        self._rows: list[str] = []

    def style(self, name: str, text: str) -> str:
        """The text in one of the styles; unchanged without colours."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self._has_colours and _STYLES[name] and text else text

    def line(self, text: str = "") -> None:
        """Write a line."""
        self._write(text + "\n")

    def title(self, text: str) -> None:
        """Write the title of a step, with a rule."""
        rule = "─" * (self.width - len(text) - 1)
        self.line(f"\n{self.style('title', text)} {self.style('faint', rule)}")

    def heads(self, left: str, right: str) -> None:
        """Write the titles of the two columns."""
        self._row(left, "head", right, "head")

    def beside(self, left: Sequence[str], right: Sequence[str]) -> None:
        """Write lines in two columns; a line that the other column lacks is highlighted."""
        lines = [*zip(left, right, strict=False)]
        lines += [(text, "") for text in left[len(right) :]] + [("", text) for text in right[len(left) :]]
        known_left, known_right = _comparable(left), _comparable(right)
        for one, other in lines:
            before = "same" if _bare(one) in known_right else "before"
            after = "same" if _bare(other) in known_left else "after"
            self._row(one, before, other, after)

    def reasons(self, notes: Sequence[str]) -> None:
        """Write the notes on why the right column differs, wrapped."""
        head = self.style("head", "  why  ")
        for note in notes:
            mark = self.style("faint", "·")
            for line in textwrap.wrap(note, self.width - _INDENT - 2):
                self.line(f"{head}{mark} {line}")
                head, mark = " " * _INDENT, " "

    def good(self, text: str) -> None:
        """Write a line about a success."""
        self.line(f"  {self.style('good', '✓')}    {text}")

    def bad(self, text: str) -> None:
        """Write a line about a failure."""
        self.line(f"\n{self.style('bad', '✗')} {text}")

    def bars(self, bars: Sequence[tuple[str, float, str, str]]) -> None:
        """Draw or redraw progress bars: name, part done (0 to 1), status, details. Without a terminal, changes only."""
        rows = [f"{name:<9}{status}" for name, _, status, _ in bars]
        if not self._is_animated:
            for row, before in zip(rows, self._rows or [""] * len(rows), strict=True):
                if row != before:
                    self.line(f"  {row}")
        else:
            up = f"\x1b[{len(self._rows)}A" if self._rows else ""
            self._write(up + "".join(f"\r  {self._bar(*bar)}\x1b[K\n" for bar in bars))
        self._rows = rows

    def _bar(self, name: str, part: float, status: str, details: str) -> str:
        length = min(_BAR, self.width - _BESIDE_BAR)
        full = int(length * part)
        colour = "good" if part >= 1 else "before"
        bar = self.style(colour, "█" * full) + self.style("faint", "░" * (length - full))
        return f"{name:<9}{bar}  {self.style(colour, f'{status:<12}')}{details}"

    def _row(self, left: str, left_style: str, right: str, right_style: str) -> None:
        wide, narrow = self.columns
        one, other = shortened(left, wide), shortened(right, narrow)
        filled = self.style(left_style, one) + " " * (wide - len(one))
        self.line(f"{filled} {self.style('faint', '│')} {self.style(right_style, other)}".rstrip())

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
        self._out.write(text)
        self._out.flush()


def shortened(text: str, width: int) -> str:
    """The text, cut to a width in characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _bare(text: str) -> str:
    # A trailing comma does not count as a difference.
    return text.strip().rstrip(",")


def _comparable(lines: Sequence[str]) -> set[str]:
    return {_bare(line) for line in lines} | {"", "{", "}"}
