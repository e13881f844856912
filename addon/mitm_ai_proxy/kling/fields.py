"""The types of Kling's request fields: a table of converters, for values that come as text from a form or as JSON.

Source: Kling API documentation, request parameters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from ..errors import bad_body
from ..wire import json_edit

Convert = Callable[[Any], Any]

_WHOLE = re.compile(r"(-?[0-9]{1,40})(?:\.0+)?")
_INDEX = re.compile(r"[0-9]{1,4}")
_EXACT: Final = 2**53
"""From here on, a float does not hold every whole number."""


def whole(value: Any) -> int | None:
    """A whole number, which may be text and may be written 4.0; None for anything else."""
    if isinstance(value, str):
        digits = _WHOLE.fullmatch(value.strip())
        # Ids have more digits than a float holds.
        return int(digits[1]) if digits else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def json_text(value: Any) -> Any:
    """The object or list that a text holds as JSON, if that has few enough values; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    if not json_edit.is_simple(value.encode("utf-8", "surrogatepass")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def indexed(value: Any) -> Any:
    """The list that an object with indexes as keys stands for, as forms send it; anything else as it is."""
    if not isinstance(value, dict) or not value or not all(_INDEX.fullmatch(key) for key in value):
        return value
    places = {int(key): key for key in value}
    return [value[places[place]] for place in sorted(places)] if len(places) == len(value) else value


def _number(value: Any) -> Any:
    if isinstance(value, str):
        number = whole(value)
        if number is not None:
            return number
        try:
            value = float(value)
        except ValueError:
            raise ValueError("is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not a number")
    return value


def _share(value: Any) -> Any:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("is not a number from 0 to 1")
    return number


def _integer(value: Any) -> Any:
    number = whole(_number(value))
    if number is None:
        raise ValueError("is not a whole number")
    return number


def _boolean(value: Any) -> Any:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (True, "true", "1", "on", "yes"):
        return True
    if word in (False, "false", "0", "off", "no"):
        return False
    raise ValueError("is not true or false")


def text(value: Any) -> Any:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return value


def _digits(value: Any) -> Any:
    """A number as text: Kling takes lengths so."""
    number = whole(value)
    if number is None and isinstance(value, str):
        return value
    return str(_number(value) if number is None else number)


def _on_off(value: Any) -> Any:
    return "on" if _boolean(value) else "off"


def _object(**fields: Convert) -> Convert:
    def convert(value: Any) -> Any:
        value = json_text(value)
        if not isinstance(value, dict):
            raise ValueError("is not an object")
        return {name: fields[name](item) if name in fields else item for name, item in value.items()}

    return convert


def _list(item: Convert) -> Convert:
    def convert(value: Any) -> Any:
        value = indexed(json_text(value))
        if not isinstance(value, list):
            raise ValueError("is not a list")
        return [item(element) for element in value]

    return convert


_CAMERA_CONFIG: Final = _object(
    horizontal=_number, vertical=_number, pan=_number, tilt=_number, roll=_number, zoom=_number
)
_POINTS: Final = _list(_object(x=_number, y=_number))

FIELDS: Final[dict[str, Convert]] = {
    "model_name": text,
    "prompt": text,
    "negative_prompt": text,
    "image": text,
    "image_tail": text,
    "static_mask": text,
    "mode": text,
    "aspect_ratio": text,
    "callback_url": text,
    "external_task_id": text,
    "shot_type": text,
    "duration": _digits,
    "sound": _on_off,
    "cfg_scale": _share,
    "multi_shot": _boolean,
    "multi_prompt": _list(_object(index=_integer, prompt=text, duration=_digits)),
    "voice_list": _list(_object(voice_id=text)),
    "element_list": _list(_object(element_id=_integer)),
    "image_list": _list(_object()),
    "video_list": _list(_object()),
    "camera_control": _object(type=text, config=_CAMERA_CONFIG),
    "dynamic_masks": _list(_object(mask=text, trajectories=_POINTS)),
    "watermark_info": _object(enabled=_boolean),
}
LISTS: Final = frozenset(name for name in FIELDS if name.endswith("_list")) | {"multi_prompt", "dynamic_masks"}
OBJECTS: Final = frozenset({"camera_control", "watermark_info"})


def converted(name: str, value: Any) -> Any:
    """The value of a field in Kling's type; unchanged if the field is unknown. Raises Refusal (400)."""
    convert = FIELDS.get(name)
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except ValueError as error:
        raise bad_body(f"{name} {error}.", param=name) from None
