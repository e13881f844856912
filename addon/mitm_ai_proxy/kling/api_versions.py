"""Requests of Kling's newer API (`klingApi: v2`), which Kling calls its new design: creates, tasks, pages of tasks.

The legacy API has the model in the body and a path for each family of tasks; v2 has the model in the path and one
path, /tasks, for all tasks. Source: Kling API documentation.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from ..errors import Refusal, bad_body, bad_path
from .document import Document, encoded
from .idempotency import PREFIX
from .models import RESOLUTIONS, STD, V2_MODELS

V2: Final = "v2"
TASKS: Final = "/tasks"

_FRAMES: Final = (("image", "first_frame"), ("image_tail", "last_frame"))
_OMNI: Final = frozenset({"kling-3.0-omni", "kling-o1"})
_WITHOUT_SOUND: Final = frozenset({"kling-3.0-turbo", "kling-2.5-turbo"})
_OPTIONS: Final = ("callback_url", "external_task_id", "watermark_info")
_SETTINGS: Final = frozenset({"model_name", "prompt", "mode", "aspect_ratio", "duration", "sound", "multi_shot"})


def v2_create(document: Document, base: str | None = None) -> tuple[str, bytes]:
    """Path and body of a v2 create, from a create in the legacy API's fields. `base` is the URL of a video to edit.

    Raises Refusal (400) for a field that v2 does not have.
    """
    name = document.text("model_name") or ""
    if not name.isprintable():
        raise bad_body("model_name is no name of a model.", param="model_name")
    model = V2_MODELS.get(name, name)
    frames = [(kind, document.text(field)) for field, kind in _FRAMES if field in document]
    contents: list[dict[str, Any]] = [{"type": kind, "url": url} for kind, url in frames]
    if base:
        contents.append({"type": "base_video", "url": base})
    contents += [{"type": "element", **item} for item in document.value("element_list") or []]
    contents += [{"type": "voice", **item} for item in document.value("voice_list") or []]
    known = {*_SETTINGS, *_OPTIONS, "image", "image_tail", "element_list", "voice_list"}
    for field in document.names:
        if field not in known:
            raise bad_body(f"Kling's new design has no {field[:40]}.", param=field[:40])

    body: dict[str, Any] = {}
    prompt = document.text("prompt")
    family = "text-to-video"
    if base or model in _OMNI:
        family = "omni-video"
    elif contents:
        family = "image-to-video"
    if family != "text-to-video":
        body["contents"] = ([{"type": "prompt", "text": prompt}] if prompt else []) + contents
    elif prompt is not None:
        body["prompt"] = prompt
    body["settings"] = _settings(document, model, "" if base else STD)
    options = {field: document.value(field) for field in _OPTIONS if field in document}
    if options:
        body["options"] = options
    return f"/{family}/{quote(model, safe='')}", encoded(body)


def _settings(document: Document, model: str, default_mode: str) -> dict[str, Any]:
    """The `settings` of a v2 create. `default_mode` is used where the document has no mode; "" sends no resolution."""
    mode = document.text("mode") or default_mode
    settings: dict[str, Any] = {"resolution": RESOLUTIONS.get(mode, mode)} if mode else {}
    if "aspect_ratio" in document:
        settings["aspect_ratio"] = document.text("aspect_ratio")
    duration = document.value("duration")
    if duration is not None:
        if not re.fullmatch(r"[0-9]{1,4}", str(duration)[:10]):
            raise bad_body("duration is not a whole number of seconds.", param="duration")
        settings["duration"] = int(duration)
    if model not in _WITHOUT_SOUND:
        settings["audio"] = "native" if document.value("sound") == "on" else "off"
    if model.startswith("kling-3.0"):
        # The default of v2 is true, that of the legacy API is false.
        settings["multi_shot"] = bool(document.value("multi_shot"))
    return settings


def v2_task(task_id: str) -> str:
    """Path and query that retrieve a task, by Kling's task id or by an external_task_id that idempotency.py made.

    Raises Refusal (400) for an id that is not UTF-8: a query could only name another one.
    """
    key = "external_task_ids" if task_id.startswith(PREFIX) else "task_ids"
    try:
        decoded = unquote_to_bytes(task_id.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise bad_path("The video_id is not UTF-8.", param="video_id") from None
    return f"{TASKS}?{key}={quote(decoded, safe='')}"


def v2_page(limit: int, place: str) -> bytes:
    """The body of a request for one page of all tasks. `place` is "1" for the first page, else a result of v2_place().

    Raises Refusal (400) for any other place.
    """
    page: dict[str, Any] = {"limit": limit}
    if place != "1":
        try:
            if v2_cursor(cursor := base64.b32decode(place.upper() + "=" * (-len(place) % 8)).decode()) != place:
                raise ValueError
        except ValueError:
            message = "after is not the last_id of a page of this list."
            raise Refusal(400, message, code="invalid_value", param="after") from None
        page["cursor"] = cursor
    return json.dumps(page).encode()


def v2_place(data: Any) -> str | None:
    """The place of the next page, from the `data` of an answer; None after the last page."""
    if not isinstance(data, dict) or not data.get("has_more") or not isinstance(data.get("next_cursor"), str):
        return None
    return v2_cursor(data["next_cursor"]) or None


def v2_cursor(cursor: str) -> str:
    """Kling's cursor in base32: lower-case letters and digits, as a place in pages.Page has to be."""
    return base64.b32encode(cursor.encode("utf-8", "replace")).decode().rstrip("=").lower()
