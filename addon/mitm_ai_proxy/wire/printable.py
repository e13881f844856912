"""Text of a client in one line of a log."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with control characters and all else that does not print as an escape: `\x1b`, `\u2028`."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])
