"""The parts of the simulator, each of which stands for a kind of provider; a type of provider names its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from .chat import paths


class Part(NamedTuple):
    """A part: what it has, in words; whether it answers a method and a path (no query); whether it makes files."""

    about: str
    serves: Callable[[str, str], bool]
    makes_files: bool = False


PARTS: Final[Mapping[str, Part]] = {
    # Kling itself refuses what it does not know.
    "kling": Part("Kling's API", lambda *_: True, makes_files=True),
    "chat": Part("chats, the count of their tokens and the list of models", paths.serves),
}
"""By name."""
