"""Answers whose heads have arrived: what the exchange knows of them, wherever they come from."""

from __future__ import annotations

from typing import Protocol

from ..wire.header_fields import Fields
from .upstream import Broken


class Arrived(Protocol):
    """An answer whose head has arrived, from a provider or from what stands for it."""

    status: int
    reason: bytes | None
    fields: Fields

    def ready(self) -> bytes:
        """The next bytes of the body, if they are here already; else b"". Raises Broken."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""

    async def piece(self) -> bytes:
        """The next bytes of the body; b"" at its end. Raises Broken."""

    def close(self) -> None:
        """No more is wanted."""


class Resumed:
    """An answer of which some bytes have been looked at already."""

    def __init__(self, arrived: Arrived, held: bytes) -> None:
        self.status, self.reason, self.fields = arrived.status, arrived.reason, arrived.fields
        self._arrived, self._held = arrived, held

    def ready(self) -> bytes:
        """See Arrived."""
        held, self._held = self._held, b""
        return held or self._arrived.ready()

    @property
    def is_over(self) -> bool:
        """See Arrived."""
        return not self._held and self._arrived.is_over

    async def piece(self) -> bytes:
        """See Arrived."""
        return self.ready() or await self._arrived.piece()

    def close(self) -> None:
        """See Arrived."""
        self._arrived.close()


async def whole(arrived: Arrived, limit: int) -> bytes:
    """The whole body. Raises Broken for one that is longer, too."""
    pieces: list[bytes] = []
    size = 0
    while piece := arrived.ready() or (b"" if arrived.is_over else await arrived.piece()):
        size += len(piece)
        if size > limit:
            raise Broken("its answer is longer than what is held", is_sent=True)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
