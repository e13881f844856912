"""Kling's price list as tables: units of its packs for videos, pictures and everything else, and what a unit is worth.

Source: Kling API documentation, pricing pages of September 2026; older models by their price for a clip.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from .models import PRO, STD, UHD

DOLLARS: Final = {"video": 0.14, "image": 0.0035}
"""US dollars for a unit by the type of its pack. Source: Kling's regular packs, 2026."""

_IMAGE_PATHS: Final = ("/v1/images/", "/v1/general/ai-multi-shot")
"""What is in the paths that take image units."""
_COLUMNS: Final = {STD: 0, PRO: 1, UHD: 2, "": 1}
"""The place of a mode in a row of prices; models that take no mode have the price of their only one twice."""


class Cost(NamedTuple):
    """What something costs, in units of a pack and in US dollars. Either is None where it is not known."""

    units: float | None
    dollars: float | None


SILENT, SOUND, EXTRA = "silent", "sound", "extra"
"""Why a second of a video costs more: sound, or EXTRA, which is a voice or a video as input."""
_CHEAPER: Final = {EXTRA: (EXTRA, SOUND, SILENT), SOUND: (SOUND, SILENT), SILENT: (SILENT,)}

_Row = tuple[float | None, ...]
_PER_SECOND: Final[dict[tuple[str, str], _Row]] = {
    ("kling-3.0-turbo", SILENT): (0.8, 1.0),
    ("kling-v3", SILENT): (0.6, 0.8, 3.0),
    ("kling-v3", SOUND): (0.9, 1.2, 3.0),
    ("kling-v3-omni", SILENT): (0.6, 0.8, 3.0),
    ("kling-v3-omni", SOUND): (0.8, 1.0, 3.0),
    ("kling-v3-omni", EXTRA): (0.9, 1.2, 3.0),
    ("kling-video-o1", SILENT): (0.6, 0.8),
    ("kling-video-o1", EXTRA): (0.9, 1.2),
    ("kling-v2-6", SILENT): (0.3, 0.5),
    ("kling-v2-6", SOUND): (None, 1.0),
    ("kling-v2-6", EXTRA): (None, 1.2),
    ("kling-v2-5-turbo", SILENT): (0.3, 0.5),
    ("avatar", SILENT): (0.4, 0.8),
}
"""Units in the columns std, pro, 4k. A row that a model lacks, or an empty cell, has the price of the cheaper row."""
_MOTION_PER_SECOND: Final[dict[str, _Row]] = {"kling-v3": (0.9, 1.2), "kling-v2-6": (0.5, 0.8)}
_PER_CLIP: Final[dict[str, _Row]] = {
    "kling-v1": (1.0, 3.5),
    "kling-v1-5": (2.0, 3.5),
    "kling-v1-6": (2.0, 3.5),
    "kling-v2-1": (2.0, 3.5),
    "kling-v2-master": (10.0, 10.0),
    "kling-v2-1-master": (10.0, 10.0),
}
"""Units for five seconds; ten cost twice as much."""
_ELEMENTS_PER_CLIP: Final[_Row] = (3.0, 5.0)

EXTENSION: Final = 3.5
"""Units of the dearest extension. The model that made the video decides, and a create does not name it."""
LIP_SYNC: Final = 0.5
"""Units for five seconds."""
CALLS: Final = {
    "/v1/audio/tts": 0.05,
    "/v1/videos/identify-face": 0.05,
    "/v1/videos/effects": 2.0,
    "/v1/videos/image-recognize": 0.1,
    "/v1/audio/text-to-audio": 0.25,
    "/v1/audio/video-to-audio": 0.25,
    "/v1/general/custom-voices": 0.05,
    "/v1/general/custom-elements": 0.0,
    "/v1/general/advanced-custom-elements": 0.0,
    "/v1/images/editing/expand": 8.0,
    "/v1/general/ai-multi-shot": 20.0,
    "/v1/images/kolors-virtual-try-on": 20.0,
}
"""Units by path where nothing else decides. Effects and try-on have several prices; these are guesses."""

_PICTURES: Final = {
    "kling-v1": (1.0, 1.0, 1.0),
    "kling-v1-5": (4.0, 8.0, 16.0),
    "kling-v2": (4.0, 8.0, 16.0),
    "kling-v2-new": (4.0, 8.0, 16.0),
    "kling-v2-1": (4.0, 8.0, 16.0),
}
"""Image units of the older models for a picture made of text, of one picture, of several."""


def video(model: str, mode: str, seconds: int, feature: str = SILENT) -> float:
    """Units of a video; `feature` is SILENT, SOUND or EXTRA. Raises KeyError for a model that the list lacks."""
    if model in _PER_CLIP:
        return _cell(_PER_CLIP[model], mode) * (seconds // 5)
    rows = (_PER_SECOND[model, row] for row in _CHEAPER[feature] if (model, row) in _PER_SECOND)
    return round(seconds * next(_cell(row, mode) for row in rows if _has(row, mode)), 4)


def motion(model: str, mode: str, seconds: int) -> float:
    """Units of a video that follows another one's motion."""
    return round(seconds * _cell(_MOTION_PER_SECOND[model], mode), 4)


def elements(mode: str, seconds: int) -> float:
    """Units of a video in which elements are edited."""
    return _cell(_ELEMENTS_PER_CLIP, mode) * (seconds // 5)


def lip_sync(seconds: int) -> float:
    """Units of a lip-sync."""
    return LIP_SYNC * (seconds // 5)


def picture(model: str, resolution: str, inputs: int) -> float:
    """Image units of a picture; `inputs` are the pictures that it is made of, 2 for any number above 1."""
    if model in _PICTURES:
        return _PICTURES[model][inputs]
    return 16.0 if resolution == "4k" else 8.0


def dollars(units: float, url: str) -> float:
    """What units are worth in US dollars at list price, for a request to this URL."""
    path = path_of(url)
    return round(units * DOLLARS["image" if any(part in path for part in _IMAGE_PATHS) else "video"], 6)


def path_of(url: str) -> str:
    """The path of a URL; "" where it has none that can be read."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _has(row: _Row, mode: str) -> bool:
    column = _COLUMNS[mode]
    return column < len(row) and row[column] is not None


def _cell(row: _Row, mode: str) -> float:
    found = row[_COLUMNS[mode]]
    assert found is not None
    return found
