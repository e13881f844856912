"""What it costs to translate chats: a long request, and streams through mitmdump, beside streams that pass as they are.

Each function returns the figures of several runs.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cpu
import servers
from mitm_ai_proxy.chat import translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE, OPENAI_CHAT
from servers import Addon, BenchError, Proxy, Upstream

HERE: Final = Path(__file__).resolve().parent
THIS: Final = Addon("addon", HERE.parent.parent)
CONFIG: Final = "provider: {{type: groq, apiTokens: [sk-bench], baseUrl: '{origin}/v1'}}"
RUNS: Final = 21
ROUNDS: Final = 8
EVENTS: Final = 400
APART: Final = 1000
"""Microseconds between two events of a stream, as a vendor sends them."""
MANY: Final = 100_000
SETTLED: Final = 20_000
"""Events after which the memory of a process grows no more for other reasons."""
SIZE: Final = 1_000_000
PATHS: Final = {ANTHROPIC: "/v1/messages", OPENAI: "/v1/chat/completions"}
_TIME = re.compile(rb'"(?:text|content)": ?"([0-9]+)"')


def body() -> list[float]:
    """Milliseconds of CPU to translate requests of 1 MB of either dialect: an agent's conversation."""
    requests = ((ANTHROPIC, _messages(), OPENAI_CHAT), (OPENAI, _chat(), CLAUDE))
    results = []
    for client, request, target in requests:
        translate.rewrite(request, client, target, 0, "bench")
        for _ in range(RUNS):
            before = time.process_time()
            translate.rewrite(request, client, target, 0, "bench")
            results.append((time.process_time() - before) * 1e3)
    return results


def first_event() -> list[float]:
    """Milliseconds from when the provider sends the first event until the client has it translated."""
    with _proxy() as proxy:
        return [_first(proxy) for _ in range(1 + RUNS)][1:]


def _first(proxy: Proxy) -> float:
    lines = _stream(proxy, ANTHROPIC, 3, 0)
    late = next((time.monotonic_ns() - int(found[1])) / 1e6 for line in lines if (found := _TIME.search(line)))
    for _ in lines:
        pass
    return late


def events() -> list[float]:
    """How many times the CPU time of events that pass as they are is that of translated ones, in the same round."""
    with _proxy() as proxy:
        return [_cost(proxy, ANTHROPIC) / _cost(proxy, OPENAI) for _ in range(1 + ROUNDS)][1:]


def _cost(proxy: Proxy, client: str) -> float:
    before = cpu.seconds(proxy.pid)
    _counted(_stream(proxy, client, EVENTS, APART), EVENTS)
    return cpu.seconds(proxy.pid) - before


def memory() -> list[float]:
    """Megabytes by which mitmdump grows while it translates a long stream."""
    with _proxy() as proxy:
        lines = _stream(proxy, ANTHROPIC, MANY, 0)
        _counted(lines, SETTLED, is_all=False)
        before = cpu.resident(proxy.pid)
        _counted(lines, MANY - SETTLED)
        return [cpu.resident(proxy.pid) - before]


def _counted(lines: Iterator[bytes], expected: int, *, is_all: bool = True) -> None:
    """Read as many events with text; or all, of which there have to be so many."""
    count = 0
    for line in lines:
        count += _TIME.search(line) is not None
        if count == expected and not is_all:
            return
    if count != expected:
        raise BenchError(f"{count} events arrived, not {expected}")


def _stream(proxy: Proxy, client: str, count: int, apart: int) -> Iterator[bytes]:
    """The lines of a streamed answer."""
    document = {"model": f"events-{count}-{apart}", "max_tokens": 9, "stream": True}
    document["messages"] = [{"role": "user", "content": "go"}]
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=120)
    try:
        connection.request("POST", PATHS[client], json.dumps(document), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise BenchError(f"a stream was answered with {response.status}: {response.read(2000)!r}")
        yield from response
    finally:
        connection.close()


@contextmanager
def _proxy() -> Iterator[Proxy]:
    """mitmdump with this addon, and a provider that streams behind it."""
    if not cpu.supported():
        raise BenchError("the CPU time and the memory of a process are read from Linux's /proc, which is not here")
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        (port,) = servers.free_ports(1)
        source = [sys.executable, str(HERE / "event_source.py"), str(port)]
        with (
            servers.running("provider", source, port, folder),
            servers.mitmdump(folder, Upstream(port), THIS, CONFIG) as proxy,
        ):
            yield proxy


def _steps() -> Iterator[tuple[str, dict[str, Any], str]]:
    """The calls of an agent, and their results, of which two are as long as a screen."""
    for index in range(SIZE // 1790):
        yield f"{index}", {"path": f"src/file_{index}.py", "line": index, "text": "é x" * 20}, f"result {index}\n" * 100


def _messages() -> bytes:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for id, arguments, result in _steps():
        call = {"type": "tool_use", "id": f"toolu_{id}", "name": "read", "input": arguments}
        answer = {"type": "tool_result", "tool_use_id": f"toolu_{id}", "content": [{"type": "text", "text": result}]}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": f"I look at {id}"}, call]})
        messages.append({"role": "user", "content": [answer, {"type": "text", "text": f"step {id}" * 10}]})
    return json.dumps({"model": "m", "max_tokens": 1000, "messages": messages}).encode()


def _chat() -> bytes:
    messages: list[dict[str, Any]] = []
    for id, arguments, result in _steps():
        function = {"name": "read", "arguments": json.dumps(arguments)}
        call = {"id": f"call_{id}", "type": "function", "function": function}
        messages.append({"role": "user", "content": f"step {id}" * 10})
        messages.append({"role": "assistant", "content": f"I look at {id}", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{id}", "content": result})
    return json.dumps({"model": "claude-sonnet-5", "messages": messages}).encode()
