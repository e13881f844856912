"""Services that take one text: Dify's applications, Coze's bots, DeepL's translations and Triton's models.

Sources: the API references of Dify, Coze and DeepL, and Triton's generate extension.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from . import model, talk
from .asked import Asked, Reply
from .model import THINKING, Answer
from .refusals import ChatError
from .talk import Json, Talk


def _asked(text: str, streams: bool, files: int = 0, name: str = "app", **members: Any) -> Asked:
    said = Talk()
    said.files = files
    said.user([talk.last_turn(text)])
    return Asked(name, said.prompt(**members), said.own_text, streams, True)


def _text(answer: Answer) -> str:
    return "".join(part.text for part in answer.parts if part.kind == model.TEXT)


def _pieces(answer: Answer, kind: str = model.TEXT) -> Iterator[str]:
    return (piece for part in answer.parts if part.kind == kind for piece in part.pieces)


def _event(shown: Mapping[str, Any], name: str = "") -> bytes:
    data = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return (f"event:{name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


# Dify

_DIFY_CODES: Final[Mapping[int, str]] = {401: "unauthorized", 404: "not_found", 429: "too_many_requests"}
_MODES: Final = ("blocking", "streaming")


def read_dify(body: Json, name: str, _streams: bool) -> Asked:
    """What a request to an application asks: a query, or the last input of a workflow. Raises ChatError."""
    inputs, mode = talk.object_in(body, "inputs"), body.get("response_mode", "blocking")
    talk.text_in(body, "user")
    if mode not in _MODES:
        raise ChatError(400, "response_mode must be blocking or streaming", "response_mode")
    texts = [value for value in inputs.values() if isinstance(value, str)]
    query = body.get("query", inputs.get("query"))
    if not isinstance(query, str):
        if "chat" in name or not texts:
            raise ChatError(400, "query is required", "query")
        query = texts[-1]
    files = len(list(talk.objects(body.get("files"), "files")))
    return _asked(query, mode == "streaming", files, name)


def whole_dify(asked: Asked, answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer of an application; a workflow has one output."""
    if asked.model == "workflows":
        return {**_run(reply), "data": _finished(answer, reply, asked)}
    return {**_dify(reply, "message"), "mode": "chat", "answer": _text(answer), "metadata": _metadata(asked, answer)}


