"""MiniMax: the API of today, and the oldest one, which the plugin calls `pro`; embeddings, pictures and speech.

Sources: Higress ai-proxy plugin, minimax; MiniMax's API reference (speech: Text to Speech (T2A) HTTP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from ..chat.dialects import MINIMAX_PRO
from ..chat.json_values import Object, Raw
from ..chat.target import OPENAI_CHAT, Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Memo
from .api_groups import named, native_paths
from .chats import CHAT, MESSAGES
from .common_keys import CommonKeys, SimulatorAccount
from .compatible import Compatible
from .conversions import Conversion, Converted, Json, Sound
from .openai_shapes import embeddings, texts_of
from .row import CompatibleKeys, Row

_V2: Final = "v2"
_PRO: Final = "pro"
_PRO_PATH: Final = "/v1/text/chatcompletion_pro"
_SIZE: Final = re.compile(r"([0-9]{3,4})x([0-9]{3,4})")
_TARGET: Final = Target(
    "MiniMax", MINIMAX_PRO, reasoning="none", takes=frozenset(), counts_streams=False, options=frozenset()
)


@dataclass(frozen=True, slots=True)
class MinimaxKeys(CompatibleKeys):
    """The keys of `type: minimax`."""

    minimax_api_type: str = key(
        values.one_of(_V2, _PRO),
        _V2,
        help="`pro`: chats by MiniMax's oldest API, which the models `abab...` have; needs `minimaxGroupId`.",
    )
    minimax_group_id: str = key(
        values.text, "", help="The group, a parameter of the URLs of `pro`, of embeddings and of speech."
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """A group that is missing."""
        if self.minimax_api_type == _PRO and not self.minimax_group_id and self.protocol != "original":
            yield Problem("minimaxGroupId", "is missing: minimaxApiType pro needs it", ("minimaxApiType",))


class Minimax(Compatible):
    """See its row."""

    keys: MinimaxKeys

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Any, account: SimulatorAccount) -> Compatible:
        """With the account's API key, by the API of today."""
        assert isinstance(keys, MinimaxKeys)
        return super().simulated(replace(keys, minimax_api_type=_V2), clock, account)

    def own_capabilities(self) -> Mapping[str, str]:
        """Those of the row, with the group where it belongs."""
        found = dict(super().own_capabilities())
        group = f"?GroupId={quote(self.keys.minimax_group_id, safe='')}" if self.keys.minimax_group_id else ""
        for name in (_EMBEDDINGS, _SPEECH):
            found[name] += group
        return {**found, CHAT: f"{self._before}{_PRO_PATH}{group}"} if self._is_pro else found

    @property
    def _is_pro(self) -> bool:
        return self.keys.minimax_api_type == _PRO

    def target(self, api: str) -> Target:
        """With `pro`, chats of its own."""
        return _TARGET if api == CHAT and self._is_pro else super().target(api)


_EMBEDDINGS: Final = "openai/v1/embeddings"
_PICTURES: Final = "openai/v1/imagegeneration"
_SPEECH: Final = "openai/v1/audiospeech"
_SOUNDS: Final = {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "pcm": "audio/pcm"}
"""The formats that both have."""
_PCM_RATE: Final = 24_000
"""That of OpenAI's `pcm`, which has no head that would tell it; MiniMax's own is another."""


def _left_out(root: Object, *read: str) -> tuple[str, ...]:
    return tuple(f"{name[:60]} left out: MiniMax has no such member" for name in root.members if name not in read)


def _write_embeddings(root: Object) -> Converted:
    form = root.one_of("encoding_format", ("float", "base64"))
    document: Json = {"model": root.need("model"), "texts": texts_of(root), "type": root.text("type") or "db"}
    memo = {"model": root.need("model"), "base64": form == "base64"}
    return Converted(document, memo, _left_out(root, "model", "input", "encoding_format", "type"))


