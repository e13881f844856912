"""A secret whose text is in no repr, format string or traceback."""

from __future__ import annotations


class Secret:
    """A secret text. `str()` and `repr()` give `<secret>`, `bool()` is false for an empty one."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. To be called only where it is sent to the provider or compared."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__
