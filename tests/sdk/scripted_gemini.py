"""Gemini's API in a script that knows nothing of the translators: one of the services of scripted_chats.py."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

SIGNATURE = base64.b64encode(b"signed by the scripted Gemini").decode()
PATH = re.compile(r"/.*/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)(?:\?.*)?")
PREDICTED = re.compile(r"/.*/models/([^/:]+):(?:rawPredict|streamRawPredict)(?:\?.*)?")
"""Claude at Vertex AI."""


class Gemini:
    """The API. A conversation that Gemini 3 would refuse fails an assertion."""

    stream_type = "text/event-stream"

    def __init__(self, cities: int) -> None:
        self._cities = cities

    def error(self, status: int) -> Json:
        return {"error": {"code": status, "message": f"fails with {status}", "status": "WORD"}}

    def thinks(self, document: Json) -> bool:
        config = document.get("generationConfig", {}).get("thinkingConfig", {})
        return bool(config.get("includeThoughts"))

    def results(self, document: Json) -> list[str]:
        contents = document["contents"]
        assert all(content["role"] in ("user", "model") for content in contents), "roles"
        responses = [part["functionResponse"] for part in contents[-1]["parts"] if "functionResponse" in part]
        if responses:
            parts = [part for part in contents[-2]["parts"] if "functionCall" in part]
            assert len(contents[-1]["parts"]) == len(parts) == self._cities, "each call has its result"
            assert parts[0].get("thoughtSignature") == SIGNATURE, "the first call comes back with its signature"
            assert not any("thoughtSignature" in part for part in parts[1:]), "the others have none"
            cities = [part["functionCall"]["args"]["city"] for part in parts]
            assert all(city in str(found["response"]) for city, found in zip(cities, responses, strict=True)), "order"
        return [found["response"]["output"] for found in responses]

    def picture(self, document: Json) -> str:
        parts = document["contents"][-1]["parts"]
        return ", ".join(f"data:{part['inlineData']['mimeType']};" for part in parts if "inlineData" in part)

    def has_schema(self, document: Json) -> bool:
        return "responseJsonSchema" in document.get("generationConfig", {})

    def whole(self, model: str, said: Json) -> Json:
        return self._response(model, self._parts(said), "STOP")

    def events(self, model: str, said: Json) -> Iterator[bytes]:
        for part in self._parts(said):
            if "text" in part:
                third = -(-len(part["text"]) // 3) or 1
                for at in range(0, len(part["text"]), third):
                    yield _data(self._response(model, [{**part, "text": part["text"][at : at + third]}]))
            else:
                yield _data(self._response(model, [part]))
        yield _data(self._response(model, [{"text": ""}], "STOP"))

    def _parts(self, said: Json) -> list[Json]:
        parts: list[Json] = []
        if said["thought"]:
            parts.append({"text": said["thought"], "thought": True})
        parts.append({"text": said["text"]})
        for number, call in enumerate(said["calls"]):
            part: Json = {"functionCall": {"name": "weather", "args": json.loads(call)}}
            parts.append({**part, "thoughtSignature": SIGNATURE} if number == 0 else part)
        return parts

    def _response(self, model: str, parts: list[Json], reason: str = "") -> Json:
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r-1"}


def _data(document: Json) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\r\n\r\n"