def _read_embeddings(answer: Json, memo: Memo) -> Json:
    return embeddings([*enumerate(answer["vectors"])], memo, answer.get("total_tokens") or 0)


def _write_picture(root: Object) -> Converted:
    document: Json = {"model": root.need("model"), "prompt": root.need("prompt")}
    form = root.one_of("response_format", ("url", "b64_json"))
    document["response_format"] = "base64" if form == "b64_json" else "url"
    if (count := root.whole("n", 1)) is not None:
        document["n"] = count
    if (size := root.text("size")) and size != "auto":
        found = _SIZE.fullmatch(size)
        if not found:
            raise root.wrong("size", "is no size such as 1024x1024")
        document["width"], document["height"] = int(found[1]), int(found[2])
    for name in ("aspect_ratio", "seed", "prompt_optimizer", "subject_reference", "aigc_watermark"):
        if (value := root.raw(name)) is not None:
            document[name] = value
    return Converted(document, {}, _left_out(root, "n", "size", *document))


def _read_picture(answer: Json, memo: Memo) -> Json:
    data = answer["data"]
    links = [{"url": url} for url in data.get("image_urls") or ()]
    found = links or [{"b64_json": each} for each in data.get("image_base64") or ()]
    if not found:
        raise ValueError("no picture")
    return {"created": memo["created"], "data": found}


def _write_speech(root: Object) -> Converted:
    form = root.one_of("response_format", _SOUNDS) or "mp3"
    root.one_of("stream_format", ("audio",))
    voice = root.object("voice_setting")
    sound = root.object("audio_setting")
    voices: Json = {**(voice.members if voice else {}), "voice_id": root.need("voice")}
    if (speed := root.number("speed")) is not None:
        voices["speed"] = Raw(speed)
    sounds: Json = {**({"sample_rate": _PCM_RATE} if form == "pcm" else {}), **(sound.members if sound else {})}
    document: Json = {
        "model": root.need("model"),
        "text": root.need("input"),
        "stream": False,
        "output_format": "hex",
        "voice_setting": voices,
        "audio_setting": {**sounds, "format": form},
    }
    for name in ("language_boost", "pronunciation_dict", "timbre_weights", "voice_modify", "aigc_watermark"):
        if (value := root.raw(name)) is not None:
            document[name] = value
    read = ("input", "voice", "speed", "response_format", "stream_format", *document)
    return Converted(document, {"form": form}, _left_out(root, *read))


def _read_speech(answer: Json, memo: Memo) -> Sound:
    data = bytes.fromhex(answer["data"]["audio"])
    if not data:
        raise ValueError("no sound")
    return Sound(data, _SOUNDS[memo["form"]])


CONVERSIONS: Final = {
    _EMBEDDINGS: Conversion(_write_embeddings, _read_embeddings),
    _PICTURES: Conversion(_write_picture, _read_picture),
    _SPEECH: Conversion(_write_speech, _read_speech),
}


ROW: Final = Row(
    "minimax",
    "api.minimaxi.com",
    "/v1",
    named("chat responses embeddings models"),
    "MiniMax. A key of outside China needs `baseUrl: https://api.minimax.io/v1`.",
    site="https://platform.minimaxi.com/docs",
    elsewhere={
        MESSAGES: "/anthropic/v1/messages",
        "openai/v1/imagegeneration": "/v1/image_generation",
        "openai/v1/audiospeech": "/v1/t2a_v2",
    },
    own=r"/files/(upload|list|retrieve|retrieve_content|delete)$|/anthropic/v1/models(/|$)",
    native=(
        *native_paths(chat="/v1/text/chatcompletion"),
        *native_paths(chat="/v1/chat/completions", messages="/anthropic/v1/messages", responses="/v1/responses"),
    ),
    chat=OPENAI_CHAT._replace(reasoning="none", reasoning_back="always", mends="errors"),
    conversions=CONVERSIONS,
    keys=MinimaxKeys,
    kind=Minimax,
)
