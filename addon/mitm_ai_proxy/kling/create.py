"""Translates a create of OpenAI's Videos API to the fields of Kling's legacy API.

The rules are in docs/kling.md. For the fields of Kling's newer API see api_versions.py.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..errors import Refusal, bad_body
from ..wire.multipart import File
from . import models, picture_fields, pictures
from .document import Document
from .fields import FIELDS, converted, json_text, text, whole
from .ids import VideoParameters
from .models import MODELS, SIZES, Model

OPENAI_FIELDS: Final = frozenset({"seconds", "size", "input_reference", "metadata"})
"""Fields that Kling's API lacks. A body with one of them is translated."""
ONLY_OPENAI_FIELDS: Final = OPENAI_FIELDS - {"metadata"}
"""Fields that no other API has. A client that sends one of them expects OpenAI's answers."""


class Created(NamedTuple):
    """Result of translate(): what the video's id is to hold, the prompt for the Video object, one note per change."""

    parameters: VideoParameters
    prompt: str | None
    notes: list[str]


def translate(document: Document, asked_model: str, model: str | None) -> Created:
    """Translate the members of a create to Kling's, in place.

    `asked_model` is the client's model, `model` what modelMapping makes of it (None: no pattern matched). Raises
    Refusal (400), naming the field, for what Kling cannot do.
    """
    notes: list[str] = []
    lift_metadata(document, notes)
    _set_pictures(document, _frames(document), notes)
    convert(document, notes)
    sora = not asked_model or models.sora_mode(asked_model) is not None
    name = model or (models.DEFAULT_MODEL if sora else asked_model)
    row = MODELS.get(name)
    _set_model(document, asked_model, name, notes)

    with_image = any(field in document for field in picture_fields.FRAMES)
    mode = _size(document, row, with_image, sora, asked_model, notes)
    duration = _seconds(document, name, row, sora, notes)
    prompt = _prompt(document, name, row, with_image)
    if row:
        _refuse_unsupported(document, name, row, mode, with_image, notes)

    size = document.pop("size") or ("" if with_image else _output_size(document, mode))
    return Created(VideoParameters(asked_model or name, duration or "5", size), prompt, notes)


def lift_metadata(document: Document, notes: list[str]) -> None:
    """Move the members of `metadata` to the top level. Raises Refusal (400) where one is there already."""
    metadata = json_text(document.pop("metadata"))
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise bad_body("metadata is not an object.", param="metadata")
    for name, value in metadata.items():
        if name in document or name in OPENAI_FIELDS or name in ("model", "model_name"):
            raise bad_body(f"metadata has {name}, which is a field of its own.", param=f"metadata.{name}")
        document.set(name, value)
    if metadata:
        notes.append("metadata became fields of Kling's")


def convert(document: Document, notes: list[str]) -> None:
    """Convert the values of Kling's fields to their types (see fields.py). Raises Refusal (400)."""
    for name in document.names:
        if name in FIELDS and not (FIELDS[name] is text and document.is_text(name)):
            value = document.value(name)
            new = converted(name, value)
            if new is not value and repr(new) != repr(value):
                document.set(name, new)
    _set_pictures(document, [name for name in document.names if name in picture_fields.NESTED], notes)


def refuse_frames(document: Document) -> None:
    """Refuse (400) a first or last picture for a video that is made of another one; remove fields without any."""
    for name in _frames(document):
        if picture_fields.translated({name: document.raw(name) or b""}).members.get(name, True):
            raise bad_body(f"{name} has no place in a video that is made of another video.", param=name)
        document.pop(name)


def _frames(document: Document) -> list[str]:
    return [name for name in document.names if picture_fields.is_frame(name)]


def _set_pictures(document: Document, names: list[str], notes: list[str]) -> None:
    translated = picture_fields.translated({name: document.raw(name) or b"" for name in names})
    for name, members in translated.members.items():
        document.replace(name, members)
    notes += translated.notes


def _set_model(document: Document, asked: str, name: str, notes: list[str]) -> None:
    if "model" in document:
        document.rename("model", "model_name")
    document.set("model_name", name)
    if asked != name:
        notes.append(f"model {asked or '(none)'} became {name}")


def picture_of(file: File, name: str) -> str:
    """A file part of a form as base64, as Kling takes pictures. Raises Refusal (400), naming the field `name`."""
    try:
        pictures.check(file.data)
    except ValueError as error:
        raise bad_body(f"{name} {error}.", param=name) from None
    return pictures.base64_of(file.data)


