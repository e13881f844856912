"""Leads a flow to a replay server, so that mitmproxy streams an answer that a stage has."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.connection import Server

from .. import pipeline
from ..cassette.entry import Response
from . import flows, sealed
from .flows import FlowState
from .replay_server import ReplayServer


async def lead(
    flow: http.HTTPFlow,
    state: FlowState,
    server: ReplayServer,
    response: Response,
    pace: float | None,
    way: str,
    *,
    is_cut: bool = False,
) -> None:
    """Have the server answer a flow in the provider's place, and release it; call it in the request hook.

    `pace` multiplies the times of the pieces; None sends them at once. `way`: SIMULATED or REPLAYED, for the notes.
    `is_cut`: the connection is closed behind the pieces.
    """
    origin, token = await server.offer(response, pace, is_cut=is_cut)
    data = flow.request.data
    flows.redact(flow, state)
    sealed.led_away(flow)
    state.place = data.scheme, data.host, data.port, data.path, data.headers.fields
    data.scheme, data.host, data.port = b"http", origin.host, origin.port
    data.path = b"/" + token.encode()
    flow.server_conn = Server(address=(origin.host, origin.port))
    assert state.upstream
    state.upstream = pipeline.answered_by(state.upstream, origin)
    state.answered_way = way
    state.held_by.clear()
