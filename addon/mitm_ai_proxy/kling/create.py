"""Translates a create of OpenAI's Videos API to the fields of Kling's legacy API.

The rules are in docs/kling.md. For the fields of Kling's newer API see api_versions.py.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..errors import Refusal, bad_body
from ..wire.multipart import File
from . import models, pictures
from .document import Document
from .fields import FIELDS, converted
from .ids import VideoParameters
from .models import MODELS, SIZES, Model

OPENAI_FIELDS: Final = frozenset({"seconds", "size", "input_reference", "metadata"})
"""Fields that only OpenAI's API has. A body with one of them is OpenAI's."""

_PICTURES: Final = ("image", "image_tail")


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
    convert(document)
    sora = not asked_model or models.sora_mode(asked_model) is not None
    name = model or (models.DEFAULT_MODEL if sora else asked_model)
    row = MODELS.get(name)
    _set_model(document, asked_model, name, notes)

    reference = _reference(document, notes)
    with_image = reference or any(field in document for field in _PICTURES)
    mode = _size(document, row, with_image, sora, asked_model, notes)
    duration = _seconds(document, name, row, sora, notes)
    prompt = _prompt(document, name, row, with_image)
    if row:
        _refuse_unsupported(document, name, row, mode, with_image, notes)

    size = document.pop("size") or ("" if with_image else _output_size(document, mode))
    return Created(VideoParameters(asked_model or name, duration or "5", size), prompt, notes)


def lift_metadata(document: Document, notes: list[str]) -> None:
    """Move the members of `metadata` to the top level. Raises Refusal (400) where one is there already."""
    metadata = document.pop("metadata")
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


def convert(document: Document) -> None:
    """Convert the values of Kling's fields to their types (see fields.py). Raises Refusal (400)."""
    for name in document.names:
        if name in FIELDS:
            value = document.value(name)
            new = converted(name, value)
            if repr(new) != repr(value):
                document.set(name, new)


def _set_model(document: Document, asked: str, name: str, notes: list[str]) -> None:
    if "model" in document:
        document.rename("model", "model_name")
    document.set("model_name", name)
    if asked != name:
        notes.append(f"model {asked or '(none)'} became {name}")


def _reference(document: Document, notes: list[str]) -> bool:
    """Move `input_reference` to `image`. Returns whether there was one; raises Refusal (400) for a bad one."""
    reference = document.pop("input_reference")
    if reference is None:
        return False
    if "image" in document:
        raise bad_body("input_reference and image are two first pictures; give one.", param="input_reference")
    if isinstance(reference, dict):
        reference = _picture_reference(reference)
    if isinstance(reference, list):
        raise bad_body("input_reference is one picture, not several.", param="input_reference")
    if not isinstance(reference, str) or not reference:
        raise bad_body("input_reference is not a file, a URL or a data URL.", param="input_reference")
    if pictures.is_web_url(reference):
        document.set("image", reference)
        notes.append("image: the URL of input_reference")
        return True
    if not pictures.is_data_url(reference):
        raise bad_body("input_reference is not a file, a URL or a data URL.", param="input_reference")
    document.set("image", _checked(reference))
    notes.append("image: input_reference without its data: prefix")
    return True


def _picture_reference(reference: dict[str, Any]) -> Any:
    if reference and all(key.isdigit() for key in reference):
        raise bad_body(
            "input_reference came as one field for each byte; give the SDK a file with a name (toFile).",
            param="input_reference",
        )
    if "file_id" in reference and "image_url" in reference:
        raise bad_body("input_reference has both image_url and file_id; give one.", param="input_reference")
    if "file_id" in reference:
        raise bad_body(
            "There is no Files API behind this: give the picture itself or its URL.", param="input_reference"
        )
    return reference.get("image_url")


def picture_of(file: File, name: str) -> str:
    """A file part of a form as base64, as Kling takes pictures. Raises Refusal (400), naming the field `name`."""
    try:
        pictures.check(file.data)
    except ValueError as error:
        raise bad_body(f"{name} {error}.", param=name) from None
    return pictures.base64_of(file.data)


def _checked(data_url: str) -> str:
    try:
        data = pictures.from_data_url(data_url)
        pictures.check(data)
    except ValueError as error:
        raise bad_body(f"input_reference {error}.", param="input_reference") from None
    return pictures.base64_of(data)


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
    text = str(seconds).strip() if isinstance(seconds, str | int) and not isinstance(seconds, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 0 < int(text) <= 600):
        raise bad_body("seconds is not a whole number of seconds.", param="seconds")
    asked = int(text)
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
