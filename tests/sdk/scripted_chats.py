"""A service with five vendors' chat APIs, in a script that knows nothing of the translators.

What it answers depends on the model and on what it is asked; a conversation that its vendor would refuse is refused.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote

from mitm_ai_proxy.wire.aws_event_stream import Message, written
from tests.e2e.http_server import Handler, Server
from tests.sdk import scripted_gemini

Json = dict[str, Any]

SIGNATURE = base64.b64encode(b"signed by the scripted vendor").decode()
THOUGHT = "let me see é"
CITIES = ("Zürich", "Oslo")
DEADLINE = 20.0


class ScriptedChats:
    """The service, on a free port of 127.0.0.1. `gave_up` is set when a client has left the endless stream."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Json]] = []
        self.gave_up = threading.Event()
        self._thread_of_messages: list[Json] = []  # that a client of Anthropic's goes on with by its new messages alone
        service = self

        class Chats(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Keep the request, and answer it."""
                body = self.read_body()
                if self.path == "/token":  # Google's, for a service account
                    return _send(self, 200, {"access_token": "ya29.of-the-provider", "expires_in": 3600})
                document = json.loads(body)
                fields = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.path, fields, document))
                if ":countTokens" in self.path or "/count-tokens:rawPredict" in self.path:
                    return _send(self, 200, {"totalTokens": 7, "input_tokens": 7})
                return service.answer(self, *_asked(self.path, document))

        self._server = Server(("127.0.0.1", 0), Chats)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.gave_up.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)

    def answer(self, handler: Handler, document: Json, api: Api) -> None:
        """One answer, or a stream of events."""
        model = document["model"]
        if model.startswith("fail-"):
            status = int(model.removeprefix("fail-"))
            return _send(handler, status, api.error(status))
        if "count-tokens" in handler.path:
            return _send(handler, 200, {"inputTokens": 7})
        thread = document.get("thread") or {}
        if thread.get("type") == "continue":
            document["messages"] = [*self._thread_of_messages, *document["messages"]]
        try:
            said = _said(document, api)
        except AssertionError as error:
            return _send(handler, 400, {**api.error(400), "why": str(error)})
        if thread:
            answer = {"role": "assistant", "content": api.whole(model, said)["content"]}
            self._thread_of_messages = [*document["messages"], answer]
        if not document.get("stream"):
            return _send(handler, 200, api.whole(model, said))
        handler.send_response(200)
        handler.send_header("Content-Type", api.stream_type)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            for event in api.events(model, said):
                handler.wfile.write(event)
                handler.wfile.flush()
                while model == "endless" and b"hel" in event:
                    handler.wfile.write(event)
                    handler.wfile.flush()
                    if self.gave_up.wait(0.005):
                        return None
        except ConnectionError:
            self.gave_up.set()
        return None


def _send(handler: Handler, status: int, document: Json) -> None:
    body = json.dumps(document).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _asked(path: str, document: Json) -> tuple[Json, Api]:
    """What is asked, with the model and whether it is a stream, which some have in the path; and in which API."""
    if native := scripted_gemini.PATH.fullmatch(path):
        told = {"model": native[1], "stream": native[2].startswith("stream")}
        return {**document, **told}, scripted_gemini.Gemini(len(CITIES))
    if predicted := scripted_gemini.PREDICTED.fullmatch(path):
        assert document.pop("anthropic_version")
        assert "model" not in document
        return {**document, "model": predicted[1]}, _Messages()
    if path.startswith("/api/v1/services/aigc/"):
        settings = document["parameters"]
        assert settings["result_format"] == "message"
        has_media = any(isinstance(message["content"], list) for message in document["input"]["messages"])
        assert ("/multimodal-generation/" in path) is has_media
        told = {"messages": document["input"]["messages"], "stream": settings.get("incremental_output", False)}
        return {"model": document["model"], **settings, **told}, _DashScope()
    if not path.startswith("/model/"):
        return document, _Messages() if "/messages" in path else _Chat()
    model, _, action = path.removeprefix("/model/").partition("/")
    told = {"model": unquote(model), "stream": action.endswith("stream")}
    if "invoke" in action:
        assert document.pop("anthropic_version")
        return {**document, **told}, _Invoked()
    return {**document, **told}, _Converse()


def _said(document: Json, api: Api) -> Json:
    """What the model says: `thought`, `text`, `calls` (arguments). Raises AssertionError for a bad conversation."""
    thinks = api.thinks(document)
    if results := api.results(document):
        assert len(results) == len(CITIES), f"{len(results)} results"
        return {"thought": THOUGHT if thinks else "", "text": f"both: {', '.join(results)}", "calls": ()}
    if document.get("tools") or document.get("toolConfig"):
        calls = [json.dumps({"city": city}, ensure_ascii=False) for city in CITIES]
        return {"thought": THOUGHT if thinks else "", "text": "I look", "calls": calls}
    text = api.picture(document) or ('{"name": "Ann", "age": 7}' if api.has_schema(document) else "hello é")
    return {"thought": THOUGHT if thinks else "", "text": text, "calls": ()}


class _Chat:
    """OpenAI's chat API."""

    stream_type = "text/event-stream"

    def error(self, status: int) -> Json:
        return {"error": {"message": f"fails with {status}", "type": "t", "param": None, "code": None}}

    def thinks(self, document: Json) -> bool:
        return "reasoning_effort" in document or document.get("enable_thinking") is True

    def results(self, document: Json) -> list[str]:
        messages = document["messages"]
        found = [message["content"] for message in messages if message["role"] == "tool"]
        if found:
            (asking,) = [message for message in messages if message.get("tool_calls")]
            ids = [call["id"] for call in asking["tool_calls"]]
            assert ids == [message["tool_call_id"] for message in messages if message["role"] == "tool"], ids
            assert all(len(one) <= 40 for one in ids), "OpenAI takes ids of 40 characters"
        return found

    def picture(self, document: Json) -> str:
        parts = _parts(document)
        return ", ".join(part["image_url"]["url"][:15] for part in parts if part["type"] == "image_url")

    def has_schema(self, document: Json) -> bool:
        return "response_format" in document

    def whole(self, model: str, said: Json) -> Json:
        message: Json = {"role": "assistant", "content": said["text"], "refusal": None}
        if said["thought"]:
            message["reasoning_content"] = said["thought"]
        if said["calls"]:
            message["tool_calls"] = [_call(number, call) for number, call in enumerate(said["calls"])]
        reason = "tool_calls" if said["calls"] else "stop"
        head = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": model}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {**head, "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        head = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": model}

        def chunk(delta: Json, reason: str | None = None) -> bytes:
            return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

        yield b": PROCESSING\n\n" + chunk({"role": "assistant", "content": ""})
        for piece in _pieces(said["thought"]):
            yield chunk({"reasoning_content": piece})
        for piece in _pieces(said["text"]):
            yield chunk({"content": piece})
        for number in range(len(said["calls"])):
            yield chunk({"tool_calls": [{"index": number, **_call(number, "")}]})
        # Their arguments come by turns.
        for first, second in zip(*map(_pieces, said["calls"]), strict=False) if said["calls"] else ():
            for number, piece in enumerate((first, second)):
                yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield chunk({}, "tool_calls" if said["calls"] else "stop")
        yield _data({**head, "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
        yield b"data: [DONE]\n\n"


class _DashScope(_Chat):
    """DashScope's own API, whose requests are read as chats of OpenAI's."""

    def error(self, status: int) -> Json:
        return {"code": "Word", "message": f"fails with {status}", "request_id": "r-1"}

    def picture(self, document: Json) -> str:
        return ", ".join(part["image"][:15] for part in _parts(document) if "image" in part)

    def whole(self, model: str, said: Json) -> Json:
        (choice,) = super().whole(model, said)["choices"]
        return self._output(choice["message"], choice["finish_reason"])

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        for chunk in super().events(model, said):
            data = chunk.rpartition(b"data: ")[2].strip()
            choices = [] if data == b"[DONE]" else json.loads(data)["choices"]
            for choice in choices:
                event = self._output({"role": "assistant", **choice["delta"]}, choice["finish_reason"] or "null")
                yield b"id:1\nevent:result\n:HTTP_STATUS/200\n" + _data(event).replace(b"data: ", b"data:", 1)

    def _output(self, message: Json, reason: str) -> Json:
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        choices = [{"finish_reason": reason, "message": message}]
        return {"output": {"choices": choices}, "usage": usage, "request_id": "r-1"}


class _Messages:
    """Anthropic's Messages API."""

    stream_type = "text/event-stream"

    def error(self, status: int) -> Json:
        return {"type": "error", "error": {"type": "t", "message": f"fails with {status}"}}

    def thinks(self, document: Json) -> bool:
        return document.get("thinking", {}).get("type") in ("enabled", "adaptive")

    def results(self, document: Json) -> list[str]:
        messages = document["messages"]
        last = messages[-1]["content"]
        blocks = last if isinstance(last, list) else []
        results = [block for block in blocks if block["type"] == "tool_result"]
        if results:
            before = messages[-2]["content"]
            calls = [block["id"] for block in before if block["type"] == "tool_use"]
            assert [block["tool_use_id"] for block in results] == calls, "each call has its result"
            if self.thinks(document):
                assert before[0]["type"] == "thinking", "the thinking comes back"
                assert (before[0]["thinking"], before[0]["signature"]) == (THOUGHT, SIGNATURE)
        return [_plain(block["content"]) for block in results]

    def picture(self, document: Json) -> str:
        sources = [block["source"] for block in _parts(document) if block["type"] == "image"]
        return ", ".join(f"data:{source['media_type']};" for source in sources)

    def has_schema(self, document: Json) -> bool:
        return "format" in document.get("output_config", {})

    def whole(self, model: str, said: Json) -> Json:
        return {**self._message(model), "content": self._blocks(said), **self._reason(said), "usage": self._usage(5)}

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        def event(type: str, **members: Any) -> bytes:
            return f"event: {type}\n".encode() + _data({"type": type, **members})

        yield event("message_start", message={**self._message(model), "content": [], "usage": self._usage(1)})
        for index, block in enumerate(self._blocks(said)):
            kind = block["type"]
            member = {"text": "text", "thinking": "thinking", "tool_use": "input"}[kind]
            empty = {**block, member: {} if kind == "tool_use" else ""}
            if kind == "thinking":
                empty["signature"] = ""
            yield event("content_block_start", index=index, content_block=empty)
            yield event("ping")
            whole = json.dumps(block["input"], ensure_ascii=False) if kind == "tool_use" else block[member]
            names = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
            type = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}[kind]
            for piece in _pieces(whole):
                yield event("content_block_delta", index=index, delta={"type": type, names[kind]: piece})
            if kind == "thinking":
                delta = {"type": "signature_delta", "signature": SIGNATURE}
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        yield event("message_delta", delta=self._reason(said), usage={"output_tokens": 5})
        yield event("message_stop")

    def _message(self, model: str) -> Json:
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
        return {**head, "stop_reason": None, "stop_sequence": None}

    def _reason(self, said: Json) -> Json:
        return {"stop_reason": "tool_use" if said["calls"] else "end_turn", "stop_sequence": None}

    def _usage(self, output: int) -> Json:
        return {"input_tokens": 10, "output_tokens": output}

    def _blocks(self, said: Json) -> list[Json]:
        blocks: list[Json] = []
        if said["thought"]:
            blocks.append({"type": "thinking", "thinking": said["thought"], "signature": SIGNATURE})
        blocks.append({"type": "text", "text": said["text"]})
        for number, call in enumerate(said["calls"]):
            blocks.append({"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": json.loads(call)})
        return blocks


class _Invoked(_Messages):
    """The same through Bedrock's InvokeModel."""

    stream_type = "application/vnd.amazon.eventstream"

    def error(self, status: int) -> Json:
        return {"message": f"fails with {status}"}

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        for event in super().events(model, said):
            data = event.rpartition(b"data: ")[2].strip()
            if b'"ping"' not in data:
                yield _frame("chunk", {"bytes": base64.b64encode(data).decode()})


class _Converse:
    """Bedrock's Converse."""

    stream_type = "application/vnd.amazon.eventstream"

    def error(self, status: int) -> Json:
        return {"message": f"fails with {status}"}

    def thinks(self, document: Json) -> bool:
        return "thinking" in document.get("additionalModelRequestFields", {})

    def results(self, document: Json) -> list[str]:
        messages = document["messages"]
        results = [block["toolResult"] for block in messages[-1]["content"] if "toolResult" in block]
        if results:
            before = messages[-2]["content"]
            calls = [block["toolUse"]["toolUseId"] for block in before if "toolUse" in block]
            assert [result["toolUseId"] for result in results] == calls, "each call has its result"
            if self.thinks(document):
                thought = before[0]["reasoningContent"]["reasoningText"]
                assert thought == {"text": THOUGHT, "signature": SIGNATURE}, "the thinking comes back"
        return ["".join(part["text"] for part in result["content"]) for result in results]

    def picture(self, document: Json) -> str:
        images = [block["image"] for block in document["messages"][-1]["content"] if "image" in block]
        return ", ".join(f"data:image/{image['format']};" for image in images)

    def has_schema(self, document: Json) -> bool:
        return "textFormat" in document.get("outputConfig", {})

    def whole(self, model: str, said: Json) -> Json:
        message = {"role": "assistant", "content": self._blocks(said)}
        return {"output": {"message": message}, "stopReason": self._reason(said), "usage": self._usage()}

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        yield _frame("messageStart", {"role": "assistant"})
        for index, block in enumerate(self._blocks(said)):
            at: Json = {"contentBlockIndex": index}
            if use := block.get("toolUse"):
                start: Json = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
                yield _frame("contentBlockStart", {"start": start, **at})
                deltas: list[Json] = [
                    {"toolUse": {"input": piece}} for piece in _pieces(json.dumps(use["input"], ensure_ascii=False))
                ]
            elif "text" in block:
                deltas = [{"text": piece} for piece in _pieces(block["text"])]
            else:
                deltas = [{"reasoningContent": {"text": piece}} for piece in _pieces(said["thought"])]
                deltas.append({"reasoningContent": {"signature": SIGNATURE}})
            for delta in deltas:
                yield _frame("contentBlockDelta", {**at, "delta": delta})
            yield _frame("contentBlockStop", at)
        yield _frame("messageStop", {"stopReason": self._reason(said)})
        yield _frame("metadata", {"usage": self._usage(), "metrics": {"latencyMs": 1}})

    def _reason(self, said: Json) -> str:
        return "tool_use" if said["calls"] else "end_turn"

    def _usage(self) -> Json:
        return {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}

    def _blocks(self, said: Json) -> list[Json]:
        blocks: list[Json] = []
        if said["thought"]:
            thought = {"text": said["thought"], "signature": SIGNATURE}
            blocks.append({"reasoningContent": {"reasoningText": thought}})
        blocks.append({"text": said["text"]})
        for number, call in enumerate(said["calls"]):
            blocks.append({"toolUse": {"toolUseId": f"tooluse_{number}", "name": "weather", "input": json.loads(call)}})
        return blocks


Api: TypeAlias = _Chat | _Messages | _Converse | scripted_gemini.Gemini


def _frame(type: str, payload: Json) -> bytes:
    """A message of Amazon's event stream."""
    headers = {":event-type": type, ":content-type": "application/json", ":message-type": "event"}
    return written(Message(headers, json.dumps({**payload, "p": "abcd"}, ensure_ascii=False).encode()))


def _call(number: int, arguments: str) -> Json:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def _parts(document: Json) -> list[Json]:
    """The parts of the last message, if it has any."""
    content = document["messages"][-1]["content"]
    return content if isinstance(content, list) else []


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def _pieces(text: str) -> list[str]:
    """A text in three pieces at most."""
    third = -(-len(text) // 3) or 1
    return [text[at : at + third] for at in range(0, len(text), third)]


def _data(document: Json) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"
