"""A client of the simulated chat model, in both formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from werkzeug.test import Client, TestResponse

from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
KEY: Final = {"Authorization": f"Bearer {API_KEY}"}
VERSION: Final = {"anthropic-version": "2023-06-01"}
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES: Final = ("get_weather", "get_time")


def simulator(**settings: Any) -> Simulator:
    """One that answers at once."""
    return Simulator(SimulatorSettings(**{"speed": float("inf"), **settings}))


class Model:
    """Asks a simulator, with the account's key."""

    def __init__(self, **settings: Any) -> None:
        self.client = Client(simulator(**settings))

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        """A request; `body` is bytes, or is made into JSON. Names of header fields are written with `_`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        version = {} if path.endswith("completions") else VERSION
        return self.client.post(
            path, data=data, headers={"Content-Type": "application/json", **KEY, **version, **named}
        )

    def answer(self, path: str, body: Any, status: int = 200) -> Any:
        """The answer as a document."""
        got = self.post(path, body)
        assert got.status_code == status, got.get_data(as_text=True)
        return document(got)

    def listed(self, path: str, headers: Mapping[str, str] = MappingProxyType({}), status: int = 200) -> Any:
        """The answer to a GET."""
        got = self.client.get(path, headers={**KEY, **headers})
        assert got.status_code == status
        return document(got)

    def events(self, path: str, body: dict[str, Any]) -> list[Any]:
        """The events of a stream; [DONE] as a text. The names of events are those of their types."""
        got = self.post(path, {**body, "stream": True})
        assert (got.status_code, got.mimetype) == (200, "text/event-stream"), got.get_data(as_text=True)
        found: list[Any] = []
        for block in got.get_data(as_text=True).removesuffix("\n\n").split("\n\n"):
            lines = block.split("\n")
            data = lines[-1].removeprefix("data: ")
            found.append(data if data == "[DONE]" else json.loads(data))
            if len(lines) == 2:
                assert lines[0] == f"event: {found[-1]['type']}"
        return found


def document(got: TestResponse) -> Any:
    """The JSON document of an answer."""
    return json.loads(got.data)


def openai(*messages: Any, tools: Any = False, **more: Any) -> dict[str, Any]:
    """A request in OpenAI's format; a text is a message of the user's, and True stands for two tools."""
    body: dict[str, Any] = {"model": "m", "messages": [_message(one) for one in messages], **more}
    if isinstance(tools, list):
        body["tools"] = tools
    elif tools:
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in NAMES]
    return body


def anthropic(*messages: Any, tools: Any = False, **more: Any) -> dict[str, Any]:
    """The same in Anthropic's format."""
    body: dict[str, Any] = {"model": "m", "max_tokens": 4000, "messages": [_message(one) for one in messages], **more}
    if isinstance(tools, list):
        body["tools"] = tools
    elif tools:
        body["tools"] = [{"name": name, "input_schema": SCHEMA} for name in NAMES]
    return body


def _message(given: Any) -> Any:
    return {"role": "user", "content": given} if isinstance(given, str) else given
