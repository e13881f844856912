"""Tencent's Hunyuan: its OpenAI-compatible API with a key, and Tencent Cloud's own, whose requests are signed.

Sources: Higress ai-proxy plugin, hunyuan; Tencent Cloud API, Hunyuan 2023-09-01 and signature v3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..auth import tc3
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat import hunyuan_answers, hunyuan_upstream
from ..chat.dialects import HUNYUAN
from ..chat.json_values import Object
from ..chat.target import OPENAI_CHAT, Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Head, Memo, NeedsBody, Upstream
from ..wire import header_fields
from ..wire.header_fields import Changes
from ..wire.targets import Origin
from .api_groups import named
from .chats import CHAT
from .common_keys import CommonKeys, SimulatorAccount
from .compatible import Compatible
from .conversions import Conversion, Conversions, Converted, Json
from .openai_shapes import embeddings, texts_of
from .row import CompatibleKeys, Row

_HOME: Final = Origin.parse("hunyuan.tencentcloudapi.com")
_SERVICE: Final = "hunyuan"
_VERSION: Final = b"2023-09-01"
_CHATS: Final = b"ChatCompletions"
_ANSWERED_AT_ONCE: Final = frozenset({_CHATS, b"GetEmbedding", b"GetTokenCount"})
"""Actions that begin no job."""
_EMBEDDINGS: Final = "openai/v1/embeddings"
_JSON: Final = b"application/json"
_LENGTHS: Final = {"hunyuanAuthId": 36, "hunyuanAuthKey": 32}
_HUNYUAN: Final = Target(
    "Hunyuan",
    HUNYUAN,
    reasoning="own",
    reasoning_back="calls",
    options=hunyuan_upstream.OPTIONS,
    takes=frozenset({"image"}),
    counts_streams=False,
)


@dataclass(frozen=True, slots=True)
class HunyuanKeys(CompatibleKeys):
    """The keys of `type: hunyuan`."""

    hunyuan_auth_id: Secret = key(
        values.secret,
        Secret(""),
        secret=True,
        help="The SecretId for Tencent Cloud's own API, which is then used; `apiTokens` are for the compatible one.",
    )
    hunyuan_auth_key: Secret = key(values.secret, Secret(""), secret=True, help="The SecretKey that belongs to it.")

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """One without the other, and what has not the form of one."""
        given = {"hunyuanAuthId": self.hunyuan_auth_id.reveal(), "hunyuanAuthKey": self.hunyuan_auth_key.reveal()}
        if not any(given.values()):
            return
        for name, value in given.items():
            if not value:
                (other,) = given.keys() - {name}
                yield Problem(name, f"is missing: {other} signs nothing without it", (other,))
            elif len(value) != _LENGTHS[name] and not reading.offline:
                yield Problem(name, f"has {len(value)} characters, and {_LENGTHS[name]} are expected")


class Hunyuan(Compatible):
    """See its row."""

    keys: HunyuanKeys

    @property
    def _is_native(self) -> bool:
        return bool(self.keys.hunyuan_auth_id.reveal())

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Any, account: SimulatorAccount) -> Compatible:
        """With the account's API key, so that it is the compatible API."""
        assert isinstance(keys, HunyuanKeys)
        return super().simulated(replace(keys, hunyuan_auth_id=Secret(""), hunyuan_auth_key=Secret("")), clock, account)

    def own_origin(self) -> Origin:
        """Tencent Cloud's own API has another host."""
        return _HOME if self._is_native else super().own_origin()

    def own_capabilities(self) -> Mapping[str, str]:
        """The one path of Tencent Cloud's own API is that of all that it does."""
        return dict.fromkeys((CHAT, _EMBEDDINGS), f"{self._before}/") if self._is_native else super().own_capabilities()

    def target(self, api: str) -> Target:
        """With an id, Tencent Cloud's own chats."""
        return _HUNYUAN if api == CHAT and self._is_native else super().target(api)

    def conversions(self) -> Conversions:
        """The same for embeddings."""
        return {_EMBEDDINGS: _GET_EMBEDDING} if self._is_native else {}

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """A stream is asked for by a header field, too."""
        accept = b"text/event-stream" if is_stream else _JSON
        return upstream._replace(fields={**upstream.fields, **_action(_CHATS), b"accept": accept})

    # Signature

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """What is signed is held, also under `protocol: original`."""
        found = super().requestheaders(head)
        if not self._is_native or isinstance(found, NeedsBody) or head.method != "POST":
            return found
        action = header_fields.value(head.fields, b"x-tc-action").encode() or _CHATS
        fields = {**found.fields, **_action(action), b"content-type": _JSON}
        upstream = found._replace(fields=fields, is_repeatable=action in _ANSWERED_AT_ONCE)
        return NeedsBody(self.origin, lambda body: upstream._replace(body=body), found.notes)

    @property
    def has_credential(self) -> bool:
        """Whether a key or a pair of keys is configured."""
        return self._is_native or super().has_credential

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """The signature of a request, with its time; or the key."""
        if not self._is_native:
            return super().credential(upstream, token)
        now = int(self.clock())
        action = upstream.fields.get(b"x-tc-action") or _CHATS
        content_type = upstream.fields.get(b"content-type") or _JSON
        request = tc3.Request(
            upstream.origin.authority, content_type.decode(), upstream.body or b"", {"x-tc-action": action.decode()}
        )
        keys = tc3.Tc3Keys(self.keys.hunyuan_auth_id.reveal(), self.keys.hunyuan_auth_key)
        signed = tc3.sign(request, keys, _SERVICE, now)
        return signed._replace(fields={**signed.fields, b"x-tc-timestamp": str(now).encode()})


def _action(name: bytes) -> Changes:
    return {b"x-tc-action": name, b"x-tc-version": _VERSION}


# Embeddings


def _write_embeddings(root: Object) -> Converted:
    form = root.one_of("encoding_format", ("float", "base64"))
    memo = {"model": root.text("model") or "", "base64": form == "base64"}
    names = [name for name in root.members if name not in ("model", "input", "encoding_format")]
    notes = tuple(f"{name[:60]} left out: Hunyuan has no such member" for name in names)
    return Converted({"InputList": texts_of(root)}, memo, notes)


def _read_embeddings(answer: Json, memo: Memo) -> Json:
    response = answer["Response"]
    found = [(each["Index"], each["Embedding"]) for each in response["Data"]]
    return embeddings(found, memo, (response.get("Usage") or {}).get("TotalTokens") or 0)


_GET_EMBEDDING: Final = Conversion(
    _write_embeddings, _read_embeddings, {**_action(b"GetEmbedding"), b"accept": _JSON}, fault=hunyuan_answers.fault_of
)


ROW: Final = Row(
    "hunyuan",
    "api.hunyuan.cloud.tencent.com",
    "/v1",
    named("chat embeddings"),
    "Tencent's Hunyuan, by its OpenAI-compatible API; with `hunyuanAuthId` and `hunyuanAuthKey` by Tencent Cloud's"
    " own, whose requests are signed.",
    site="https://cloud.tencent.com/document/product/1729/111007",
    chat=OPENAI_CHAT._replace(reasoning="none"),
    key_instead=("hunyuanAuthId", "hunyuanAuthKey"),
    keys=HunyuanKeys,
    kind=Hunyuan,
)
