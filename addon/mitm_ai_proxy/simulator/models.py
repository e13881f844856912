"""What each of Kling's video models can do in text2video and image2video. How a request is checked is in rules.py.

Source: Kling API documentation, capability map; which models are switched off, as measured in October 2026.
"""

from __future__ import annotations

from typing import Final, NamedTuple

STD, PRO, UHD = "std", "pro", "4k"
NO_MODE: Final = ("",)
"""The model makes videos, and takes no mode."""
_FIVE_OR_TEN: Final = ("5", "10")


class VideoModel(NamedTuple):
    """A model by the modes of each thing it can do; an empty tuple means that it cannot.

    `masks` and `camera` hold for five seconds only, `tail_only` is a last frame without a first one, and with
    `silent_tail` a last frame and sound exclude one another. `durations` are in seconds, as the API writes them.
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

# Shorter side in pixels; three of the older models have one height whatever the mode.
_HEIGHTS: Final = {STD: 720, PRO: 1080, UHD: 2160, "": 720}
_ONE_HEIGHT: Final = {"kling-v1": 720, "kling-v2-master": 720, "kling-v2-1-master": 1080}


def height(model: str, mode: str) -> int:
    """The shorter side of a model's videos, in pixels."""
    return _ONE_HEIGHT.get(model) or _HEIGHTS.get(mode, 720)


def size(model: str, mode: str, ratio: tuple[float, float]) -> tuple[int, int]:
    """Width and height, even, of a video of this ratio."""
    short = height(model, mode)
    wide, high = ratio
    long = min(round(short * max(wide, high) / min(wide, high) / 2) * 2, 4096)
    return (long, short) if wide >= high else (short, long)
