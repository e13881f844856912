"""Questions to the SDKs of Cohere, Tencent and DashScope, in a process of tests/sdk/process.py."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


def cohere_request(question: dict[str, Any]) -> list[str]:
    """Members of a request that Cohere's SDK does not know."""
    client: Any = importlib.import_module("cohere.v2.client").V2Client
    types: Any = importlib.import_module("cohere.types")
    known = {*inspect.signature(client.chat_stream).parameters, "stream"}
    wrong = [name for name in question if name not in known]
    names = {"system": "SystemMessageV2", "user": "UserMessageV2", "tool": "ToolMessageV2"}
    for message in question["messages"]:
        kind = getattr(types, names.get(message["role"], "AssistantChatMessageV2"))
        made = kind.model_validate(message)
        wrong += [f"{message['role']}.{name}" for name in made.model_extra or {} if name != "role"]
    for tool in question.get("tools", ()):
        wrong += types.ToolV2.model_validate(tool).model_extra or {}
    return wrong


def cohere_events(question: list[dict[str, Any]]) -> list[str]:
    """The names of the types that Cohere's SDK reads events as."""
    parse: Any = importlib.import_module("cohere.core.unchecked_base_model").construct_type
    types: Any = importlib.import_module("cohere")
    return [type(parse(type_=types.V2ChatStreamResponse, object_=event)).__name__ for event in question]


def hunyuan(question: dict[str, Any]) -> list[str]:
    """Members that Tencent's SDK does not know, as its warnings name them."""
    models: Any = importlib.import_module("tencentcloud.hunyuan.v20230901.models")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(models, question["type"])().from_json_string(json.dumps(question["value"]))
    return [str(warning.message) for warning in caught]


@contextlib.contextmanager
def _answering(answer: str, status: int = 200) -> Iterator[tuple[str, dict[str, Any]]]:
    """A server with one answer to all requests; its address, and what was sent to it last."""
    sent: dict[str, Any] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent["path"] = self.path
            sent["sse"] = self.headers.get("X-DashScope-SSE")
            sent["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = answer.encode()
            is_stream = sent["sse"] and status == 200
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


def dashscope(question: dict[str, Any]) -> dict[str, Any]:
    """What DashScope's SDK sends for a call, and what it reads in the answer."""
    with _answering(question["answer"], question.get("status", 200)) as (address, sent):
        library: Any = importlib.import_module("dashscope")
        library.base_http_api_url = f"{address}/api/v1"
        found = library.Generation.call(api_key="k", **question["call"])
        answers = list(found) if question["call"].get("stream") else [found]
    last = answers[-1]
    told = {**sent, "status": last.status_code, "code": last.code, "message": last.message}
    if last.status_code != 200:
        return told
    texts = [answer.output.choices[0].message.content or "" for answer in answers]
    return {**told, "text": texts[-1] if len(texts) == 1 else "".join(texts)}


def cohere_refused(question: dict[str, Any]) -> list[Any]:
    """The error that Cohere's client raises for an answer: its type, status and body."""
    library: Any = importlib.import_module("cohere")
    with _answering(question["answer"], question["status"]) as (address, _):
        client = library.ClientV2(api_key="k", base_url=address)
        try:
            options = {"max_retries": 0}
            client.chat(model="m", messages=[{"role": "user", "content": "hi"}], request_options=options)
        except library.core.api_error.ApiError as error:
            return [type(error).__name__, error.status_code, error.body]
    return []


_QUESTIONS: dict[str, Any] = {
    function.__name__: function for function in (cohere_request, cohere_events, cohere_refused, hunyuan, dashscope)
}


def answer(questions: list[tuple[str, Any]]) -> list[Any]:
    """What the function of each question returns."""
    return [_QUESTIONS[name](question) for name, question in questions]
