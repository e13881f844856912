"""Kling's video models as a table: capabilities, sizes and typical times.

Sources: Kling API documentation, capability matrix; models that Kling's servers served in October 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIVE_OR_TEN: Final = (5, 10)
THREE_TO_FIFTEEN: Final = tuple(range(3, 16))

STD, PRO, UHD = "std", "pro", "4k"


@dataclass(frozen=True, slots=True)
class Model:
    """One model of text2video and image2video. All models make videos of pictures, those with `text` of text alone too.

    `durations`: in seconds. `modes`: empty if the model takes no mode. `tail`: modes with a last frame. `sound`: modes
    with sound. `only`: optional fields that the model takes and most others do not. `extends`: its videos can be
    extended. `prompt`: characters at most. `typical`: seconds that a video of five seconds takes; published
    measurements for V1, V2 and V3 (100 to 320), an estimate for the others.
    """

    durations: tuple[int, ...] = FIVE_OR_TEN
    modes: tuple[str, ...] = (STD, PRO)
    text: bool = True
    tail: tuple[str, ...] = ()
    sound: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    extends: bool = False
    prompt: int = 2500
    typical: int = 200


MASKS: Final = frozenset({"static_mask", "dynamic_masks"})
SHOTS: Final = frozenset({"multi_shot", "shot_type", "multi_prompt", "element_list"})
CFG: Final = frozenset({"cfg_scale"})
CAMERA: Final = frozenset({"camera_control"})
VOICES: Final = frozenset({"voice_list"})
RESTRICTED: Final = MASKS | SHOTS | CFG | CAMERA | VOICES
"""Fields that only some models take."""

MODELS: Final[dict[str, Model]] = {
    "kling-v1": Model(tail=(STD, PRO), only=CFG | MASKS | CAMERA, extends=True, typical=320),
    "kling-v1-5": Model(text=False, tail=(PRO,), only=CFG | MASKS | CAMERA, extends=True, typical=320),
    "kling-v1-6": Model(tail=(PRO,), only=CFG, extends=True, typical=320),
    "kling-v2-master": Model(modes=(), typical=320),
    "kling-v2-1": Model(text=False, tail=(PRO,)),
    "kling-v2-1-master": Model(modes=(), typical=320),
    "kling-v2-5-turbo": Model(tail=(PRO,), typical=100),
    "kling-v2-6": Model(tail=(PRO,), sound=(PRO,), only=VOICES),
    "kling-v3": Model(
        durations=THREE_TO_FIFTEEN,
        modes=(STD, PRO, UHD),
        tail=(STD, PRO, UHD),
        sound=(STD, PRO, UHD),
        only=SHOTS | VOICES,
        typical=170,
    ),
}
"""By `model_name` of the legacy API."""

RETIRED: Final = frozenset("kling-v1 kling-v1-5 kling-v1-6 kling-v2-master kling-v2-1 kling-v2-1-master".split())
"""Models that Kling's own servers do not serve any more; gateways may."""

DEFAULT_MODEL: Final = "kling-v3"
"""The model for requests that name a Sora model or none: the only one in service that has all of Sora's lengths."""

SORA_MODES: Final = {"sora-2": STD, "sora-2-pro": PRO}
"""Mode by the beginning of a Sora model's name; the longest match counts."""
SORA_SECONDS: Final = "4"
SORA_SIZE: Final = "720x1280"
"""OpenAI's defaults, for requests that name a Sora model or none."""

V2_MODELS: Final = {
    "kling-v3": "kling-3.0",
    "kling-v3-turbo": "kling-3.0-turbo",
    "kling-v2-6": "kling-2.6",
    "kling-v2-5-turbo": "kling-2.5-turbo",
    "kling-v3-omni": "kling-3.0-omni",
    "kling-video-o1": "kling-o1",
}
"""Model names of v2 by those of the legacy API."""
RESOLUTIONS: Final = {STD: "720p", PRO: "1080p", UHD: "4k"}
"""The `resolution` of v2 by the mode of the legacy API."""

OMNI_MODELS: Final = ("kling-v3-omni", "kling-video-o1")
"""The models that edit a video; the first one is the default."""

SIZES: Final[dict[str, tuple[str, str]]] = {
    "1280x720": ("16:9", STD),
    "720x1280": ("9:16", STD),
    "1792x1024": ("16:9", PRO),
    "1024x1792": ("9:16", PRO),
    "1920x1080": ("16:9", PRO),
    "1080x1920": ("9:16", PRO),
    "3840x2160": ("16:9", UHD),
    "2160x3840": ("9:16", UHD),
    "720x720": ("1:1", STD),
    "960x960": ("1:1", STD),
    "1024x1024": ("1:1", PRO),
    "1080x1080": ("1:1", PRO),
    "2160x2160": ("1:1", UHD),
}
"""Aspect ratio and mode by OpenAI's `size`. 1792x1024 and 1024x1792 are 7:4, for which Kling's nearest is 16:9."""

OUTPUT_SIZES: Final = {
    ("16:9", STD): "1280x720",
    ("9:16", STD): "720x1280",
    ("1:1", STD): "720x720",
    ("16:9", PRO): "1920x1080",
    ("9:16", PRO): "1080x1920",
    ("1:1", PRO): "1080x1080",
    ("16:9", UHD): "3840x2160",
    ("9:16", UHD): "2160x3840",
    ("1:1", UHD): "2160x2160",
}


def creating_models(is_v2: bool) -> tuple[str, ...]:
    """The models that make a video, by their names in the legacy API."""
    return tuple(name for name in V2_MODELS if name not in OMNI_MODELS) if is_v2 else tuple(MODELS)


def rounded_up(durations: tuple[int, ...], seconds: int) -> int | None:
    """The shortest duration of at least `seconds`; None if there is none."""
    return min((duration for duration in durations if duration >= seconds), default=None)


def sora_mode(model: str) -> str | None:
    """The mode of a Sora model (`sora-2`, `sora-2-2025-10-06`); None for any other model."""
    for name in sorted(SORA_MODES, key=len, reverse=True):
        if model == name or model.startswith(f"{name}-"):
            return SORA_MODES[name]
    return None
