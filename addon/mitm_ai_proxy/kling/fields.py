"""The types of Kling's request fields: a table of converters, for values that come as text from a form or as JSON.

Source: Kling API documentation, request parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ..errors import bad_body

Convert = Callable[[Any], Any]


def _number(value: Any) -> Any:
    if isinstance(value, str):
        if re.fullmatch(r"-?[0-9]{1,40}", value):
            # Ids have more digits than a float holds.
            return int(value)
        try:
            number = float(value)
        except ValueError:
            raise ValueError("is not a number") from None
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError("is not a number")
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    return value


def _integer(value: Any) -> Any:
    number = _number(value)
    if not isinstance(number, int):
        raise ValueError("is not a whole number")
    return number


def _boolean(value: Any) -> Any:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (True, "true", "1", "on", "yes"):
        return True
    if word in (False, "false", "0", "off", "no"):
        return False
    raise ValueError("is not true or false")


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return value


def _digits(value: Any) -> Any:
    """A number as text: Kling takes lengths so."""
    return str(_number(value)) if not isinstance(value, str) else value


def _on_off(value: Any) -> Any:
    return "on" if _boolean(value) else "off"


def _object(**fields: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("is not an object")
        return {name: fields[name](item) if name in fields else item for name, item in value.items()}

    return convert


def _list(item: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("is not a list")
        return [item(element) for element in value]

    return convert


_CAMERA_CONFIG: Final = _object(
    horizontal=_number, vertical=_number, pan=_number, tilt=_number, roll=_number, zoom=_number
)
_POINTS: Final = _list(_object(x=_number, y=_number))

FIELDS: Final[dict[str, Convert]] = {
    "model_name": _text,
    "prompt": _text,
    "negative_prompt": _text,
    "image": _text,
    "image_tail": _text,
    "static_mask": _text,
    "mode": _text,
    "aspect_ratio": _text,
    "callback_url": _text,
    "external_task_id": _text,
    "shot_type": _text,
    "duration": _digits,
    "sound": _on_off,
    "cfg_scale": _number,
    "multi_shot": _boolean,
    "multi_prompt": _list(_object(index=_integer, prompt=_text, duration=_digits)),
    "voice_list": _list(_object(voice_id=_text)),
    "element_list": _list(_object(element_id=_integer)),
    "image_list": _list(_object()),
    "video_list": _list(_object()),
    "camera_control": _object(type=_text, config=_CAMERA_CONFIG),
    "dynamic_masks": _list(_object(mask=_text, trajectories=_POINTS)),
    "watermark_info": _object(enabled=_boolean),
}


def converted(name: str, value: Any) -> Any:
    """The value of a field in Kling's type; unchanged if the field is unknown. Raises Refusal (400)."""
    convert = FIELDS.get(name)
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except ValueError as error:
        raise bad_body(f"{name} {error}.", param=name) from None
