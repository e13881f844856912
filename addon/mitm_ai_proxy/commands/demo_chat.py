"""The command `ai-proxy demo chat`: a client of one dialect talks to a model of the other, and both sides are shown.

The model is the simulator's. The client is the anthropic SDK where that is installed, else plain HTTP.
"""

from __future__ import annotations

import importlib
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TextIO

from ..simulator.app import Simulator
from ..simulator.settings import SimulatorSettings
from ..view.columns import Page
from ..view.messages import Message
from .demo_proxy import DemoProxy, Failure

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Body = dict[str, Any]

_HELLO: Final = "Hello there!"
_QUESTION: Final = "get_weather city=Paris?"
_WEATHER: Final = "18 degrees, light rain"
_LEFT_OUT: Final = frozenset({"object", "created", "index", "total_tokens"})
"""Members of answers that are not shown."""
_SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_MODEL: Final = "claude-sonnet-4-5"


class Dialect(NamedTuple):
    """A dialect of clients.

    path, fields: of its requests. vendor: whose API it is. hello: members that each request has. tool: a tool that it
    offers. calls: those in an answer. result: the messages that carry an answer with a call, and the result.
    said: the text in an answer. provider: the configuration of a provider of the other dialect.
    """

    vendor: str
    path: str
    fields: Mapping[str, str]
    hello: Body
    tool: Body
    calls: Callable[[Body], Sequence[Body]]
    result: Callable[[Body, Body], list[Body]]
    said: Callable[[Body], str]
    provider: Body


def _anthropic_calls(answer: Body) -> list[Body]:
    return [block for block in answer["content"] if block["type"] == "tool_use"]


def _anthropic_result(answer: Body, call: Body) -> list[Body]:
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": _WEATHER}
    return [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]


def _anthropic_said(answer: Body) -> str:
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def _openai_calls(answer: Body) -> list[Body]:
    return list(answer["choices"][0]["message"].get("tool_calls") or ())


def _openai_result(answer: Body, call: Body) -> list[Body]:
    message = {name: answer["choices"][0]["message"][name] for name in ("role", "content", "tool_calls")}
    return [message, {"role": "tool", "tool_call_id": call["id"], "content": _WEATHER}]


def _openai_said(answer: Body) -> str:
    return str(answer["choices"][0]["message"]["content"])


DIALECTS: Final[Mapping[str, Dialect]] = {
    "anthropic": Dialect(
        "Anthropic",
        "/v1/messages",
        {"x-api-key": "sk-any-text", "anthropic-version": "2023-06-01"},
        {"model": _MODEL, "max_tokens": 500},
        {"name": "get_weather", "input_schema": _SCHEMA},
        _anthropic_calls,
        _anthropic_result,
        _anthropic_said,
        {"type": "openai", "modelMapping": {"claude-*": "gpt-5"}},
    ),
    "openai": Dialect(
        "OpenAI",
        "/v1/chat/completions",
        {"Authorization": "Bearer sk-any-text"},
        {"model": "gpt-5"},
        {"type": "function", "function": {"name": "get_weather", "parameters": _SCHEMA}},
        _openai_calls,
        _openai_result,
        _openai_said,
        {"type": "claude", "modelMapping": {"gpt-*": _MODEL}},
    ),
}


def run(out: TextIO, client: str = "anthropic") -> int:
    """Show the conversation of a client; returns the exit status, 1 if something went wrong."""
    page, began = Page(out), time.monotonic()
    dialect = DIALECTS[client]
    model = _Model(SimulatorSettings(speed=float("inf")))
    other = next(one for one in DIALECTS.values() if one is not dialect)
    try:
        named = f"{dialect.vendor}'s chat API in front of a model that speaks {other.vendor}'s"
        page.line(f"{page.style('title', 'ai-proxy demo chat')}  {named}")
        page.line(page.style("faint", "no account, no network: a simulated model on this machine, and nothing is paid"))
        with DemoProxy({"provider": dialect.provider}, model) as proxy:
            asks = _sdk(proxy) if client == "anthropic" else None
            sender = asks or _Plain(proxy, dialect)
            told = f"the client is {sender.name}; of answers, ids, null members and details of counts are not shown"
            page.line(page.style("faint", told))
            _Show(page, proxy, dialect, model, sender).play()
        page.title(f"Done in {time.monotonic() - began:.1f} s")
        page.line("  try it with your own client: type: openai in config.yaml, and --set ai_simulate=true")
        return 0
    except Failure as failure:
        page.bad(str(failure))
    except BrokenPipeError:
        pass  # the reader of the output is gone
    except KeyboardInterrupt:
        page.bad("The demo was stopped.")
    return 1


class _Model(Simulator):
    """The simulated model, which remembers the last request and its answer."""

    asked = Message("", "", {})
    answered = b""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {key[5:].replace("_", "-").lower(): text for key, text in environ.items() if key.startswith("HTTP_")}
        self.asked = Message(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body)
        answer = b"".join(super().__call__({**environ, "wsgi.input": io.BytesIO(body)}, start_response))
        self.answered = answer
        return [answer]


class _Client(Protocol):
    """A client of a dialect: what it is called, and how it asks for a whole answer and for the events of a stream."""

    name: str

    def whole(self, body: Body) -> Body:
        """The answer to a request. Raises Failure."""

    def stream(self, body: Body) -> list[Body]:
        """The events of the answer. Raises Failure."""


