"""How many bytes of long request bodies are held at one time, in all flows together."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary, WeakSet

DEFAULT_LIMIT: Final = 512 * 1024 * 1024
"""Bytes."""


class Held:
    """Counts bodies from the head of their requests to the end of the flows. `limit` is in bytes."""

    def __init__(self) -> None:
        self.limit = DEFAULT_LIMIT
        self._sizes: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._refused: WeakSet[object] = WeakSet()

    def room(self, flow: object, size: int) -> int:
        """How many bytes the body of a flow may have, of which `size` are known to come or are there already."""
        others = sum(count for other, count in self._sizes.items() if other is not flow)
        room = max(0, self.limit - others)
        if size > room:
            self._refused.add(flow)
        else:
            self._sizes[flow] = size
        return room

    def was_refused(self, flow: object) -> bool:
        """Whether the body of a flow found no room."""
        return flow in self._refused

    def release(self, flow: object) -> None:
        """Forget a flow that has ended."""
        self._sizes.pop(flow, None)


HELD: Final = Held()
"""That of this process. A reload of the script goes on with it."""
