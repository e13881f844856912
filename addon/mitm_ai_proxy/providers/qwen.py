"""Qwen, at Alibaba Cloud's DashScope: both of its modes, its web search, files as context, thoughts that are kept.

Sources: Higress ai-proxy plugin, qwen; DashScope's API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..chat import dashscope_upstream
from ..chat.body_edits import BodyEdit, Notes
from ..chat.dialects import DASHSCOPE
from ..chat.target import OPENAI_CHAT, Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Upstream
from ..wire import json_edit
from ..wire.json_tree import Value
from ..wire.targets import Origin
from . import dashscope_apis
from .api_groups import GROUPS, named, native_paths
from .base import Clock
from .chats import CHAT, MESSAGES
from .common_keys import CommonKeys, SimulatorAccount
from .compatible import Compatible
from .conversions import Conversions
from .row import CompatibleKeys, Row

_SERVICES: Final = "/api/v1/services"
_TEXT: Final = f"{_SERVICES}/aigc/text-generation/generation"
_MEDIA: Final = f"{_SERVICES}/aigc/multimodal-generation/generation"
_EMBEDDINGS, _RERANK, _PICTURES = GROUPS["embeddings"], GROUPS["reranks"], GROUPS["generations"]
_MODELS: Final = GROUPS["models"]
_NATIVE_PATHS: Final = {
    CHAT: _TEXT,
    _EMBEDDINGS: f"{_SERVICES}/embeddings/text-embedding/text-embedding",
    _RERANK: f"{_SERVICES}/rerank/text-rerank/text-rerank",
    _PICTURES: _MEDIA,
}
NATIVE: Final = (
    *native_paths(chat=_TEXT),
    *native_paths(chat=_MEDIA),
    *native_paths(chat="/api/v1/apps"),
    *native_paths(chat="/compatible-mode/v1/chat/completions"),
    *native_paths(embeddings=_NATIVE_PATHS[_EMBEDDINGS]),
    *native_paths(embeddings="/compatible-mode/v1/embeddings", responses="/compatible-mode/v1/responses"),
    *native_paths(reranks=_NATIVE_PATHS[_RERANK]),
    *native_paths(reranks="/compatible-api/v1/reranks", conversations="/compatible-mode/v1/conversations"),
    *native_paths(messages="/apps/anthropic/v1/messages"),
)
"""Paths of both modes, and the APIs that they stand for."""
_DASHSCOPE: Final = Target(
    "DashScope",
    DASHSCOPE,
    reasoning="enable",
    reasoning_back="always",
    cache="control",
    options=dashscope_upstream.OPTIONS,
    takes=frozenset({"image", "audio"}),
    counts_streams=False,
)
_STREAM_FIELDS: Final = {b"accept": b"text/event-stream", b"x-dashscope-sse": b"enable"}
_KEEP_THOUGHTS: Final = ("qwen3.6-max-preview", "kimi-k2.6")
_KEEP_THOUGHTS_PREFIX: Final = "qwen3.6-plus"
"""Models that know `preserve_thinking`."""
_READS_FILES: Final = "qwen-long"
_INSTRUCTIONS: Final = ("system", "developer")
_FIRST: Final = "You are a helpful assistant."
"""What has to stand before the files, where the client has no instructions."""


def _file_id(value: Any) -> str:
    found = values.text(value)
    if not all(character.isascii() and (character.isalnum() or character in "-_") for character in found):
        raise ValueError("expected ids of files, such as file-fe-xxx")
    return found


def _file_ids(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(found for item in items if (found := _file_id(item)))


@dataclass(frozen=True, slots=True)
class QwenKeys(CompatibleKeys):
    """The keys of `type: qwen`."""

    qwen_domain: Origin | None = key(
        values.origin, help="The host of another region or workspace, as in `providerDomain`."
    )
    qwen_enable_search: bool = key(
        values.flag,
        False,
        help="Whether chats may search the web (`enable_search`), unless the client decides it.",
    )
    qwen_enable_compatible: bool = key(
        values.flag, True, help="`false`: chats, embeddings and reranking by DashScope's own API, translated."
    )
    qwen_file_ids: tuple[str, ...] = key(
        _file_ids,
        (),
        help="Ids of files at DashScope that are the context of chats with `qwen-long`; not beside `context`.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Two contexts, or one without an effect."""
        if self.qwen_file_ids and self.context:
            yield Problem("qwenFileIds", "stand beside context; keep one of the two", ("context",))
        if self.qwen_file_ids and self.protocol == "original":
            yield Problem("qwenFileIds", "have no effect with protocol: original", ("protocol",))