def stream_dify(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The same as a stream."""
    if asked.model == "workflows":
        yield _event({"event": "workflow_started", **_run(reply), "data": {"id": reply.id}})
        for piece in _pieces(answer):
            yield _event({"event": "text_chunk", **_run(reply), "data": {"text": piece}})
        yield _event({"event": "workflow_finished", **_run(reply), "data": _finished(answer, reply, asked)})
        return
    for piece in _pieces(answer):
        yield _event({**_dify(reply, "message"), "answer": piece})
    yield _event({**_dify(reply, "message_end"), "metadata": _metadata(asked, answer)})


def _dify(reply: Reply, event: str) -> dict[str, Any]:
    ids = {name: f"{name.partition('_')[0]}-{reply.id}" for name in ("task_id", "message_id", "conversation_id")}
    return {"event": event, **ids, "id": ids["message_id"], "created_at": reply.created}


def _run(reply: Reply) -> dict[str, Any]:
    return {"workflow_run_id": f"run-{reply.id}", "task_id": f"task-{reply.id}"}


def _finished(answer: Answer, reply: Reply, asked: Asked) -> dict[str, Any]:
    total = asked.prompt.input_tokens + answer.output_tokens
    has_failed = answer.end == model.REFUSED
    return {
        "id": f"run-{reply.id}",
        "workflow_id": "simulated",
        "status": "failed" if has_failed else "succeeded",
        "outputs": {} if has_failed else {"text": _text(answer)},
        "error": (answer.detail or "failed") if has_failed else None,
        "elapsed_time": 0.1,
        "total_tokens": total,
        "total_steps": 1,
        "created_at": reply.created,
        "finished_at": reply.created,
    }


def _metadata(asked: Asked, answer: Answer) -> dict[str, Any]:
    read, said = asked.prompt.input_tokens, answer.output_tokens
    return {"usage": {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}}


def error_dify(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """Dify's error."""
    word = "internal_server_error" if refused.status >= 500 else "invalid_param"
    code = _DIFY_CODES.get(refused.status, word)
    return refused.status, {"code": code, "message": refused.message, "status": refused.status}


def failure_dify(refused: ChatError) -> bytes:
    """An error in the middle of a stream."""
    return _event({"event": "error", **error_dify(refused)[1]})


# Coze

_COZE_CODES: Final[Mapping[int, int]] = {401: 4100, 402: 4011, 403: 4101, 404: 4200, 409: 4016, 429: 4020}


def read_coze(body: Json, _name: str, _streams: bool) -> Asked:
    """What a chat with a bot asks. Raises ChatError."""
    for member in ("bot_id", "user_id"):
        talk.text_in(body, member)
    is_stream = body.get("stream") is True
    if not is_stream and body.get("auto_save_history") is not True:
        raise ChatError(400, "auto_save_history has to be true if stream is false", "auto_save_history")
    said = Talk()
    for message in talk.objects(body.get("additional_messages"), "additional_messages"):
        texts = list(_coze_texts(said, message))
        said.user(texts) if message.get("role") == "user" else said.other(texts)
    return Asked(str(body["bot_id"]), said.prompt(), said.own_text, is_stream, True)


def _coze_texts(said: Talk, message: Json) -> Iterator[str]:
    content = talk.text_in(message, "content", "")
    if message.get("content_type") != "object_string":
        yield content
        return
    try:
        parts = json.loads(content)
    except ValueError:
        raise ChatError(400, "content is not the JSON of an object_string", "content") from None
    for part in talk.objects(parts, "content"):
        if part.get("type") == "text":
            yield talk.text_in(part, "text")
        else:
            said.files += 1


def whole_coze(asked: Asked, _answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer to a chat that is no stream: it has begun, and is to be asked for."""
    return {"code": 0, "msg": "", "data": {**_coze(asked, reply), "status": "in_progress"}}


def stream_coze(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The answer as a stream."""
    chat = _coze(asked, reply)
    yield _event({**chat, "status": "created"}, "conversation.chat.created")
    yield _event({**chat, "status": "in_progress"}, "conversation.chat.in_progress")
    if answer.end == model.REFUSED:
        failed = {"code": 4014, "msg": answer.detail or "the bot cannot answer this"}
        yield _event({**chat, "status": "failed", "last_error": failed}, "conversation.chat.failed")
    else:
        said = {**chat, "id": f"message-{reply.id}", "chat_id": chat["id"], "role": "assistant", "type": "answer"}
        for piece in _pieces(answer, THINKING):
            yield _event({**said, "content": "", "reasoning_content": piece}, "conversation.message.delta")
        for piece in _pieces(answer):
            yield _event({**said, "content": piece, "content_type": "text"}, "conversation.message.delta")
        yield _event({**said, "content": _text(answer)}, "conversation.message.completed")
        read, made = asked.prompt.input_tokens, answer.output_tokens
        usage = {"token_count": read + made, "output_count": made, "input_count": read}
        yield _event({**chat, "status": "completed", "usage": usage}, "conversation.chat.completed")
    yield b'event:done\ndata:"[DONE]"\n\n'


def _coze(asked: Asked, reply: Reply) -> dict[str, Any]:
    ids = {"id": f"chat-{reply.id}", "conversation_id": f"conversation-{reply.id}", "bot_id": asked.model}
    return {**ids, "created_at": reply.created}


def error_coze(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """Coze's error, whose status is that of a success."""
    code = _COZE_CODES.get(refused.status, 5000 if refused.status >= 500 else 4000)
    return 200, {"code": code, "msg": refused.message, "detail": {"logid": "simulated"}}


def failure_coze(refused: ChatError) -> bytes:
    """An error in the middle of a stream."""
    return _event(error_coze(refused)[1], "error")


# DeepL

_MOST_TEXTS: Final = 50


def read_deepl(body: Json, name: str, _streams: bool) -> Asked:
    """Texts that are to be translated, each of which stays as it is. Raises ChatError."""
    talk.text_in(body, "target_lang")
    texts: Any = body.get("text")
    is_right = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if not is_right or not 0 < len(texts) <= _MOST_TEXTS:
        raise ChatError(400, "Parameter 'text' has to be a list of 1 to 50 strings.", "text")
    said = Talk()
    said.user(texts)
    return Asked(name, said.prompt(), said.own_text, texts=texts)


def whole_deepl(asked: Asked, _answer: Answer, _reply: Reply) -> dict[str, Any]:
    """The translations."""
    return {"translations": [{"detected_source_language": "EN", "text": text} for text in asked.texts]}


def error_deepl(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """DeepL's error: a wrong key is 403, a quota that is used up 456."""
    return {401: 403, 402: 456}.get(refused.status, refused.status), {"message": refused.message}


# Triton


def read_triton(body: Json, name: str, streams: bool) -> Asked:
    """What a model is given. Raises ChatError."""
    text = talk.text_in(body, "text_input")
    settings = {**talk.object_in(body, "parameters"), **body}
    stop = settings.get("stop") or settings.get("stop_words")
    stops: Sequence[str] = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else ()
    return _asked(text, streams, 0, name, max_tokens=talk.limit_in(settings, "max_tokens"), stops=stops)


def whole_triton(asked: Asked, answer: Answer, _reply: Reply) -> dict[str, Any]:
    """The output."""
    return _output(asked, _text(answer))


def stream_triton(asked: Asked, answer: Answer, _reply: Reply) -> Iterator[bytes]:
    """The output, piece by piece."""
    return (_event(_output(asked, piece)) for piece in _pieces(answer))


def _output(asked: Asked, text: str) -> dict[str, Any]:
    name, _, version = asked.model.partition("/versions/")
    return {"model_name": name, "model_version": version or "1", "text_output": text}


def error_triton(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """Triton's error."""
    return refused.status, {"error": refused.message}


def failure_triton(refused: ChatError) -> bytes:
    """An error in the middle of a stream."""
    return _event(error_triton(refused)[1])
