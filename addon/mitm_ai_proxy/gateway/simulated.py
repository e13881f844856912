"""The stage of the simulator: it answers in the provider's place, so that nothing is sent.

What is answered is decided in simulator/; that nothing gets past it is the guard's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader

from .. import registry
from ..exchange import Handling
from ..providers.base import Provider
from ..registry import Configuration
from ..simulator.links import FOLDER
from ..simulator.settings import SimulatorSettings
from ..wire.targets import Origin
from . import flows, guard
from .flows import FlowState
from .guard import Guard
from .stages import Result, Stage

if TYPE_CHECKING:
    from ..simulator.app import Simulator

logger = logging.getLogger(__name__)

SIMULATE: Final = "ai_simulate"
RESULTS: Final = f"/{FOLDER}/"
"""Where the paths of simulated results begin."""


class Simulated:
    """A stage. It answers what the gateway rewrote."""

    name = "ai_proxy_simulated"
    options: Sequence[str] = (SIMULATE,)
    simulates = True

    def __init__(self) -> None:
        self.is_active = False
        self.simulator: Simulator | None = None
        self._guard: Guard | None = None

    @property
    def is_offline(self) -> bool:
        """It needs no credential, but the variables of a configuration."""
        return False

    def turn(self, on: bool) -> None:
        """From the next configuration on, answer, with no tasks yet and a full account; or let requests go out."""
        self.is_active, self.simulator = on, None

    # What the gateway asks of a stage

    def declare(self, loader: Loader, guard: Guard) -> None:
        """Declare the option."""
        self._guard = guard
        # No bool: mitmproxy would drop the script without a word for any other value.
        loader.add_option(SIMULATE, str, "false", "true: answer from a Kling of our own; nothing is sent.")

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        """Take up the option."""
        if SIMULATE not in updated:
            return
        value = str(getattr(ctx.options, SIMULATE)).strip().lower()
        if is_running:
            # Also where a refused value is taken back.
            if value != str(self.is_active).lower():
                raise exceptions.OptionsError(f"ai-proxy: {SIMULATE} can only be set at the start.")
            return
        if value not in ("true", "false"):
            logger.error("ai-proxy: %s takes true or false.", SIMULATE)
        else:
            self.turn(value == "true")

    def prepare(self, configuration: Configuration, provider: Provider) -> Callable[[], None]:
        """Have a simulator ready."""
        # Flask takes a while to import.
        from ..simulator.app import Simulator

        settings = configuration.block(SimulatorSettings)
        simulator = self.simulator or Simulator(settings)

        def use() -> None:
            self.simulator = simulator
            simulator.use(settings)

        return use

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        """A result of the simulator's."""
        return Result() if flow.request.path.startswith(RESULTS) else None

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        """As it is."""
        return handling

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """Nothing: it is the one who answers."""

    def banner(self, configuration: Configuration, here: Origin) -> str:
        """What a person has to know of a simulation, with a line to paste."""
        reason = "no credential found" if registry.lacks_credential(configuration) else f"{SIMULATE} is set"
        return (
            f"SIMULATED: {reason}, nothing is sent, nothing is paid\n"
            f"  curl {here}/v1/videos -H 'Content-Type: application/json' -d "
            '\'{"model": "kling-v3", "prompt": "a cat on a skateboard", "duration": "5"}\''
        )

    # Hooks

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer a flow that is ready to go out. One that is not answered here, the guard refuses."""
        state = self._guard.states.get(flow) if self._guard else None
        if state is None or not state.is_ready or self.name not in state.held_by or not guard.concerns(flow):
            return
        # Where a cassette leads links through the proxy, they are the provider's.
        links_here = state.stages == (self.name,)
        cuts: list[str] = []
        try:
            from ..simulator.app import CUT, ORIGIN

            assert self.simulator
            assert state.provider
            origin = state.client_origin if links_here else str(state.provider.origin)
            environ = _environ(flow, state.provider.keys.provider_base_path) | {ORIGIN: origin, CUT: cuts}
            response = await asyncio.to_thread(_answer, self.simulator, environ)
        except Exception as error:
            name = type(error).__name__
            logger.warning("ai-proxy: %s in the simulator; %s was stopped.", name, flows.describe(flow))
            return
        if cuts:
            flow.kill()
        else:
            flow.response = response


def _answer(simulator: Simulator, environ: dict[str, Any]) -> http.Response:
    # As Flask, it takes a while to import.
    from werkzeug.test import run_wsgi_app

    body, status, headers = run_wsgi_app(simulator, environ, True)
    response = http.Response.make(int(status.split()[0]), b"".join(body))
    # As they are: the length in the answer to a HEAD is not that of what is sent.
    response.headers.fields = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return response


def _environ(flow: http.HTTPFlow, base_path: str) -> dict[str, Any]:
    """The request for a WSGI application."""
    from werkzeug.test import EnvironBuilder

    request = flow.request
    path, _, query = request.path.partition("?")
    path = path.removeprefix(base_path) if path.startswith(base_path + "/") else path
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.fields]
    builder = EnvironBuilder(
        path=unquote(path),
        query_string=query,
        method=request.method,
        headers=[pair for pair in headers if pair[0].lower() not in ("transfer-encoding", "content-length")],
        data=request.raw_content or b"",
    )
    try:
        return dict(builder.get_environ())
    finally:
        builder.close()
