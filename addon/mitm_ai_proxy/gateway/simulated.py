"""The stage that answers upstream requests with the simulator (see simulator/app.py), so that nothing is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader

from .. import errors, registry
from ..cassette.entry import Chunk, Response
from ..edges import ways
from ..exchange import Handling
from ..providers.base import Provider
from ..registry import Configuration
from ..routing.providers import Providers
from ..simulator import asking
from ..simulator.asking import Asked, Said
from ..simulator.links import FOLDER
from ..simulator.parts import PARTS
from ..simulator.settings import SimulatorSettings
from ..wire.media_types import is_events
from ..wire.targets import Origin
from . import detours, engine, flows, guard, sealed
from .flows import FlowState
from .guard import Guard
from .replay_server import ReplayServer, wait
from .stages import Result, Stage

if TYPE_CHECKING:
    from ..simulator.app import Simulator
    from ..simulator.chat.views import Pieces

logger = logging.getLogger(__name__)

SIMULATE: Final = "ai_simulate"
RESULTS: Final = f"/{FOLDER}/"
"""Prefix of the paths of simulated results."""


_TRIES: Final[Mapping[str, str]] = {
    "kling": "  curl {here}/v1/videos -H 'Content-Type: application/json' -d "
    '\'{{"model": "sora-2", "prompt": "a cat on a skateboard", "seconds": "4"}}\'',
    "chat": "  curl {here}/v1/chat/completions -H 'Content-Type: application/json' -d "
    '\'{{"model": "any", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
}
"""A line to paste into a shell, by the part of the simulator."""


class Simulated:
    """The stage: it answers rewritten requests."""

    name = "ai_proxy_simulated"
    options: Sequence[str] = (SIMULATE,)
    simulates = True

    def __init__(self) -> None:
        self.is_active = False
        self.simulator: Simulator | None = None
        self._guard: Guard | None = None
        self._loopback = ReplayServer()

    @property
    def is_offline(self) -> bool:
        """False: no credential is needed, but the environment variables in a configuration have to be set."""
        return False

    def turn(self, on: bool, simulator: Simulator | None = None) -> None:
        """Switch it on or off with the next configuration; on means a new simulator, without tasks and fully funded,
        unless an earlier one is given.
        """
        self.is_active, self.simulator = on, simulator

    # Methods of Stage

    def declare(self, loader: Loader, guard: Guard) -> None:
        """Declare the option."""
        self._guard = guard
        # A str: mitmproxy would silently drop the script for a value that is no bool.
        loader.add_option(SIMULATE, str, "false", "true: answer from a simulator of our own; nothing is sent.")

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        """Switch it on if the option says so."""
        if SIMULATE not in updated:
            return
        value = str(getattr(ctx.options, SIMULATE)).strip().lower()
        if is_running:
            # mitmproxy also calls this when it restores the value after a refused one.
            if value != str(self.is_active).lower():
                raise exceptions.OptionsError(f"ai-proxy: {SIMULATE} can only be set at the start.")
            return
        if value not in ("true", "false"):
            logger.error("ai-proxy: %s takes true or false.", SIMULATE)
        else:
            self.turn(value == "true")

    def prepare(self, configuration: Configuration, providers: Providers) -> Callable[[], None]:
        """Make the simulator."""
        # Flask takes a while to import.
        from ..simulator.app import Simulator

        settings = configuration.block(SimulatorSettings)
        simulator = self.simulator or Simulator(settings)

        def use() -> None:
            self.simulator = simulator
            simulator.use(settings)

        return use

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        """A simulated result, by its path."""
        return Result() if flow.request.path.startswith(RESULTS) else None

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        """The handling unchanged."""
        return handling

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """Nothing to do."""

    def banner(self, configuration: Configuration, here: Origin) -> str:
        """A text that says what is simulated, with lines to paste into a shell."""
        reason = "no credential found" if registry.lacks_credential(configuration) else f"{SIMULATE} is set"
        parts = registry.simulated_parts(configuration)
        lines = [text.format(here=here) for part, text in _TRIES.items() if part in parts]
        return "\n".join([f"SIMULATED: {reason}, nothing is sent, nothing is paid", *lines])

    # Hooks

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer a flow that is ready to be sent, or refuse it. The guard refuses one that is not answered here."""
        state = self._guard.states.get(flow) if self._guard else None
        if state is None or not state.is_ready or self.name not in state.held_by or not guard.concerns(flow):
            return
        assert state.provider
        part = PARTS.get(state.provider.simulated_by)
        if part is None or not part.serves(flow.request.method, flow.request.path.partition("?")[0]):
            named = f"{state.name} (type {state.provider.type})" if state.name else f"type {state.provider.type}"
            guard.refuse(flow, state, errors.not_simulated(named, part.about if part else ""))
            return
        # With a cassette, it is the cassette's stage that makes links lead through the proxy.
        links_here = state.stages == (self.name,)
        try:
            from ..simulator.chat.views import ABORTED

            assert self.simulator
            origin = state.client_origin if links_here else str(state.provider.origin)
            said = await asyncio.to_thread(asking.ask, self.simulator, _asked(flow, state.provider, origin))
            response = _response(said)
            cuts, pieces = said.cuts, said.pieces
            if _is_stream(response.headers.get("content-type", "")) and (not cuts or ABORTED in cuts):
                streamed = _streamed(response, pieces)
                await detours.lead(flow, state, self._loopback, streamed, 1.0, ways.SIMULATED, is_cut=bool(cuts))
                return
            if not await wait(said.seconds, lambda: engine.client_is_gone(flow) or _is_late(state)):
                _cut(flow, state)
                return
        except Exception as error:
            name = type(error).__name__
            logger.warning("ai-proxy: %s in the simulator; %s was stopped.", name, flows.describe(flow))
            return
        if cuts:
            _cut(flow, state)
        else:
            flow.response = response

    async def done(self) -> None:
        """Stop the server that streams answers."""
        await self._loopback.close()


def _is_late(state: FlowState) -> bool:
    return state.attempts is not None and state.attempts.is_late


def _cut(flow: http.HTTPFlow, state: FlowState) -> None:
    """Close the connection: the provider's, where something can follow, or else the client's."""
    if engine.client_is_gone(flow) or not (state.attempts and state.attempts.lose()):
        flow.kill()


def _is_stream(content_type: str) -> bool:
    return is_events(content_type) or content_type.startswith("application/vnd.amazon.eventstream")


def _streamed(response: http.Response, pieces: Pieces) -> Response:
    """A simulated stream as one that was recorded, with the times of its pieces."""
    passed, chunks = 0.0, []
    for seconds, piece in pieces:
        passed += seconds * 1000
        chunks.append(Chunk(passed, len(piece)))
    headers = tuple(response.headers.items())
    return Response(response.status_code, response.reason, headers, response.content or b"", tuple(chunks))


def _response(said: Said) -> http.Response:
    response = http.Response.make(said.status, said.body)
    response.headers.fields = said.fields
    return response


def _asked(flow: http.HTTPFlow, provider: Provider, origin: str) -> Asked:
    request = flow.request
    body, base_path = request.raw_content or b"", provider.keys.provider_base_path
    return Asked(request.method, sealed.target_of(flow), sealed.fields_of(flow), body, base_path, origin)
