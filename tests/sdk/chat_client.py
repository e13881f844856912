"""Chats with the SDKs of OpenAI and Anthropic: {sdk, base_url, model}, in a process of tests/sdk/process.py.

The answer is an object: what came of each kind of chat. Both SDKs have the same kinds, and say the same of them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

anthropic: Any = importlib.import_module("anthropic")
openai: Any = importlib.import_module("openai")
pydantic: Any = importlib.import_module("pydantic")

SAY = [{"role": "user", "content": "hi é"}]
PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STATUSES = (400, 401, 403, 404, 429, 500)


class Person(pydantic.BaseModel):  # type: ignore[misc]
    """What an answer is parsed as."""

    name: str
    age: int


class OpenAI:
    """The kinds with OpenAI's SDK."""

    def __init__(self, url: str, model: str) -> None:
        self.model = model
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-of-the-client", max_retries=0, timeout=20)
        self.chat = self.client.chat.completions
        self.errors = openai

    def create(self) -> list[Any]:
        found = self.chat.create(model=self.model, messages=SAY, max_completion_tokens=100)
        usage = found.usage
        return [found.choices[0].message.content, usage.prompt_tokens, usage.completion_tokens, found.model]

    def stream(self) -> list[Any]:
        options = {"include_usage": True}
        with self.chat.stream(model=self.model, messages=SAY, stream_options=options) as events:
            deltas = [event.delta for event in events if event.type == "content.delta"]
            found = events.get_final_completion()
        usage = found.usage
        assert "".join(deltas) == found.choices[0].message.content
        return [found.choices[0].message.content, usage.prompt_tokens, usage.completion_tokens, found.model]

    def _tools(self, ask: Callable[[list[Any]], Any]) -> list[Any]:
        messages: list[Any] = [*SAY]
        said = ask(messages)
        calls = said.tool_calls
        answer = {"role": "assistant", "content": said.content, "tool_calls": [call.model_dump() for call in calls]}
        messages.append(answer)
        arguments = [json.loads(call.function.arguments)["city"] for call in calls]
        for call, city in zip(calls, arguments, strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sunny in {city}"})
        return [said.content, arguments, ask(messages).content]

    def _tool_options(self) -> dict[str, Any]:
        tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        return {"model": self.model, "tools": [tool], "max_completion_tokens": 4000}

    def tools(self) -> list[Any]:
        return self._tools(lambda said: self.chat.create(messages=said, **self._tool_options()).choices[0].message)

    def stream_tools(self) -> list[Any]:
        def ask(messages: list[Any]) -> Any:
            with self.chat.stream(messages=messages, **self._tool_options()) as events:
                return events.get_final_completion().choices[0].message

        return self._tools(ask)

    def thinking_tools(self) -> list[Any]:
        options = {**self._tool_options(), "reasoning_effort": "low"}
        return self._tools(lambda said: self.chat.create(messages=said, **options).choices[0].message)

    def thinking(self) -> list[Any]:
        found = self.chat.create(model=self.model, messages=SAY, reasoning_effort="low", max_completion_tokens=4000)
        return [found.choices[0].message.reasoning_content, found.choices[0].message.content]

    def parse(self) -> list[Any]:
        person = self.chat.parse(model=self.model, messages=SAY, response_format=Person).choices[0].message.parsed
        return [person.name, person.age]

    def picture(self) -> str:
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        found = self.chat.create(model=self.model, messages=[{"role": "user", "content": [part]}])
        return str(found.choices[0].message.content)

    def failure(self, status: int) -> None:
        self.chat.create(model=f"fail-{status}", messages=SAY)

    def cancelled(self) -> int:
        with self.chat.create(model="endless", messages=SAY, stream=True) as events:
            for number, _ in enumerate(events):
                if number == 3:
                    break
        return 3


class Anthropic:
    """The kinds with Anthropic's SDK."""

    def __init__(self, url: str, model: str) -> None:
        self.model = model
        self.client = anthropic.Anthropic(base_url=url, api_key="sk-of-the-client", max_retries=0, timeout=20)
        self.messages = self.client.messages
        self.errors = anthropic

    def create(self) -> list[Any]:
        found = self.messages.create(model=self.model, messages=SAY, max_tokens=100)
        return [found.content[0].text, found.usage.input_tokens, found.usage.output_tokens, found.model]

    def stream(self) -> list[Any]:
        with self.messages.stream(model=self.model, messages=SAY, max_tokens=100) as events:
            text = "".join(events.text_stream)
            found = events.get_final_message()
        assert text == found.content[0].text
        return [text, found.usage.input_tokens, found.usage.output_tokens, found.model]

    def _tools(self, ask: Callable[[list[Any]], Any]) -> list[Any]:
        messages: list[Any] = [*SAY]
        said = ask(messages)
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]}
        )
        calls = [block for block in said.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"sunny in {call.input['city']}"}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
        return [_text(said), [call.input["city"] for call in calls], _text(ask(messages))]

    def _tool_options(self) -> dict[str, Any]:
        return {"model": self.model, "tools": [{"name": "weather", "input_schema": SCHEMA}], "max_tokens": 4000}

    def tools(self) -> list[Any]:
        return self._tools(lambda said: self.messages.create(messages=said, **self._tool_options()))

    def stream_tools(self) -> list[Any]:
        def ask(messages: list[Any]) -> Any:
            with self.messages.stream(messages=messages, **self._tool_options()) as events:
                return events.get_final_message()

        return self._tools(ask)

    def thinking_tools(self) -> list[Any]:
        options = {**self._tool_options(), "thinking": {"type": "enabled", "budget_tokens": 1024}}
        return self._tools(lambda said: self.messages.create(messages=said, **options))

    def thinking(self) -> list[Any]:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        found = self.messages.create(model=self.model, messages=SAY, max_tokens=4000, thinking=thinking)
        return [found.content[0].thinking, found.content[1].text]

    def parse(self) -> list[Any]:
        found = self.messages.parse(model=self.model, messages=SAY, max_tokens=100, output_format=Person)
        return [found.parsed_output.name, found.parsed_output.age]

    def picture(self) -> str:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        said = [{"role": "user", "content": [{"type": "image", "source": source}]}]
        return str(self.messages.create(model=self.model, messages=said, max_tokens=100).content[0].text)

    def count(self) -> bool:
        return bool(self.messages.count_tokens(model=self.model, messages=SAY).input_tokens > 0)

    def failure(self, status: int) -> None:
        self.messages.create(model=f"fail-{status}", messages=SAY, max_tokens=100)

    def cancelled(self) -> int:
        with self.messages.create(model="endless", messages=SAY, max_tokens=100, stream=True) as events:
            for number, _ in enumerate(events):
                if number == 3:
                    break
        return 3


def _text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def outcome(kind: Callable[[], Any]) -> Any:
    """What came of one kind, or what it raised."""
    try:
        return kind()
    except Exception as error:
        return {"error": repr(error)}


def failed(sdk: Any, status: int) -> list[Any]:
    """The class and the message of the exception for a status."""
    try:
        sdk.failure(status)
    except sdk.errors.APIStatusError as error:
        return [type(error).__name__, error.status_code, f"fails with {status}" in error.message]
    return []


KINDS = "create stream tools stream_tools thinking_tools thinking parse picture cancelled".split()


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What came of each kind."""
    sdk: Any = {"openai": OpenAI, "anthropic": Anthropic}[question["sdk"]](question["base_url"], question["model"])
    found = {name: outcome(getattr(sdk, name)) for name in KINDS}
    found["errors"] = [failed(sdk, status) for status in STATUSES]
    if isinstance(sdk, Anthropic):
        found["count"] = outcome(sdk.count)
    sdk.client.close()
    return found