class Qwen(Compatible):
    """See its row."""

    keys: QwenKeys

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: SimulatorAccount) -> Compatible:
        """With the account's API key, in the compatible mode."""
        assert isinstance(keys, QwenKeys)
        return super().simulated(replace(keys, qwen_enable_compatible=True), clock, account)

    @property
    def _is_native(self) -> bool:
        return not self.keys.qwen_enable_compatible

    def own_capabilities(self) -> Mapping[str, str]:
        """Those of the row; without the compatible mode, what DashScope's own API has."""
        found = {**super().own_capabilities(), _PICTURES: self._before + _MEDIA}
        if self._is_native:
            own = {name: self._before + path for name, path in _NATIVE_PATHS.items()}
            found = {name: found[name] for name in (MESSAGES, _MODELS)} | own
        if self.keys.qwen_file_ids:
            # Only chats in the other forms can be given files.
            del found[MESSAGES]
        return found

    def target(self, api: str) -> Target:
        """Without the compatible mode, DashScope's own chats."""
        return _DASHSCOPE if api == CHAT and self._is_native else super().target(api)

    def conversions(self) -> Conversions:
        """The same for other APIs."""
        pictures = {_PICTURES: dashscope_apis.PICTURES}
        if not self._is_native:
            return pictures
        return {**pictures, _EMBEDDINGS: dashscope_apis.EMBEDDINGS, _RERANK: dashscope_apis.RERANK}

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """The API for media has a path of its own, and streams are asked for by a header field."""
        if dashscope_upstream.has_media(model, upstream.body or b""):
            upstream = upstream._replace(target=upstream.target.replace(_TEXT, _MEDIA, 1))
        streams = _STREAM_FIELDS if is_stream else {b"accept": b"application/json", b"x-dashscope-sse": None}
        return upstream._replace(fields={**upstream.fields, **streams})

    def model_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """The search, the files and what depends on the model, in a chat as it is sent."""
        if api != CHAT:
            return ()
        search = (BodyEdit(self._with_search),) if self.keys.qwen_enable_search else ()
        files = (BodyEdit(self._with_files),) if self.keys.qwen_file_ids else ()
        return (*search, *files, BodyEdit(self._with_thoughts_kept, (b'"reasoning_content"',)))

    def _setting(self, body: Value, name: str, value: bytes) -> bool:
        """Put a setting where it has its place; not over what is said already."""
        path = ("parameters", name) if self._is_native else (name,)
        return body.put_path(path, value, overwrite=False)

    def _messages(self, body: Value) -> list[Value]:
        holder = body.get("input") if self._is_native else body
        messages = holder.get("messages") if holder else None
        return messages.items() if messages else []

    def _with_search(self, body: Value) -> Notes:
        """The model may search the web. A client that says something of it has its will."""
        done = self._setting(body, "enable_search", b"true")
        return ("enable_search added, by qwenEnableSearch",) if done else ()

    def _with_files(self, body: Value) -> Notes:
        """The files are a system message behind the first ones, of which there has to be one."""
        messages = self._messages(body)
        if _model(body) != _READS_FILES or not messages:
            return ()
        after = next((message for message in messages if _role(message) not in _INSTRUCTIONS), None)
        ids = ",".join(f"fileid://{id}" for id in self.keys.qwen_file_ids)
        added = [_system(ids)] if after is not messages[0] else [_system(_FIRST), _system(ids)]
        holder = body.get("input") if self._is_native else body
        listed = holder.get("messages") if holder else None
        assert listed is not None
        for text in added:
            if after is None:
                listed.append(text)
            else:
                listed.put_before(after, text)
        return (f"files as context, by qwenFileIds: {len(self.keys.qwen_file_ids)}",)

    def _with_thoughts_kept(self, body: Value) -> Notes:
        """A conversation that gives thoughts back wants them to count, where the model can do that."""
        model = _model(body)
        if not (model in _KEEP_THOUGHTS or model.startswith(_KEEP_THOUGHTS_PREFIX)):
            return ()
        thoughts = [message.get("reasoning_content") for message in self._messages(body)]
        if not any(one is not None and one.string() for one in thoughts):
            return ()
        done = self._setting(body, "preserve_thinking", b"true")
        return ("thoughts of earlier turns are kept: preserve_thinking",) if done else ()


def _model(body: Value) -> str:
    found = body.get("model")
    return (found.string() if found is not None else None) or ""


def _role(message: Value) -> str:
    found = message.get("role")
    return (found.string() if found is not None else None) or ""


def _system(text: str) -> bytes:
    return b'{"role":"system","content":%b}' % json_edit.string(text)


ROW: Final = Row(
    "qwen",
    "dashscope.aliyuncs.com",
    "/compatible-mode/v1",
    named("chat completions embeddings responses models files batches conversations"),
    "Alibaba Cloud's DashScope (Qwen), in its compatible mode; with `qwenEnableCompatible: false` by its own API."
    " Outside China: `qwenDomain: dashscope-intl.aliyuncs.com`.",
    site="https://help.aliyun.com/zh/model-studio/",
    variable="DASHSCOPE_API_KEY",
    elsewhere={"qwen/v1/rerank": "/compatible-api/v1/reranks", MESSAGES: "/apps/anthropic/v1/messages"},
    own=r"/api/v1/(files|models)(/|$)",
    native=NATIVE,
    domain="qwenDomain",
    chat=OPENAI_CHAT._replace(
        reasoning="enable",
        reasoning_back="always",
        cache="control",
        options=frozenset({"top_k", "seed", "presence_penalty"}),
    ),
    keys=QwenKeys,
    kind=Qwen,
)
