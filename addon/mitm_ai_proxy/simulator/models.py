"""Kling's video models as a table: what each can do in text2video and image2video.

Source: Kling API documentation, capability map; models that were switched off in October 2026, by measurement.
"""

from __future__ import annotations

from typing import Final, NamedTuple

STD, PRO, UHD = "std", "pro", "4k"
NO_MODE: Final = ("",)
"""For a model that takes no mode."""
_FIVE_OR_TEN: Final = ("5", "10")


class VideoModel(NamedTuple):
    """A model: for each capability the modes that have it; an empty tuple if none has.

    `masks` and `camera_*` need a video of five seconds. `tail` is a last frame, `tail_only` one without a first frame;
    with `silent_tail`, a last frame excludes sound. `durations` are in seconds, as text.
    """

    text: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    tail_only: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    camera_text: tuple[str, ...] = ()
    camera_image: tuple[str, ...] = ()
    sound: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    silent_tail: bool = False
    durations: tuple[str, ...] = _FIVE_OR_TEN
    shots: bool = False
    elements: bool = False
    extends: bool = False
    retired: bool = True


_BOTH: Final = (STD, PRO)
VIDEO_MODELS: Final = {
    "kling-v1": VideoModel(text=_BOTH, image=_BOTH, tail=_BOTH, masks=_BOTH, camera_text=(STD,), extends=True),
    "kling-v1-5": VideoModel(
        image=_BOTH, tail=(PRO,), tail_only=(PRO,), masks=(PRO,), camera_image=(PRO,), extends=True
    ),
    "kling-v1-6": VideoModel(text=_BOTH, image=_BOTH, tail=(PRO,), tail_only=(PRO,), extends=True),
    "kling-v2-master": VideoModel(text=NO_MODE, image=NO_MODE),
    "kling-v2-1": VideoModel(image=_BOTH, tail=(PRO,)),
    "kling-v2-1-master": VideoModel(text=NO_MODE, image=NO_MODE),
    "kling-v2-5-turbo": VideoModel(text=_BOTH, image=_BOTH, tail=(PRO,), retired=False),
    "kling-v2-6": VideoModel(
        text=_BOTH, image=_BOTH, tail=(PRO,), sound=(PRO,), voices=(PRO,), silent_tail=True, retired=False
    ),
    "kling-v3": VideoModel(
        text=(STD, PRO, UHD),
        image=(STD, PRO, UHD),
        tail=(STD, PRO, UHD),
        sound=(STD, PRO, UHD),
        durations=tuple(map(str, range(3, 16))),
        shots=True,
        elements=True,
        retired=False,
    ),
}
DEFAULT_MODEL: Final = "kling-v1"

# Shorter side in pixels, by mode; three of the older models have one for all modes.
_HEIGHTS: Final = {STD: 720, PRO: 1080, UHD: 2160, "": 720}
_ONE_HEIGHT: Final = {"kling-v1": 720, "kling-v2-master": 720, "kling-v2-1-master": 1080}


def height(model: str, mode: str) -> int:
    """The shorter side of a model's videos, in pixels."""
    return _ONE_HEIGHT.get(model) or _HEIGHTS.get(mode, 720)


def size(model: str, mode: str, ratio: tuple[float, float]) -> tuple[int, int]:
    """Width and height of a video with this ratio, in pixels; both are even."""
    short = height(model, mode)
    wide, high = ratio
    long = min(round(short * max(wide, high) / min(wide, high) / 2) * 2, 4096)
    return (long, short) if wide >= high else (short, long)
