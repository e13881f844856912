"""The simulator inside mitmproxy: it answers in the provider's place, so that nothing is sent. Knows mitmproxy.

What is answered is the simulator's business; that nothing gets past it is the guard's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

from mitmproxy import http
from werkzeug.test import EnvironBuilder, run_wsgi_app

from ..simulator.app import CUT, ORIGIN, Simulator
from .guard import Guard, concerns, describe

logger = logging.getLogger(__name__)


class Simulation:
    """An addon behind the gateway, which answers what the gateway rewrote."""

    name = "ai_proxy_simulation"

    def __init__(self, simulator: Simulator, guard: Guard) -> None:
        self.simulator = simulator
        self.guard = guard

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer a flow that is ready to go out. One that is not answered here, the guard refuses."""
        flight = self.guard.flights.get(flow)
        if flight is None or not flight.ready or not flight.is_simulated or not concerns(flow):
            return
        assert flight.provider is not None
        cuts: list[str] = []
        try:
            environ = _environ(flow, flight.provider.keys.provider_base_path)
            environ |= {ORIGIN: str(flight.provider.origin) if flight.is_taped else flight.client_origin, CUT: cuts}
            body, status, headers = await asyncio.to_thread(run_wsgi_app, self.simulator, environ, True)
        except Exception as error:
            logger.warning("ai-proxy: %s in the simulator; %s was stopped.", type(error).__name__, describe(flow))
            return
        if cuts:
            flow.kill()
            return
        response = http.Response.make(int(status.split()[0]), b"".join(body))
        # As they are: the length in the answer to a HEAD is not that of what is sent.
        fields = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
        response.headers.fields = fields
        flow.response = response


def _environ(flow: http.HTTPFlow, base_path: str) -> dict[str, Any]:
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
