"""Recorded exchanges for the tests of cassettes: requests, answers, Kling's tasks, and a client of the simulator."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jwt
from werkzeug.test import Client

from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.playing import Player
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings

ORIGIN = "https://api-singapore.klingai.com"
TEXT = f"{ORIGIN}/v1/videos/text2video"
NEW_DESIGN = f"{ORIGIN}/text-to-video/kling-3.0"
OPENAI = "https://api.openai.com/v1/videos"
JSON: Headers = (("Content-Type", "application/json"),)
REFUSED = Response(400, "", JSON, b'{"code":1201,"message":"Task not found by id/external id: x"}')
BUSY = Response(429, "", JSON, b'{"code":1303}')
Exchange = tuple[Request, Response | None]
NUMBERS = itertools.count()
"""Numbers that make each answer different."""


def new_request(method: str, url: str, body: Any = None, headers: Headers = ()) -> Request:
    """A request with a body of JSON, or of these bytes."""
    encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, url, (*JSON, *headers), encoded)


def new_answer(body: Any, status: int = 200, headers: Headers = JSON) -> Response:
    """An answer with a body of JSON, or of these bytes."""
    return Response(status, "", headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def task_answer(task_id: str, status: str, **more: Any) -> Response:
    """An answer of the legacy API with a task."""
    data = {"task_id": task_id, "task_status": status, "updated_at": next(NUMBERS), **more}
    return new_answer({"code": 0, "request_id": f"request-{next(NUMBERS)}", "data": data})


def new_design_answer(task_id: str, status: str, **more: Any) -> Response:
    """An answer of the newer API with a task."""
    task = {"id": task_id, "status": status, "message": "", "external_id": "", "billing": [], **more}
    return new_answer({"code": 0, "data": [task]})


def poll(name: str) -> Request:
    """A read of a task of the legacy API."""
    return new_request("GET", f"{TEXT}/{name}")


def entries_of(exchanges: Sequence[Exchange], every: float = 5.0, started: float = 0.0) -> list[Entry]:
    """A recording with a request every `every` seconds."""
    return [Entry(started + every * index, 10.0, *exchange) for index, exchange in enumerate(exchanges)]


def played(player: Player, request: Request) -> Response:
    """The recorded answer to a request."""
    answer = player.answer(request)
    assert isinstance(answer, Entry), answer
    assert answer.response is not None
    return answer.response


class Recorder:
    """A client of a simulator that keeps all its exchanges."""

    def __init__(self, fault: str = "") -> None:
        self.time = 1_795_212_000.0
        self._client = Client(Simulator(SimulatorSettings(speed=1.0, fault=fault), lambda: self.time))
        self.entries: list[Entry] = []

    def ask(self, request: Request) -> Response:
        """Send a request to the simulator; returns its answer."""
        target = request.url.removeprefix(ORIGIN)
        answer = self._client.open(
            target, method=request.method, data=request.body, headers=list(request.headers), base_url=ORIGIN
        )
        response = Response(answer.status_code, "OK", tuple(answer.headers.items()), answer.data)
        self.entries.append(Entry(self.time, 1.0, request, response))
        return response


def signed_in(request: Request, time: float, single: bool) -> Request:
    """The request with a credential of the simulator: its `single` API key, or a JWT of its key pair."""
    claims = {"iss": ACCESS_KEY, "exp": int(time) + 1800, "nbf": int(time) - 5}
    token = API_KEY if single else jwt.encode(claims, SECRET_KEY, "HS256")
    return replace(request, headers=(*request.headers, ("Authorization", f"Bearer {token}")))
