"""The simulator in the place of all providers (`--simulate`): nothing is sent, nothing is paid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Final

from .. import errors
from ..pipeline import Outgoing
from ..providers.base import Provider
from ..simulator import asking
from ..simulator.asking import Asked, Said
from ..simulator.links import FOLDER
from ..simulator.parts import PARTS
from ..simulator.settings import SimulatorSettings
from ..wire import header_fields
from ..wire.media_types import is_events
from .fields import end_to_end
from .upstream import Broken

logger = logging.getLogger(__name__)

RESULTS: Final = f"/{FOLDER}/"
"""Prefix of the paths of simulated results, which are open to whoever has the link."""


class Simulated:
    """Answers requests to providers."""

    def __init__(self, settings: SimulatorSettings) -> None:
        # Flask takes a while to import.
        from ..simulator.app import Simulator

        self._simulator = Simulator(settings)

    def use(self, settings: SimulatorSettings) -> None:
        """Go on with other settings; the tasks stay."""
        self._simulator.use(settings)

    async def answer(
        self,
        outgoing: Outgoing,
        body: bytes | AsyncIterator[bytes] | None,
        provider: Provider,
        name: str,
        origin: str,
    ) -> SimulatedAnswer:
        """The simulator's answer. Raises Refusal for what it cannot answer, and Broken for a simulated fault."""
        method, part = outgoing.upstream.method, PARTS.get(provider.simulated_by)
        if part is None or not part.serves(method, outgoing.target.partition("?")[0]):
            named = f"type {provider.type}" if name == provider.type else f"{name} (type {provider.type})"
            raise errors.not_simulated(named, part.about if part else "")
        raw = b"".join([piece async for piece in body]) if isinstance(body, AsyncIterator) else body or b""
        asked = Asked(method, outgoing.target, outgoing.fields, raw, provider.keys.provider_base_path, origin)
        said = await asyncio.to_thread(asking.ask, self._simulator, asked)
        is_stream = is_events(header_fields.value(said.fields, b"content-type"))
        if not is_stream:
            await asyncio.sleep(said.seconds)
            if said.cuts:
                raise Broken("a simulated fault", is_sent=True)
        return SimulatedAnswer(said, is_stream)


class SimulatedAnswer:
    """See Arrived."""

    def __init__(self, said: Said, is_stream: bool) -> None:
        self.status, self.fields = said.status, end_to_end(said.fields)
        self.reason: bytes | None = None
        self.is_over = False
        self._is_cut = bool(said.cuts)
        self._left: Iterator[tuple[float, bytes]] = iter(_pieces(said) if is_stream else [(0.0, said.body)])

    def ready(self) -> bytes:
        """See Arrived."""
        return b""

    async def piece(self) -> bytes:
        """See Arrived."""
        for seconds, piece in self._left:
            await asyncio.sleep(seconds)
            if piece:
                return piece
        if self._is_cut:
            raise Broken("a simulated fault", is_sent=True)
        self.is_over = True
        return b""

    def close(self) -> None:
        """See Arrived."""


def _pieces(said: Said) -> list[tuple[float, bytes]]:
    """The pieces of a stream, and the rest of it."""
    sent = sum(len(piece) for _, piece in said.pieces)
    return [*said.pieces, (0.0, said.body[sent:])]
