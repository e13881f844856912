"""Holds chat requests and answers against the types and the clients of vendors' SDKs: {question, value}.

In a process of tests/sdk/process.py.
"""

from __future__ import annotations

import base64
import collections.abc
import functools
import importlib
import threading
import types
import typing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

anthropic: Any = importlib.import_module("anthropic")
anthropic_types: Any = importlib.import_module("anthropic.types")
message_create_params: Any = importlib.import_module("anthropic.types.message_create_params")
openai: Any = importlib.import_module("openai")
openai_types: Any = importlib.import_module("openai.types.chat")
completion_create_params: Any = importlib.import_module("openai.types.chat.completion_create_params")
pydantic: Any = importlib.import_module("pydantic")
typing_extensions: Any = importlib.import_module("typing_extensions")


def problem(hint: Any, value: Any, path: str) -> str:
    """Why a value is not of a type, "" if it is. Members that a TypedDict does not have are a problem too."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return ""
    if origin in (typing.Annotated, typing_extensions.Required, typing_extensions.NotRequired):
        return problem(arguments[0], value, path)
    if origin in (typing.Union, types.UnionType):
        found = [problem(inner, value, path) for inner in arguments]
        # The branch that got furthest says most.
        return "" if "" in found else max(found, key=lambda text: text.partition(":")[0].count(".") * 1000 + len(text))
    if origin in (typing.Literal, typing_extensions.Literal):
        return "" if value in arguments else f"{path}: {value!r} is not one of {arguments}"
    if typing_extensions.is_typeddict(hint):
        return _members(hint, value, path)
    if origin in (dict, collections.abc.Mapping):
        return "" if isinstance(value, dict) else f"{path}: no object"
    if origin is not None and (issubclass(origin, collections.abc.Iterable) or "Sequence" in str(origin)):
        if not isinstance(value, list):
            return f"{path}: no list"
        return next((why for i, item in enumerate(value) if (why := problem(arguments[0], item, f"{path}.{i}"))), "")
    if hint is type(None):
        return "" if value is None else f"{path}: not null"
    if hint is float:
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else f"{path}: no number"
    if hint in (str, int, bool):
        return "" if type(value) is hint else f"{path}: no {hint.__name__}"
    return f"{path}: cannot be a {hint}"


def _members(hint: Any, value: Any, path: str) -> str:
    if not isinstance(value, dict):
        return f"{path}: no object"
    hints = _hints(hint)
    for name, inner in hints.items():
        if name in value:
            if why := problem(inner, value[name], f"{path}.{name}"):
                return why
        elif typing.get_origin(inner) is typing_extensions.Required:
            return f"{path}.{name}: missing"
    extra = value.keys() - hints.keys()
    if extra and getattr(hint, "__extra_items__", None) in (None, typing_extensions.NoExtraItems):
        return f"{path}: unknown {sorted(extra)}"
    return ""


# The same types are asked about again and again: to read what they are costs more than to compare.
_adapter = functools.cache(pydantic.TypeAdapter)
_hints = functools.cache(functools.partial(typing_extensions.get_type_hints, include_extras=True))


def _valid(model: Any, value: Any) -> str:
    try:
        _adapter(model).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        return str(error)
    return ""


def openai_request(value: Any) -> str:
    kind = "Streaming" if value.get("stream") else "NonStreaming"
    return problem(getattr(completion_create_params, f"CompletionCreateParams{kind}"), value, "")


def anthropic_request(value: Any) -> str:
    kind = "Streaming" if value.get("stream") else "NonStreaming"
    return problem(getattr(message_create_params, f"MessageCreateParams{kind}"), value, "")


def openai_answer(value: Any) -> str:
    return _valid(openai_types.ChatCompletion, value)


def openai_chunks(value: Any) -> str:
    return "".join(_valid(openai_types.ChatCompletionChunk, chunk) for chunk in value)


def anthropic_answer(value: Any) -> str:
    return _valid(anthropic_types.Message, value)


def anthropic_events(value: Any) -> str:
    return "".join(_valid(anthropic_types.RawMessageStreamEvent, event) for event in value)


def client(value: Any) -> Any:
    """What an SDK's client makes of an answer: {"class": exception} or {"result": the final message}."""
    sent = base64.b64decode(value["body"])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(value["status"])
            self.send_header("content-type", value["type"])
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        return {"result": _CALLS[value["dialect"], value["stream"]](f"http://127.0.0.1:{server.server_port}")}
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        return {"class": type(error).__name__, "message": str(error)}
    finally:
        server.shutdown()
        server.server_close()


_HELLO: Any = [{"role": "user", "content": "hello"}]


def _openai(url: str) -> Any:
    with openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as sdk:
        return sdk.chat.completions.create(model="m", messages=_HELLO).model_dump()


def _openai_stream(url: str) -> Any:
    with (
        openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as sdk,
        sdk.chat.completions.stream(model="m", messages=_HELLO) as stream,
    ):
        return stream.get_final_completion().model_dump()


def _anthropic(url: str) -> Any:
    with anthropic.Anthropic(api_key="none", base_url=url, max_retries=0) as sdk:
        return sdk.messages.create(model="m", max_tokens=9, messages=_HELLO).model_dump()


def _anthropic_stream(url: str) -> Any:
    with (
        anthropic.Anthropic(api_key="none", base_url=url, max_retries=0) as sdk,
        sdk.messages.stream(model="m", max_tokens=9, messages=_HELLO) as stream,
    ):
        return stream.get_final_message().model_dump()


_CALLS = {
    ("openai", False): _openai,
    ("openai", True): _openai_stream,
    ("anthropic", False): _anthropic,
    ("anthropic", True): _anthropic_stream,
}
_QUESTIONS = {
    function.__name__: function
    for function in (
        openai_request,
        anthropic_request,
        openai_answer,
        openai_chunks,
        anthropic_answer,
        anthropic_events,
        client,
    )
}


def answer(asked: dict[str, Any]) -> Any:
    """What a question has to say of a value."""
    return _QUESTIONS[asked["question"]](asked["value"])
