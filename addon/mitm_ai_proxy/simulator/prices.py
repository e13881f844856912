"""Kling's prices, in units of its resource packs.

Source: Kling API documentation, pricing pages of September 2026; for older models, the price of a clip.
"""

from __future__ import annotations

from typing import Final

from .models import PRO, STD, UHD

# Units a second by model and mode: silent, with sound, with voices or with a video as input.
_PER_SECOND: Final[dict[tuple[str, str], tuple[float, float, float]]] = {
    ("kling-3.0-turbo", STD): (0.8, 0.8, 0.8),
    ("kling-3.0-turbo", PRO): (1.0, 1.0, 1.0),
    ("kling-v3", STD): (0.6, 0.9, 0.9),
    ("kling-v3", PRO): (0.8, 1.2, 1.2),
    ("kling-v3", UHD): (3.0, 3.0, 3.0),
    ("kling-v3-omni", STD): (0.6, 0.8, 0.9),
    ("kling-v3-omni", PRO): (0.8, 1.0, 1.2),
    ("kling-v3-omni", UHD): (3.0, 3.0, 3.0),
    ("kling-video-o1", STD): (0.6, 0.6, 0.9),
    ("kling-video-o1", PRO): (0.8, 0.8, 1.2),
    ("kling-v2-6", STD): (0.3, 0.3, 0.3),
    ("kling-v2-6", PRO): (0.5, 1.0, 1.2),
    ("kling-v2-5-turbo", STD): (0.3, 0.3, 0.3),
    ("kling-v2-5-turbo", PRO): (0.5, 0.5, 0.5),
    ("avatar", STD): (0.4, 0.4, 0.4),
    ("avatar", PRO): (0.8, 0.8, 0.8),
}
_MOTION_PER_SECOND: Final = {
    ("kling-v3", STD): 0.9,
    ("kling-v3", PRO): 1.2,
    ("kling-v2-6", STD): 0.5,
    ("kling-v2-6", PRO): 0.8,
}
# Units for a clip of five seconds; ten seconds cost twice as much.
_PER_CLIP: Final = {
    ("kling-v1", STD): 1.0,
    ("kling-v1", PRO): 3.5,
    ("kling-v1-5", STD): 2.0,
    ("kling-v1-5", PRO): 3.5,
    ("kling-v1-6", STD): 2.0,
    ("kling-v1-6", PRO): 3.5,
    ("kling-v2-1", STD): 2.0,
    ("kling-v2-1", PRO): 3.5,
    ("kling-v2-master", ""): 10.0,
    ("kling-v2-1-master", ""): 10.0,
}
FIXED: Final = {
    "/v1/audio/tts": 0.05,
    "/v1/videos/lip-sync": 0.5,
    "/v1/videos/advanced-lip-sync": 0.5,
    "/v1/videos/identify-face": 0.05,
    "/v1/videos/effects": 2.0,
    "/v1/videos/image-recognize": 0.1,
    "/v1/audio/text-to-audio": 0.25,
    "/v1/audio/video-to-audio": 0.25,
    "/v1/general/custom-voices": 0.05,
    "/v1/images/editing/expand": 8.0,
    "/v1/general/ai-multi-shot": 20.0,
    "/v1/images/kolors-virtual-try-on": 20.0,
}
"""Units by path, for each call or task. Kling's prices for effects and try-on vary; these are guesses."""

_IMAGES: Final = {"kling-v1": 1.0, "kling-v1-5": 4.0, "kling-v2": 4.0, "kling-v2-new": 4.0, "kling-v2-1": 4.0}


def video(model: str, mode: str, seconds: float, *, sound: bool = False, more: bool = False) -> float:
    """Units of a video. `more`: with voices, or with a video as input."""
    if (model, mode) in _PER_SECOND:
        silent, with_sound, with_more = _PER_SECOND[model, mode]
        return round(seconds * (with_more if more else with_sound if sound else silent), 4)
    return _PER_CLIP.get((model, mode), 2.0) * max(1, round(seconds / 5))


def elements(mode: str, seconds: float) -> float:
    """Units of a video whose elements are edited (multi-elements)."""
    return (5.0 if mode == PRO else 3.0) * max(1, round(seconds / 5))


def extension(model: str, mode: str) -> float:
    """Units for extending a video of this model."""
    return 3.5 if mode == PRO else 1.0 if model == "kling-v1" else 2.0


def motion(model: str, mode: str, seconds: float) -> float:
    """Units of a video made with motion-control."""
    return round(seconds * _MOTION_PER_SECOND[model, mode], 4)


def image(model: str, resolution: str, count: int, *, inputs: int = 0) -> float:
    """Image units of `count` pictures. `inputs`: 0, 1, or 2 for several pictures as input."""
    each = _IMAGES.get(model)
    if each is None:
        return (16.0 if resolution == "4k" else 8.0) * count
    return each * (2**inputs if each > 1 else 1) * count
