"""How the notes on a request begin that say where it goes, or would have gone."""

from __future__ import annotations

from typing import Final

SENT: Final = "sent to "
UNSENT: Final = "would have been sent to "
"""The same for a request that is refused."""
SIMULATED: Final = f"simulated, {UNSENT}"
REPLAYED: Final = f"replayed, {UNSENT}"


def told(note: str, before: str, way: str) -> str:
    """The note with another beginning, if it begins as `before` does: one of the texts above each."""
    return way + note.removeprefix(before) if note.startswith(before) else note
