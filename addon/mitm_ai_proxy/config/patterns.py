"""Patterns of routes, the same as in modelMapping: an exact text, `prefix*`, or `~regex`, which matches anywhere."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import regex

MAX_LENGTH: Final = 1000
"""Characters of a text that is compared with a regex."""
TIME: Final = 0.05
"""Seconds that one regex may take for one text."""


class PatternError(ValueError):
    """A text that cannot be compared with a regex. The message continues a sentence: "is too long"."""


def compiled(pattern: str) -> regex.Pattern[str]:
    """The regex in a pattern that begins with `~`. Raises ValueError, naming the pattern, if it is none."""
    # Imported when needed, since it takes a while. Python's own has no limit for the time that a match takes.
    import regex

    try:
        with warnings.catch_warnings():
            # What may mean something else in a later Python means here what it does in this one.
            warnings.simplefilter("ignore", FutureWarning)
            return regex.compile(pattern[1:])
    except RecursionError:
        raise ValueError(f"{pattern[:40]!r}... is nested too deeply") from None
    except (regex.error, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None


def is_exact(text: str) -> bool:
    """Whether a pattern stands for one text only."""
    return not (text.startswith("~") or text.endswith("*"))


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; `text` as it was written. Raises ValueError for a bad regex, and for an empty text."""

    text: str
    _regex: regex.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("is empty")
        found = compiled(self.text) if self.text.startswith("~") else None
        object.__setattr__(self, "_regex", found)

    @property
    def is_exact(self) -> bool:
        """Whether it stands for one text only."""
        return is_exact(self.text)

    def matches(self, text: str) -> bool:
        """Whether it matches a text. Raises PatternError if that takes too long."""
        if self._regex is None:
            return text == self.text if self.is_exact else text.startswith(self.text[:-1])
        if len(text) > MAX_LENGTH:
            raise PatternError(f"has more than {MAX_LENGTH} characters")
        try:
            return self._regex.search(text, timeout=TIME) is not None
        except TimeoutError:
            raise PatternError(f"takes too long to compare with {self.text!r}") from None

    def covers(self, other: Pattern) -> bool:
        """Whether it matches every text that another one matches, as far as that can be told."""
        if self in (other, ANYTHING):
            return True
        if other.is_exact:
            try:
                return self.matches(other.text)
            except PatternError:
                return False
        both_are_prefixes = not (self.is_exact or self._regex or other._regex)
        return both_are_prefixes and other.text.startswith(self.text[:-1])


ANYTHING: Final = Pattern("*")
