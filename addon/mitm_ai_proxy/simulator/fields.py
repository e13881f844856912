"""Checks of the values of request fields, with Kling's error messages. Which field has which check: see rules.py."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import imagesize

from .kling_error import bad_parameter

Check = Callable[[str, Any], None]
"""Takes the name and the value of a field; raises KlingError for a wrong value."""

MAX_PICTURE: Final = 10 * 1024 * 1024
_REFUSED_VOICES: Final = frozenset({"oversea_female1", "commercial_lady_en_f-v1", "reader_en_m-v1"})
NO_BASE64: Final = "File is not in a valid base64 format"


def invalid(name: str, value: Any) -> Exception:
    """Kling's error for a value that is not allowed."""
    return bad_parameter(f"{name} value '{str(value)[:100]}' is invalid")


def text(at_most: int, at_least: int = 0) -> Check:
    """Text; its length in characters is in this range."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise invalid(name, value)
        if not at_least <= len(value) <= at_most:
            raise bad_parameter(f"{name}: size must be between {at_least} and {at_most}")

    return check


def one_of(*known: str) -> Check:
    """One of a few words; a whole number counts as its digits."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int) or str(value) not in known:
            raise invalid(name, value)

    return check


def number(at_least: float, at_most: float) -> Check:
    """A number in a range."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value <= at_most:
            raise invalid(name, value)

    return check


def flag(name: str, value: Any) -> None:
    """true or false."""
    if not isinstance(value, bool):
        raise invalid(name, value)


def link(name: str, value: Any) -> None:
    """An http or https URL."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise invalid(name, value)


def items(at_least: int, at_most: int, fields: Mapping[str, Check] | None = None, needed: str = "") -> Check:
    """A list of objects with these fields; its length is in this range. For `needed` see each()."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, list) or not at_least <= len(value) <= at_most:
            raise bad_parameter(f"{name}: size must be between {at_least} and {at_most}")
        for index, item in enumerate(value):
            each(f"{name}[{index}]", fields or {}, needed)(name, item)

    return check


def each(where: str, fields: Mapping[str, Check], needed: str = "") -> Check:
    """An object with these fields; others are ignored, as Kling does.

    `needed` names the required ones, separated by spaces; `a|b` requires exactly one of the two. `where` replaces the
    name in error messages.
    """

    def check(name: str, value: Any) -> None:
        place = where or name
        if not isinstance(value, dict):
            raise invalid(place, value)
        require(value, *needed.split(), where=f"{place}.")
        for key, field in fields.items():
            if value.get(key) is not None:
                field(f"{place}.{key}", value[key])

    return check


def require(body: Mapping[str, Any], *needed: str, where: str = "") -> None:
    """Raise KlingError if an object lacks a required field; `a|b` requires exactly one of the two."""
    for names in needed:
        choice = names.split("|")
        given = [name for name in choice if body.get(name) not in (None, "")]
        if not given:
            raise bad_parameter(f"{' or '.join(where + name for name in choice)} can not be null")
        if len(given) > 1:
            raise bad_parameter(f"Only one of {' and '.join(where + name for name in choice)} can be used")


def check(body: Mapping[str, Any], known: Mapping[str, Check], *needed: str) -> None:
    """Raise KlingError if a body lacks a required field (see require()) or a known field has a wrong value."""
    require(body, *needed)
    for name, field in known.items():
        if body.get(name) is not None:
            field(name, body[name])


def sound(_: str, value: Any) -> None:
    """A sound, by URL or in base64. M4A and AAC are refused: Kling does so, against its documentation."""
    data = content(value)
    if data is not None and (data[4:8] == b"ftyp" or data[:2] in (b"\xff\xf1", b"\xff\xf9")):
        raise bad_parameter("Audio format is invalid")


def voice(_: str, value: Any) -> None:
    """The id of a voice. Any is accepted, except some that Kling is known to refuse, and numbers."""
    text(200, 1)("voice_id", value)
    if value in _REFUSED_VOICES or value.isdecimal():
        raise bad_parameter("Voice id not found")


def whole(at_least: int, at_most: int) -> Check:
    """A whole number in a range."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
            raise invalid(name, value)

    return check


def content(value: Any) -> bytes | None:
    """The bytes of a file in base64; None for a URL, which is not fetched. Raises KlingError for anything else."""
    if not isinstance(value, str) or not value:
        raise bad_parameter(NO_BASE64)
    if value[:8].lower().startswith(("http://", "https://")):
        link("url", value)
        return None
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        raise bad_parameter(NO_BASE64) from None
    if not data:
        raise bad_parameter(NO_BASE64)
    return data


def picture_size(value: Any, at_most: int = MAX_PICTURE) -> tuple[int, int] | None:
    """Width and height of a JPEG or PNG in base64, in pixels; None for a URL. Raises KlingError for anything else."""
    data = content(value)
    if data is None:
        return None
    if len(data) > at_most:
        raise bad_parameter(f"Image size exceeds {at_most // 2**20}MB")
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        raise bad_parameter("Image format is invalid")
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except (ValueError, OSError, TypeError):
        width = height = -1
    if width <= 0 or height <= 0:
        raise bad_parameter("Image format is invalid")
    return int(width), int(height)


def picture(_: str, value: Any) -> None:
    """A JPEG or PNG of up to 10 MB, by URL or in base64."""
    picture_size(value)