class _Plain:
    """A client that sends plain HTTP."""

    name = "plain HTTP"

    def __init__(self, proxy: DemoProxy, dialect: Dialect) -> None:
        self._proxy, self._dialect = proxy, dialect

    def whole(self, body: Body) -> Body:
        found = json.loads(self._send(body))
        assert isinstance(found, dict)
        return found

    def stream(self, body: Body) -> list[Body]:
        return events(self._send({**body, "stream": True}))

    def _send(self, body: Body) -> bytes:
        head = {"Content-Type": "application/json", **self._dialect.fields}
        return self._proxy.send("POST", self._dialect.path, json.dumps(body).encode(), head).body


class _Sdk:
    """A client that is the anthropic SDK; `sdk` is its module."""

    def __init__(self, sdk: Any, origin: str) -> None:
        self.name = f"the anthropic SDK {sdk.__version__}"
        self._sdk = sdk
        self._messages = sdk.Anthropic(base_url=origin, api_key="sk-any-text", max_retries=0).messages

    def whole(self, body: Body) -> Body:
        found = self._asked(lambda: self._messages.create(**body).to_dict())
        assert isinstance(found, dict)
        return found

    def stream(self, body: Body) -> list[Body]:
        found = self._asked(lambda: [event.to_dict() for event in self._messages.create(**body, stream=True)])
        assert isinstance(found, list)
        return found

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._sdk.APIError as error:
            raise Failure(f"The SDK raised {type(error).__name__}: {error}") from None


def _sdk(proxy: DemoProxy) -> _Client | None:
    """The SDK as a client; None if it is not installed."""
    try:
        sdk = importlib.import_module("anthropic")
    except ImportError:
        return None
    return _Sdk(sdk, proxy.origin)


class _Show:
    """The steps of the demo, and what they print."""

    def __init__(self, page: Page, proxy: DemoProxy, dialect: Dialect, model: _Model, client: _Client) -> None:
        self._page, self._proxy, self._dialect, self._model, self._client = page, proxy, dialect, model, client

    def play(self) -> None:
        """Run all steps. Raises Failure."""
        page, dialect = self._page, self._dialect
        body = {**dialect.hello, "messages": [{"role": "user", "content": _HELLO}]}
        page.title("1  A question, and a whole answer")
        page.heads("your application sends", "what goes to the model")
        self._whole(body, _HELLO)
        page.title("2  The same as a stream")
        self._stream(body)
        page.title("3  A tool is called")
        asking: Body = {**dialect.hello, "messages": [{"role": "user", "content": _QUESTION}], "tools": [dialect.tool]}
        answer = self._whole(asking)
        calls = dialect.calls(answer)
        if len(calls) != 1:
            raise Failure("The model did not call the tool.")
        page.title("4  Its result goes back")
        messages = [*asking["messages"], *dialect.result(answer, calls[0])]
        self._whole({**asking, "messages": messages}, f"get_weather says: {_WEATHER}")

    def _whole(self, body: Body, expected: str = "") -> Body:
        answer = self._client.whole(body)
        self._requests()
        self._answers([answer], [json.loads(self._model.answered)])
        if expected and self._dialect.said(answer) != expected:
            raise Failure("The answer is not the model's.")
        return answer

    def _stream(self, body: Body) -> None:
        found = self._client.stream(body)
        self._requests()
        self._answers(found, events(self._model.answered))

    def _requests(self) -> None:
        exchange, page = self._proxy.exchanges[-1], self._page
        wide, narrow = page.columns
        before, after = exchange.before, self._model.asked
        page.beside(
            [f"{before.method} {before.path}", *folded(json.loads(before.body), wide)],
            [f"{after.method} {after.path}", *folded(json.loads(after.body), narrow)],
        )
        page.reasons(exchange.notes)

    def _answers(self, left: Sequence[Body], right: Sequence[Body]) -> None:
        page = self._page
        wide, narrow = page.columns
        page.line()
        page.heads("your application gets", "what the model answers")
        page.beside(
            [line for one in left for line in folded(shown(one), wide)],
            [line for one in right for line in folded(shown(one), narrow)],
        )


def events(stream: bytes) -> list[Body]:
    """The documents in a stream of server-sent events, each event being one line of data; without OpenAI's [DONE]."""
    lines = [line.removeprefix("data: ") for line in stream.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def shown(answer: Body) -> Body:
    """What is worth showing of an answer or an event: without ids of answers, null members and details of counts."""
    inner = answer["choices"][0] if answer.get("choices") else {}
    told = {name: value for name, value in {**answer, **inner}.items() if name not in ("id", "choices")}
    pruned = _pruned(told)
    assert isinstance(pruned, dict)
    return pruned


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _pruned(item)
            for name, item in value.items()
            if item is not None and name not in _LEFT_OUT and not name.endswith(("_details", "_input_tokens"))
        }
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def folded(value: Any, width: int, indent: int = 0, name: str = "", end: str = "") -> list[str]:
    """A JSON value as lines of at most `width` characters where that is possible; what fits is one line."""
    lead = " " * indent + (f"{json.dumps(name)}: " if name else "")
    text = json.dumps(value, ensure_ascii=False)
    if len(lead) + len(text) + len(end) <= width or not isinstance(value, dict | list) or not value:
        return [f"{lead}{text}{end}"]
    pairs = list(value.items()) if isinstance(value, dict) else [("", item) for item in value]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    lines = [f"{lead}{opening}"]
    for number, (key, item) in enumerate(pairs):
        lines += folded(item, width, indent + 2, key, "," if number < len(pairs) - 1 else "")
    return [*lines, f"{' ' * indent}{closing}{end}"]