def _size(
    document: Document, row: Model | None, with_image: bool, sora: bool, asked_model: str, notes: list[str]
) -> str:
    """Set aspect_ratio and mode from `size` and the model. Returns the mode, which is std where none is set."""
    size = document.text("size")
    if size is not None and size not in SIZES:
        raise _unknown("size", size, SIZES)
    if size is None and sora and not with_image and "aspect_ratio" not in document:
        size = models.SORA_SIZE
        document.set("size", size)
    ratio, size_mode = SIZES[size] if size else (None, None)
    if with_image:
        if ratio or "aspect_ratio" in document:
            document.pop("aspect_ratio")
            notes.append("no aspect_ratio: the picture decides")
    elif ratio and "aspect_ratio" not in document:
        document.set("aspect_ratio", ratio)
        notes.append(f"size {size} became aspect_ratio {ratio}")
    own = document.text("mode")
    if own is not None:
        return own
    document.pop("mode")
    wanted = max(
        (mode for mode in (size_mode, models.sora_mode(asked_model) if sora else None) if mode),
        key=list(models.RESOLUTIONS).index,
        default=None,
    )
    if wanted is None or (row and not row.modes):
        return models.STD
    if row and wanted not in row.modes:
        raise bad_body(f"size {size} is more than this model makes.", param="size")
    document.set("mode", wanted)
    notes.append(f"mode {wanted}")
    return wanted


def _seconds(document: Document, name: str, row: Model | None, sora: bool, notes: list[str]) -> str:
    """Set duration from `seconds`. Returns it; "" where none is sent and the model's default applies."""
    seconds = document.pop("seconds")
    if document.value("duration") is None:
        document.pop("duration")
    else:
        if seconds is not None:
            raise bad_body("seconds and duration say the same; give one.", param="seconds")
        return str(document.value("duration"))
    if seconds is None:
        if not sora:
            return ""
        seconds = models.SORA_SECONDS
    asked = whole(seconds)
    if asked is None or not 0 < asked <= 600:
        raise bad_body("seconds is not a whole number of seconds.", param="seconds")
    length = models.rounded_up(row.durations, asked) if row else asked
    if length is None:
        known = ", ".join(str(duration) for duration in row.durations) if row else ""
        raise bad_body(f"{name} makes no video of {asked} seconds; it makes {known}.", param="seconds")
    document.set("duration", str(length))
    notes.append(f"seconds {asked} became duration {length}")
    return str(length)


def _prompt(document: Document, name: str, row: Model | None, with_image: bool) -> str | None:
    prompt = document.text("prompt")
    limit = row.prompt if row else 0
    if limit and prompt is not None and len(prompt) > limit:
        raise bad_body(f"The prompt has {len(prompt)} characters; {name} takes {limit}.", param="prompt")
    if not (prompt and prompt.strip()) and not with_image and not document.value("multi_shot"):
        raise bad_body("There is no prompt.", param="prompt")
    return prompt


def _refuse_unsupported(
    document: Document, name: str, row: Model, mode: str, with_image: bool, notes: list[str]
) -> None:
    if not with_image and not row.text:
        raise bad_body(f"{name} makes no video from text alone.", param="model")
    if "mode" in document and not row.modes:
        raise bad_body(f"{name} takes no mode.", param="mode")
    if "mode" in document and mode not in row.modes:
        raise _unknown("mode", mode, row.modes)
    duration = document.value("duration")
    if duration is not None and str(duration) not in map(str, row.durations):
        raise _unknown("duration", str(duration), row.durations)
    if "cfg_scale" in document and "cfg_scale" not in row.only:
        document.pop("cfg_scale")
        notes.append(f"no cfg_scale: {name} has none")
    for field in sorted(models.RESTRICTED - row.only):
        if field in document and document.value(field) not in (None, False):
            raise bad_body(f"{name} takes no {field}.", param=field)
    if document.value("image_tail") is not None and mode not in row.tail:
        raise bad_body(f"{name} takes no last picture in mode {mode}.", param="image_tail")
    if document.value("sound") == "on" and mode not in row.sound:
        raise bad_body(f"{name} makes no sound in mode {mode}.", param="sound")


def _output_size(document: Document, mode: str) -> str:
    ratio = document.value("aspect_ratio") or "16:9"
    return models.OUTPUT_SIZES.get((ratio, mode), "") if isinstance(ratio, str) else ""


def _unknown(field: str, value: str, known: Any) -> Refusal:
    return bad_body(f"{field} {value[:40]!r} is none of {', '.join(map(str, known))}.", param=field)
