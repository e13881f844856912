"""A service with OpenAI's API, in a script: what it answers depends on the path and on the model that it is asked for.

It keeps its requests. A path may have any prefix.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.e2e.http_server import Handler, Server

VECTOR = (0.5, -0.25, 1.0)
FILE = b'{"custom_id":"\xc3\xa9"}\n'
PICTURE = base64.b64encode(b"\x89PNG picture").decode()
DEADLINE = 20.0
"""Seconds after which a stream that nobody ends, ends."""


class Asked(NamedTuple):
    """A request as it arrived."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition("?")[0]

    def all(self, name: str) -> list[str]:
        """The values of all fields of a name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def model(self) -> str:
        """The model in the body, JSON or a form."""
        if self.body.startswith(b"--"):
            found = re.search(rb'name="model"\r\n\r\n([^\r]*)\r\n', self.body)
            return found[1].decode() if found else ""
        model = json.loads(self.body).get("model", "") if self.body.startswith(b"{") else ""
        assert isinstance(model, str)
        return model


class Scripted:
    """The service, on a free port of 127.0.0.1. `gave_up` is set when a client has left the endless stream."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.gave_up = threading.Event()
        self.refused: set[str] = set()
        service = self

        class OpenAI(Handler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                """Keep the request, and answer it."""
                asked = Asked(self.command, self.path, list(self.headers.items()), self.read_body())
                service.asked.append(asked)
                service.answer(self, asked)

            do_GET = do_POST = do_DELETE = answer

        self._server = Server(("127.0.0.1", 0), OpenAI)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.gave_up.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)

    def answer(self, handler: Handler, asked: Asked) -> None:
        """One answer, or a stream of events."""
        name = asked.model.rpartition("/")[2]
        if name.startswith("fail-"):
            status = int(name.removeprefix("fail-"))
            error = {"message": f"no {name}", "type": "t", "param": "model", "code": f"code-{status}"}
            return _send(handler, status, {"error": error}, {"x-request-id": "req-1"})
        if name.startswith("flaky") and asked.target not in self.refused:
            self.refused.add(asked.target)
            return _send(handler, 429, {"error": {"message": "later", "code": 429}}, {"retry-after-ms": "1"})
        if name == "slow":
            self.gave_up.wait(2)
        document = json.loads(asked.body) if asked.body.startswith(b"{") else {}
        if document.get("stream"):
            events = _response_events(asked) if asked.path.endswith("/responses") else _chunks(asked, document)
            return self._stream(handler, events, is_endless=name == "endless")
        return _send(handler, 200, _answer(asked, document), {"x-ratelimit-remaining-tokens": "7"})

    def _stream(self, handler: Handler, events: Iterator[bytes], *, is_endless: bool) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        until = time.monotonic() + DEADLINE
        try:
            for event in events:
                handler.wfile.write(event)
                handler.wfile.flush()
                while is_endless and event.startswith(b"data") and time.monotonic() < until:
                    handler.wfile.write(event)
                    handler.wfile.flush()
                    if self.gave_up.wait(0.005):
                        return
        except ConnectionError:
            self.gave_up.set()


def _send(handler: Handler, status: int, answer: Any, fields: dict[str, str]) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **fields}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _answer(asked: Asked, document: dict[str, Any]) -> Any:
    """The answer to a request that asks for no stream."""
    path = asked.path
    if path.endswith("/chat/completions"):
        return _completion(asked, document)
    if path.endswith("/responses"):
        return _response(asked, "completed")
    if path.endswith("/embeddings"):
        packed = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
        vector = packed if document.get("encoding_format") == "base64" else list(VECTOR)
        item = {"object": "embedding", "index": 0, "embedding": vector}
        return {
            "object": "list",
            "model": asked.model,
            "data": [item],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
    if path.endswith("/images/generations"):
        return {"created": 1, "data": [{"b64_json": PICTURE}]}
    if path.endswith("/audio/transcriptions"):
        return {"text": f"said to {asked.model}"}
    if "/batches" in path:
        status = "cancelling" if path.endswith("/cancel") else "validating"
        batch = {"id": "batch-1", "object": "batch", "status": status, "endpoint": "/v1/chat/completions"}
        is_list = path.endswith("/batches") and asked.method == "GET"
        return {"object": "list", "data": [batch], "has_more": False} if is_list else batch
    if path.endswith("/content"):
        return FILE
    if asked.method == "DELETE":
        return {"id": "file-1", "object": "file", "deleted": True}
    file = {"id": "file-1", "object": "file", "bytes": len(FILE), "filename": "a.jsonl", "purpose": "batch"}
    if path.endswith("/files") and asked.method == "GET":
        return {"object": "list", "data": [file], "has_more": False}
    if path.endswith("/models"):
        return {"object": "list", "data": [{"id": "m-1", "object": "model", "created": 1, "owned_by": "o"}]}
    return (
        file if "/files" in path else {"id": path.rpartition("/")[2], "object": "model", "created": 1, "owned_by": "o"}
    )


def _completion(asked: Asked, document: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": f"hello from {asked.model}", "refusal": None}
    if "tools" in document:
        call = {"name": "weather", "arguments": '{"city": "Z\\u00fcrich"}'}
        message |= {"content": None, "tool_calls": [{"id": "call-1", "type": "function", "function": call}]}
    elif "response_format" in document:
        message["content"] = '{"name": "Ann", "age": 7}'
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tools" in document else "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    head = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": asked.model}
    return {**head, "choices": [choice], "usage": usage, "x_unknown": {"kept": 1.0}}


def _chunks(asked: Asked, document: dict[str, Any]) -> Iterator[bytes]:
    """Chunks of a chat, behind a comment; the last one has the counts of tokens, if they were asked for."""
    head = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": asked.model}
    yield b": PROCESSING\n\n"
    for word in ("hel", "lo ", "é"):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield _event({**head, "choices": [choice]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if document.get("stream_options", {}).get("include_usage"):
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        yield _event({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _response(asked: Asked, status: str) -> dict[str, Any]:
    text = {"type": "output_text", "text": f"hello from {asked.model}", "annotations": []}
    message = {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": [text]}
    head = {"id": "resp-1", "object": "response", "created_at": 1, "model": asked.model, "status": status}
    return {**head, "output": [message] if status == "completed" else [], "tools": [], "tool_choice": "auto"}


def _response_events(asked: Asked) -> Iterator[bytes]:
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0}
    delta = {"type": "response.output_text.delta", **place, "delta": "hello", "logprobs": []}
    documents: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(asked, "in_progress")},
        delta,
        {"type": "response.completed", "response": _response(asked, "completed")},
    ]
    for number, document in enumerate(documents):
        yield f"event: {document['type']}\n".encode() + _event({**document, "sequence_number": number})


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
