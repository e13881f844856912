"""The chat model over HTTP: authentication, faults, pace, and the answers in the format that the path says."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from flask import Response, request
from werkzeug.exceptions import NotFound

from .. import faults
from ..faults import NONE, Fault, Repetitions
from ..settings import SimulatorSettings
from . import converse, gemini, messages, model, natives, openai, paths, refusals
from .asked import Asked, Reply, document
from .model import Answer
from .refusals import ChatError

CUT: Final = "simulator.cut"
"""WSGI environment key: a list, to which LOST, TRUNCATED or ABORTED is added if the connection is to be cut."""
LOST, TRUNCATED, ABORTED = "lost", "truncated", "aborted"
"""Cut it without an answer, in the middle of the answer, or when all of the answer has been sent."""
PIECES: Final = "simulator.pieces"
"""WSGI environment key: a list, if the WSGI server sends an answer in its own time: pieces of the body, and the seconds
to wait before each. Without it, the answer itself waits."""

DEFAULT_MODEL: Final = "simulated-chat"
FIRST_TOKEN: Final = 0.5
TOKEN: Final = 0.02
"""Seconds that the first token takes, and each one after it, at the speed 1."""
STUCK: Final = 600.0
"""Seconds until the connection of an answer that is stuck is closed."""
_LOOK: Final = 0.5
"""Seconds between two looks whether a client that has sent more than its request is still there."""

_MADE: Final = 1_767_225_600
"""When the models were made, in Unix time: the beginning of 2026."""

Pieces: TypeAlias = list[tuple[float, bytes]]


class _Format(NamedTuple):
    """A wire format. `request_id`: the header field of the id of a request."""

    read: Callable[[Mapping[str, Any]], Asked]
    whole: Callable[[Asked, Answer, Reply], dict[str, Any]]
    stream: Callable[[Asked, Answer, Reply], Iterator[bytes]]
    failure: Callable[[ChatError], bytes]
    request_id: str
    stream_type: str = "text/event-stream"


class ChatViews:
    """What answers the paths of the chat model.

    `settings` gives the settings of the moment, `now` Unix time in seconds.
    """

    def __init__(
        self, settings: Callable[[], SimulatorSettings], now: Callable[[], float], repetitions: Repetitions
    ) -> None:
        self._settings, self._now, self._repetitions = settings, now, repetitions

    @property
    def rules(self) -> Iterator[tuple[str, str, Callable[..., Response], str]]:
        """Rule, name, view and method of each path."""
        views: Sequence[tuple[str, Callable[..., Response], str]] = (
            (paths.COMPLETIONS, self._completions, "POST"),
            (paths.MESSAGES, self._messages, "POST"),
            (paths.COUNT, self._count, "POST"),
            (paths.MODELS, self._models, "GET"),
            (f"{paths.MODELS}/<path:model>", self._model, "GET"),
            (paths.FOUNDATION_MODELS, self._foundation_models, "GET"),
        )
        native = ((path.replace("{model}", "<path:model>"), self._native, "POST") for path in paths.NATIVE)
        for (path, view, method), base in itertools.product((*views, *native), ("", "/<path:base>")):
            yield f"{base}{path}", f"chat {base}{path}", self._guarded(view), method

    def refused(self, error: ChatError) -> Response:
        """The answer to a request that is refused, in the format of its path."""
        if found := natives.find(request.path):
            status, shown = found[0].native.error(error)
            response = _json(shown, status, found[0].native.request_id)
        else:
            shown = refusals.anthropic(error, _request_id()) if _is_anthropic() else refusals.openai(error)
            response = _json(shown, error.status)
        if error.status in refusals.LATER:
            response.headers["retry-after"] = "1"
            response.headers["retry-after-ms"] = str(max(1, round(1000 / self._settings().speed)))
        return response

    def _guarded(self, view: Callable[..., Response]) -> Callable[..., Response]:
        def guarded(**ids: str) -> Response:
            ids.pop("base", None)
            if not paths.is_chat(request.path):
                raise NotFound
            try:
                _authenticate(self._settings().api_key.reveal())
                return view(**ids)
            except ChatError as error:
                return self.refused(error)

        return guarded

    # Views

    def _completions(self) -> Response:
        return self._answered(_Format(openai.read, openai.whole, openai.stream, openai.failure, "x-request-id"))

    def _messages(self) -> Response:
        version, request_id = request.headers.get(messages.VERSION, ""), _request_id()

        def read(body: Mapping[str, Any]) -> Asked:
            return messages.read(body, version)

        def failure(error: ChatError) -> bytes:
            return messages.failure(error, request_id)

        return self._answered(_Format(read, messages.whole, messages.stream, failure, "request-id"))

    def _native(self, **_: str) -> Response:
        found = natives.find(request.path)
        if found is None:
            raise NotFound
        place, name = found
        native, streams = place.native, place.streams
        if native.counted is not None:
            self._check_model(name)
            fault = self._fault("", "")
            if fault.status:
                raise refusals.of_status(fault.status)
            return _json(native.counted(document(request.get_data(), request.mimetype), name))

        def read(body: Mapping[str, Any]) -> Asked:
            return native.read(body, name, streams)

        made = _Format(read, native.whole, native.stream, native.failure, native.request_id, native.stream_type)
        return self._answered(made)

    def _count(self) -> Response:
        body = document(request.get_data(), request.mimetype)
        asked = messages.read(body, request.headers.get(messages.VERSION, ""), counts=True)
        self._check_model(asked.model)
        fault = self._fault("", "")
        if fault.status:
            raise refusals.of_status(fault.status)
        return _json({"input_tokens": asked.prompt.input_tokens})

    def _models(self) -> Response:
        names = self._settings().chat_models or (DEFAULT_MODEL,)
        if "x-goog-api-key" in request.headers or "key" in request.args:
            return _json(gemini.models(names, at_vertex="/publishers/" in request.path))
        return _json((messages if _is_anthropic() else openai).models(names, _MADE))

    def _foundation_models(self) -> Response:
        names = self._settings().chat_models or (DEFAULT_MODEL,)
        return _json(converse.models(names), 200, "x-amzn-requestid")

    def _model(self, model: str) -> Response:
        self._check_model(model)
        return _json((messages if _is_anthropic() else openai).one_model(model, _MADE))

    def _check_model(self, name: str) -> None:
        known = self._settings().chat_models
        if known and name not in known:
            shown = name[:100]
            message = f"model: {shown}" if _is_anthropic() else f"The model `{shown}` does not exist."
            raise ChatError(404, message, "model", "model_not_found")

    # Answers

    def _answered(self, format_: _Format) -> Response:
        asked = format_.read(document(request.get_data(), request.mimetype))
        self._check_model(asked.model)
        fault = self._fault(asked.own_text, self._settings().fault)
        if fault.name == "CODE" or (fault.name == "accepted" and not asked.is_stream):
            raise refusals.of_status(fault.status)
        if fault.name == "picture":
            raise ChatError(400, faults.PIXELS)
        if fault.name == "garbage":
            return Response("<html><body><h1>Bad gateway</h1></body></html>", mimetype="text/html")
        answer = model.refusal(fault.value) if fault.name == "failed" else model.answer(asked.prompt)
        reply = Reply(hashlib.sha256(request.get_data()).hexdigest()[:12], int(self._now()))
        # A token at a time, or all of them at the end.
        found = list(format_.stream(asked, answer, reply)) if asked.is_stream else []
        whole = b"" if asked.is_stream else _text(format_.whole(asked, answer, reply))
        pace = (int(fault.value) if fault.name == "slow" else 1) / self._settings().speed
        pieces = _paced(found, pace) if found else [((FIRST_TOKEN + TOKEN * answer.output_tokens) * pace, whole)]
        sent = _with_fault(pieces, fault, format_) if found else _whole_with_fault(pieces, fault)
        return self._sent(sent, found, format_)

    def _sent(self, pieces: Pieces, found: Sequence[bytes], format_: _Format) -> Response:
        media_type = format_.stream_type if found else "application/json"
        host = request.environ.get(PIECES)
        if host is not None:
            host += pieces
            response = Response(b"".join(piece for _, piece in pieces), mimetype=media_type)
        elif found or pieces[0][0] > 0:
            response = Response(_waiting(pieces, request.environ.get("werkzeug.socket")), mimetype=media_type)
        else:
            response = Response(pieces[0][1], mimetype=media_type)
        response.headers[format_.request_id] = _request_id()
        if found:
            response.headers["cache-control"] = "no-cache"
        return response

    def _fault(self, prompt: str, configured: str) -> Fault:
        """The fault of this request; NONE once one with `*N` was applied N times. Raises ChatError."""
        header = request.headers.get(faults.HEADER)
        try:
            fault = faults.asked_for(header, prompt, configured)
        except ValueError as error:
            raise ChatError(400, f"{faults.HEADER if header else 'prompt'}: {error}") from None
        content = f"{request.method} {request.path} {header}\n".encode() + request.get_data()
        return fault if self._repetitions.applies(fault, content) else NONE


def _paced(found: Sequence[bytes], pace: float) -> Pieces:
    return [((TOKEN if index else FIRST_TOKEN) * pace, piece) for index, piece in enumerate(found)]


def _with_fault(pieces: Pieces, fault: Fault, format_: _Format) -> Pieces:
    """The pieces of a stream with what a fault does to it in its middle."""
    half = max(1, len(pieces) // 2)
    if fault.name == "accepted":
        return [*pieces[:half], (pieces[half - 1][0], format_.failure(refusals.of_status(fault.status)))]
    if fault.name in (LOST, TRUNCATED, "stuck"):
        request.environ.get(CUT, []).append(LOST if fault.name == LOST else ABORTED)
        return [*pieces[:half], *([(STUCK, b"")] if fault.name == "stuck" else [])]
    return pieces


def _whole_with_fault(pieces: Pieces, fault: Fault) -> Pieces:
    """The one piece of a whole answer with what a fault does to it."""
    if fault.name in (LOST, TRUNCATED, "stuck"):
        request.environ.get(CUT, []).append(TRUNCATED if fault.name == TRUNCATED else LOST)
        return [(STUCK if fault.name == "stuck" else pieces[0][0], pieces[0][1])]
    return pieces


def _waiting(pieces: Pieces, client: socket.socket | None) -> Iterator[bytes]:
    """The pieces, each at its time, as long as the client is there."""
    for seconds, piece in pieces:
        if seconds > 0 and math.isfinite(seconds) and not _waited(seconds, client):
            return
        if piece:
            yield piece


def _waited(seconds: float, client: socket.socket | None) -> bool:
    """Wait; False as soon as the client, if its socket is known, has closed the connection."""
    if client is None:
        time.sleep(seconds)
        return True
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if not selector.select(left):
                break
            try:
                if not client.recv(1, socket.MSG_PEEK):
                    return False
            except OSError:
                return False
            # It has sent more, which the next request will be read from.
            time.sleep(min(left, _LOOK))
    return True


def _authenticate(key: str) -> None:
    """Raise ChatError unless the request has the key, as any of the vendors takes it."""
    fields = request.headers
    own = (fields.get("x-api-key"), fields.get("api-key"), fields.get("x-goog-api-key"), request.args.get("key"))
    given = next(filter(None, own), fields.get("Authorization", ""))
    given = given.removeprefix("Bearer ").removeprefix("DeepL-Auth-Key ").strip()
    if not given:
        message = "x-api-key header is required" if _is_anthropic() else "You didn't provide an API key."
        raise ChatError(401, message)
    if given != key:
        message = "invalid x-api-key" if _is_anthropic() else "Incorrect API key provided."
        raise ChatError(401, message, code="invalid_api_key")


def _is_anthropic() -> bool:
    """Whether the answer to a request has Anthropic's format."""
    if natives.find(request.path):
        return False
    is_list = "/models" in request.path
    return messages.VERSION in request.headers if is_list else not request.path.endswith(paths.COMPLETIONS)


def _request_id() -> str:
    return f"req_{hashlib.sha256(request.path.encode() + request.get_data()).hexdigest()[:24]}"


def _text(shown: Any) -> bytes:
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _json(shown: Any, status: int = 200, request_id: str = "") -> Response:
    response = Response(_text(shown), status, mimetype="application/json")
    response.headers[request_id or ("request-id" if _is_anthropic() else "x-request-id")] = _request_id()
    return response
