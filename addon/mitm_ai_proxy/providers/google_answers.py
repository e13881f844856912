"""Answers of Google's other APIs in the client's dialect: counted tokens, models, embeddings, pictures.

Sources: Google's Gemini API reference; OpenAI's API reference, embeddings, images, models; Anthropic's, models, tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from ..chat import gemini_answers, json_values, token_estimate, vendor_errors
from ..chat.model import Delta, Event, Fault, Media, Open, Stop, Usage
from ..exchange import Answer, Memo
from . import openai_shapes
from .openai_shapes import Listed

Json = dict[str, Any]

_HEADERS: Final = {"content-type": "application/json"}
_POLICY: Final = "content_policy_violation"
"""OpenAI's code for a picture that is refused."""
_PREFIX: Final = "models/"


class _Refused(Exception):
    """An answer that is an error, for the client."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def rewritten(memo: Memo, answer: Answer) -> Answer:
    """The client's answer. `memo` is that of the request (see google.py)."""
    kind = memo["google"]
    if kind == "count":
        return _counted(memo, answer)
    if not 200 <= answer.status < 300:
        return _failed(vendor_errors.read(answer.body, answer.status), memo, answer.body)
    try:
        document = json_values.decode(answer.body)
        if not isinstance(document, dict):
            raise ValueError
        if fault := vendor_errors.of_value(document):
            return _failed(fault, memo, answer.body)
        written = _KINDS[kind](document, memo, answer.body)
    except _Refused as refused:
        return _failed(refused.fault, memo, answer.body)
    except (KeyError, TypeError, ValueError, AttributeError, struct.error):
        return _failed(vendor_errors.broken("cannot be read"), memo, b"")
    return Answer(answer.status, json_values.encode(written), _HEADERS)


def _failed(fault: Fault, memo: Memo, body: bytes) -> Answer:
    return vendor_errors.answer(fault, memo["client"], vendor_errors.retry_headers(body))


def _counted(memo: Memo, answer: Answer) -> Answer:
    """The tokens; an estimate where Google does not tell them, for clients cannot go on without a number."""
    try:
        told = json_values.decode(answer.body)
        tokens = vendor_errors.count(told.get("totalTokens", told.get("input_tokens")))
    except (ValueError, AttributeError):
        tokens = None
    if answer.status == 200 and tokens is not None:
        return Answer(200, json_values.encode({"input_tokens": tokens}), _HEADERS)
    return Answer(200, json_values.encode({"input_tokens": memo["estimate"]}), _HEADERS, (token_estimate.NOTE,))


# Models


def _models(document: Json, memo: Memo, _: bytes) -> Json:
    found = document.get("models") or document.get("publisherModels") or ()
    return openai_shapes.models([_model(one) for one in found], memo["client"])


def _model(found: Json) -> Listed:
    name: str = found["name"]
    id = name.rpartition("/")[2] if "/models/" in name else name.removeprefix(_PREFIX)
    return Listed(id, found.get("displayName") or id, "google")


def _one_model(document: Json, memo: Memo, _: bytes) -> Json:
    return openai_shapes.model(_model(document), memo["client"])


# Embeddings


def _embeddings(document: Json, memo: Memo, _: bytes) -> Json:
    """Gemini's embeddings, or Vertex's predictions."""
    if "predictions" in document:
        told = [found["embeddings"] for found in document["predictions"]]
        tokens = sum(int(found.get("statistics", {}).get("token_count", 0)) for found in told)
    else:
        told = document["embeddings"]
        tokens = vendor_errors.count((document.get("usageMetadata") or {}).get("promptTokenCount")) or 0
    vectors = [(index, found["values"]) for index, found in enumerate(told)]
    return openai_shapes.embeddings(vectors, memo, tokens)


# Pictures


def _images(document: Json, memo: Memo, body: bytes) -> Json:
    """Imagen's predictions, or the pictures in an answer of Gemini's."""
    if "predictions" in document or ("candidates" not in document and "promptFeedback" not in document):
        predictions = document.get("predictions") or ()
        made = [found["bytesBase64Encoded"] for found in predictions if "bytesBase64Encoded" in found]
        reasons = [found["raiFilteredReason"] for found in predictions if "raiFilteredReason" in found]
        return _pictures(made, " ".join(reasons), None, memo)
    events = gemini_answers.read_whole(body, "")
    if fault := next((event for event in events if isinstance(event, Fault)), None):
        raise _Refused(fault)
    made = [event.block.data for event in events if isinstance(event, Open) and isinstance(event.block, Media)]
    usage = next((event for event in reversed(events) if isinstance(event, Usage)), None)
    return _pictures(made, _why(events), usage, memo)


def _pictures(made: list[str], why: str, usage: Usage | None, memo: Memo) -> Json:
    if not made:
        raise _Refused(Fault(400, why or "The model made no picture.", _POLICY))
    written: Json = {"created": memo["created"], "data": [{"b64_json": data} for data in made]}
    if usage is not None:
        read, said = usage.input or 0, usage.output or 0
        written["usage"] = {"total_tokens": read + said, "input_tokens": read, "output_tokens": said}
    return written


def _why(events: list[Event]) -> str:
    """What the model says instead of a picture, or why it says nothing."""
    text = "".join(event.text for event in events if isinstance(event, Delta))
    stop = next((event for event in events if isinstance(event, Stop)), Stop("end"))
    return stop.explanation or text or ("The picture was blocked." if stop.reason == "refused" else "")


_KINDS: Final[dict[str, Callable[[Json, Memo, bytes], Json]]] = {
    "models": _models,
    "model": _one_model,
    "embeddings": _embeddings,
    "images": _images,
}
