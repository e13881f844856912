"""Runs in a process of its own, with the vendors' SDKs in the folder named first; answers questions in JSON."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

sys.path.insert(0, sys.argv[1])


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


def dashscope(question: dict[str, Any]) -> dict[str, Any]:
    """What DashScope's SDK sends for a call, and what it reads in the answer."""
    sent: dict[str, Any] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent["path"] = self.path
            sent["sse"] = self.headers.get("X-DashScope-SSE")
            sent["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = question["answer"].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if sent["sse"] else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        library: Any = importlib.import_module("dashscope")
        library.base_http_api_url = f"http://127.0.0.1:{server.server_address[1]}/api/v1"
        found = library.Generation.call(api_key="k", **question["call"])
        answers = list(found) if question["call"].get("stream") else [found]
        server.shutdown()
    texts = [answer.output.choices[0].message.content or "" for answer in answers]
    return {**sent, "status": answers[-1].status_code, "text": texts[-1] if len(texts) == 1 else "".join(texts)}


def main() -> None:
    functions: dict[str, Any] = {
        "cohere_request": cohere_request,
        "cohere_events": cohere_events,
        "hunyuan": hunyuan,
        "dashscope": dashscope,
    }
    questions = json.load(sys.stdin)
    json.dump([functions[name](question) for name, question in questions], sys.stdout)


if __name__ == "__main__":
    main()
