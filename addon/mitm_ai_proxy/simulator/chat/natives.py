"""The APIs of vendors' own that the simulated model has beside OpenAI's and Anthropic's: a table of paths and forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import apps, converse, gemini, messages, paths, refusals
from .asked import Asked, Reply
from .model import Answer
from .refusals import ChatError

Json = Mapping[str, Any]


def _no_stream(_asked: Asked, _answer: Answer, _reply: Reply) -> Iterator[bytes]:
    return iter(())


def _no_failure(_refused: ChatError) -> bytes:
    return b""


def _anthropic_error(refused: ChatError) -> tuple[int, dict[str, Any]]:
    return refused.status, refusals.anthropic(refused, "req_simulated")


def _anthropic_failure(refused: ChatError) -> bytes:
    return messages.failure(refused, "req_simulated")


class Native(NamedTuple):
    """A vendor's API. `read` takes a body, the model in the path, and whether the path is that of streams.

    `error`: the status and the body of a refusal. `failure`: one in the middle of a stream. `counted`: the answer
    to a count of tokens.
    """

    read: Callable[[Json, str, bool], Asked]
    whole: Callable[[Asked, Answer, Reply], dict[str, Any]]
    error: Callable[[ChatError], tuple[int, dict[str, Any]]]
    stream: Callable[[Asked, Answer, Reply], Iterator[bytes]] = _no_stream
    failure: Callable[[ChatError], bytes] = _no_failure
    counted: Callable[[Json, str], dict[str, Any]] | None = None
    stream_type: str = "text/event-stream"
    request_id: str = "x-request-id"


_GEMINI: Final = Native(gemini.read, gemini.whole, gemini.error, gemini.stream, gemini.failure)
_CONVERSE: Final = Native(
    converse.read,
    converse.whole,
    converse.error,
    converse.stream,
    converse.failure,
    stream_type=converse.STREAM_TYPE,
    request_id="x-amzn-requestid",
)
_INVOKED: Final = _CONVERSE._replace(read=converse.read_message, whole=messages.whole, stream=converse.stream_message)
_PREDICTED: Final = Native(converse.read_message, messages.whole, _anthropic_error, messages.stream, _anthropic_failure)
_DIFY: Final = Native(apps.read_dify, apps.whole_dify, apps.error_dify, apps.stream_dify, apps.failure_dify)
_COZE: Final = Native(
    apps.read_coze, apps.whole_coze, apps.error_coze, apps.stream_coze, apps.failure_coze, request_id="x-tt-logid"
)
_DEEPL: Final = Native(apps.read_deepl, apps.whole_deepl, apps.error_deepl, request_id="x-trace-id")
_TRITON: Final = Native(apps.read_triton, apps.whole_triton, apps.error_triton, apps.stream_triton, apps.failure_triton)


class Place(NamedTuple):
    """A path of an API: `streams` where it is that of streams, `model` where the path is no place for one."""

    native: Native
    streams: bool = False
    model: str = ""


PLACES: Final[Mapping[str, Place]] = {
    "/models/{model}:generateContent": Place(_GEMINI),
    "/models/{model}:streamGenerateContent": Place(_GEMINI, True),
    "/models/{model}:countTokens": Place(_GEMINI._replace(counted=gemini.count)),
    "/models/count-tokens:rawPredict": Place(_PREDICTED._replace(counted=converse.count_message), model="count-tokens"),
    "/models/{model}:rawPredict": Place(_PREDICTED),
    "/models/{model}:streamRawPredict": Place(_PREDICTED, True),
    "/model/{model}/converse": Place(_CONVERSE),
    "/model/{model}/converse-stream": Place(_CONVERSE, True),
    "/model/{model}/count-tokens": Place(_CONVERSE._replace(counted=converse.count)),
    "/model/{model}/invoke": Place(_INVOKED),
    "/model/{model}/invoke-with-response-stream": Place(_INVOKED, True),
    "/chat-messages": Place(_DIFY, model="chat"),
    "/completion-messages": Place(_DIFY, model="completion"),
    "/workflows/run": Place(_DIFY, model="workflows"),
    "/v3/chat": Place(_COZE, model="bot"),
    "/v2/translate": Place(_DEEPL, model="translator"),
    "/v2/models/{model}/generate": Place(_TRITON),
    "/v2/models/{model}/generate_stream": Place(_TRITON, True),
}
"""By path (see paths.NATIVE)."""


def find(path: str) -> tuple[Place, str] | None:
    """The API of a path (no query), and the model in it; None for a path of none."""
    found = paths.native(path)
    if found is None:
        return None
    place = PLACES[found[0]]
    return place, place.model or found[1]
