"""What a create will cost at most, by its address and body, in both designs of Kling's API.

Source: Kling API documentation. A field that is in no table is ignored, as Kling does.
"""

from __future__ import annotations

from typing import Final

from . import new_design_creates, prices
from .checks import Body, NotPriced
from .new_design_creates import NEW_DESIGN
from .other_creates import OTHERS
from .video_creates import VIDEOS

LEGACY: Final = {**VIDEOS, **OTHERS}
"""Units at most by path, for the creates of the legacy API."""
FREE: Final = frozenset(
    """
    /account/billing/balance /account/billing/package
    /v1/general/delete-advanced-elements /v1/general/delete-elements /v1/general/delete-voices
    /v1/videos/multi-elements/add-selection /v1/videos/multi-elements/delete-selection
    /v1/videos/multi-elements/clear-selection /v1/videos/multi-elements/preview-selection
    """.split()
)
"""Paths of POST requests that cost nothing."""
_IMAGES: Final = "/v1/images/generations"
"""OpenAI has this path too."""
_TASKS: Final = "/tasks"
_TASKS_MEMBERS: Final = frozenset("start_time end_time cursor limit filters".split())
"""What a list of tasks can be asked with. A body with anything else is another API's."""
_KNOWN: Final = frozenset({*LEGACY, *FREE, _TASKS})
_MOST_SEGMENTS: Final = max(path.count("/") for path in _KNOWN)


def expected(url: str, body: Body) -> float | None:
    """The units that a POST will cost by the price list; None where that is not known.

    Where the length of a source decides and is not told (motion control, an avatar, lip-sync, a video to be edited or
    extended), it is what the longest one costs. Not known is the price of what is not Kling's, and of a body that Kling
    would refuse, which costs nothing, or that has something new, such as a model, which may cost anything.
    """
    try:
        return _expected(url, body)
    except NotPriced:
        return None


def _expected(url: str, body: Body) -> float | None:
    path = prices.path_of(url)
    segments = ["", *path.split("/")]
    kind, model = segments[-2:]
    if kind in NEW_DESIGN:
        return new_design_creates.units(kind, model, body)
    # The base path of a gateway may stand in front.
    endings = (f"/{'/'.join(segments[-count:])}" for count in range(_MOST_SEGMENTS, 0, -1))
    ending = next((ending for ending in endings if ending in _KNOWN), "")
    if ending in FREE:
        return 0.0
    if ending == _TASKS:
        return 0.0 if body.keys() <= _TASKS_MEMBERS else None
    if ending == _IMAGES and "model_name" not in body and "kling" not in url.partition("?")[0].lower():
        return None
    return LEGACY[ending](body) if ending else None
