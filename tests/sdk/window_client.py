"""The traffic that mitmproxy's windows are looked at with: {port, key, text}, in a process of tests/sdk/process.py."""

from __future__ import annotations

import base64
import importlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

anthropic: Any = importlib.import_module("anthropic")
openai: Any = importlib.import_module("openai")

TOOLS: list[Any] = [
    {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
]
SESSION = {"X-Claude-Code-Session-Id": "3f2a1b2c-1111-2222-3333-444455556666"}


def _picture(width: int, height: int) -> str:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes((3 * width + 1) * height)))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")).decode()


def video(client: Any) -> None:
    """A job from its create to its file."""
    made = client.videos.create(model="sora-2", prompt="A cat on a skateboard", seconds="4", size="1280x720")
    done = client.videos.poll(made.id, poll_interval_ms=800)
    client.videos.download_content(done.id).read()


def chat(client: Any, text: str) -> None:
    """A whole answer."""
    system: Any = {"role": "system", "content": "Be brief."}
    client.chat.completions.create(model="gpt-4.1", messages=[system, {"role": "user", "content": text}])


def agent(client: Any) -> None:
    """A stream with thinking and a call of a tool, and a second one with its result."""
    picture = {"type": "base64", "media_type": "image/png", "data": _picture(640, 480)}
    question = 'What is the weather there? get_weather({"city": "Paris"})'
    said: list[Any] = [
        {"role": "user", "content": [{"type": "image", "source": picture}, {"type": "text", "text": question}]}
    ]
    for _ in range(2):
        with client.messages.stream(
            model="claude-sonnet-4-5",
            max_tokens=4000,
            system="You are a coding agent.\nAnswer in one sentence.",
            messages=said,
            tools=TOOLS,
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream:
            answer = stream.get_final_message()
        said.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"} for call in calls]
        said.append({"role": "user", "content": results})


def hostile(client: Any, text: str) -> None:
    """A chat that is translated, and whose text is not meant for a window."""
    said: Any = [{"role": "user", "content": text}]
    client.messages.create(model="claude-haiku-4-5", max_tokens=60, messages=said)


def _refused(send: Callable[[], object]) -> None:
    try:
        send()
    except openai.APIStatusError:
        return
    raise AssertionError("this is not refused")


def answer(question: dict[str, Any]) -> None:
    """Send it all, one after another."""
    proxy, options = f"http://127.0.0.1:{question['port']}", {"api_key": question["key"], "max_retries": 0}
    with (
        openai.OpenAI(base_url=f"{proxy}/v1", **options) as gpt,
        anthropic.Anthropic(base_url=proxy, default_headers=SESSION, **options) as claude,
    ):
        video(gpt)
        chat(gpt, "What is the capital of France?")
        agent(claude)
        _refused(lambda: gpt.videos.create(model="sora-2", prompt="A cat", seconds="99"))
        _refused(lambda: chat(gpt, "say no [simulate:429]"))
        chat(gpt, "say it again [simulate:503*1]")
        hostile(claude, question["text"])
