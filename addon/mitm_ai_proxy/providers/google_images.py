"""Reads a request for pictures of OpenAI's, whole or as a form, and writes Google's: Gemini's or Imagen's.

Sources: OpenAI's API reference, images; Higress ai-proxy plugin, vertex; Google's Gemini API reference, imageConfig.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..chat import json_values, media_data
from ..chat.json_values import Object
from ..errors import bad_body
from ..wire import media_types, multipart

SIZES: Final[Mapping[str, tuple[str, str]]] = {
    "256x256": ("1:1", "1K"),
    "512x512": ("1:1", "1K"),
    "1024x1024": ("1:1", "1K"),
    "1792x1024": ("16:9", "2K"),
    "1024x1792": ("9:16", "2K"),
    "2048x2048": ("1:1", "2K"),
    "4096x4096": ("1:1", "4K"),
    "1536x1024": ("3:2", "2K"),
    "1024x1536": ("2:3", "2K"),
    "1024x768": ("4:3", "1K"),
    "1365x1024": ("4:3", "1K"),
    "768x1024": ("3:4", "1K"),
    "1024x1365": ("3:4", "1K"),
    "1280x1024": ("5:4", "1K"),
    "1024x1280": ("4:5", "1K"),
    "2560x1080": ("21:9", "2K"),
}
"""Sizes of OpenAI's, and the aspect ratio and the imageSize that they become. Google refuses a small k."""
_RATIOS: Final = ("1:1", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_IMAGEN_RATIOS: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_SIZE: Final = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_FORMATS: Final = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}
_DEFAULT_PROMPT: Final = "Create variations of the provided image."
_MAGIC: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}
"""How files begin."""
_LEFT_OUT: Final = ("quality", "style", "user", "background", "moderation", "output_compression", "input_fidelity")
_IMAGEN: Final = re.compile(r"(^|/)imagen|imagegeneration@")


class Asked(NamedTuple):
    """A request: `pictures` are parts of Gemini's, `format` is a media type or "". `left_out`: names of members."""

    model: str
    prompt: str
    size: str
    number: int
    format: str
    pictures: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...]
    asks_link: bool


class Written(NamedTuple):
    """The members of a body, and notes."""

    members: Mapping[str, Any]
    notes: tuple[str, ...]


def is_imagen(model: str) -> bool:
    """Whether a model is one of Imagen's, which has another API."""
    return _IMAGEN.search(model) is not None


# Reading


def read(kind: str, body: bytes, content_type: str) -> Asked:
    """The request in a body. `kind`: "generation", "edit" or "variation". Raises Refusal (400)."""
    is_form = kind != "generation" and media_types.kind_of(content_type) == "multipart/form-data"
    root, pictures = _form(body, content_type) if is_form else _document(body)
    if root.raw("mask") is not None:
        raise root.wrong("mask", "is not taken: Gemini finds itself what the prompt means")
    if root.flag("stream"):
        raise root.wrong("stream", "cannot be: pictures come whole")
    if kind != "generation" and not pictures:
        raise root.wrong("image", "is missing")
    prompt = root.text("prompt") or (_DEFAULT_PROMPT if kind == "variation" else "")
    if not prompt.strip():
        raise root.wrong("prompt", "is missing")
    word = root.text("output_format") or ""
    if word and word not in _FORMATS:
        raise root.wrong("output_format", f"is not one of {', '.join(_FORMATS)}")
    left_out = tuple(name for name in _LEFT_OUT if root.raw(name) is not None)
    return Asked(
        root.need("model"),
        prompt,
        root.text("size") or "",
        root.whole("n", 1) or 1,
        _FORMATS.get(word, ""),
        () if kind == "generation" else pictures,
        left_out,
        root.text("response_format") == "url",
    )


def _document(body: bytes) -> tuple[Object, tuple[Mapping[str, Any], ...]]:
    root = json_values.request_object(body)
    found: list[Mapping[str, Any]] = []
    for name in ("images", "image", "image_url"):
        first = root.first(name)
        if first == 0x5B:
            items = json_values.decode(bytes(root.members[name]))
        else:
            items = [json_values.decode(bytes(root.members[name]))] if first else []
        found += [_linked(_url(item, root, name), root.at(name)) for item in items]
    return root, tuple(found)


def _url(item: Any, root: Object, name: str) -> str:
    """A text, `{"url": ...}`, or `{"image_url": ...}` with one of these."""
    for _ in range(3):
        if isinstance(item, str):
            return item
        item = (item.get("image_url") or item.get("url")) if isinstance(item, dict) else None
    raise root.wrong(name, "is neither a URL nor an object with one")


def _linked(url: str, path: str) -> Mapping[str, Any]:
    data = media_data.data_url(url)
    if data is not None and data.is_base64:
        return _inline(data.type, data.data)
    if not (media_data.is_link(url) or url.startswith("gs://")):
        raise bad_body(f"{path} is neither a URL nor a data URL in base64.", param=path)
    return {"fileData": {"mimeType": media_data.type_of_link(url) or "image/png", "fileUri": url}}


def _inline(type: str, data: str) -> Mapping[str, Any]:
    return {"inlineData": {"mimeType": type or "image/png", "data": data}}


def _form(body: bytes, content_type: str) -> tuple[Object, tuple[Mapping[str, Any], ...]]:
    """The fields of a form as the members of a document, and its pictures."""
    members: dict[str, json_values.Raw] = {}
    pictures: list[Mapping[str, Any]] = []
    for name, part in multipart.parts(body, content_type):
        start = name.partition("[")[0]
        if start == "mask":
            members["mask"] = json_values.raw(b'"given"')
        elif isinstance(part, multipart.File):
            if start != "image":
                raise bad_body(f"{name[:60]} is a file, and no picture.", param=name[:60])
            pictures += [_picture(part)] if part.data else []
        elif start == "image" and isinstance(part, str):
            pictures.append(_linked(part.strip(), "image"))
        else:
            members[name] = json_values.raw(_member(name, part))
    return Object(members), tuple(pictures)


def _member(name: str, part: multipart.Part) -> bytes:
    text = part.strip() if isinstance(part, str) else part
    is_bare = (isinstance(text, str) and (name, text.isdigit()) == ("n", True)) or text in ("true", "false")
    return str(text).encode() if is_bare else json_values.encode(text)


def _picture(file: multipart.File) -> Mapping[str, Any]:
    if file.data[:8].lower().startswith((b"data:", b"http://", b"https://")):
        return _linked(file.data.decode("utf-8", "replace").strip(), "image")
    kind = media_types.kind_of(file.content_type)
    if kind in ("", "application/octet-stream", "text/plain"):
        kind = next((found for begins, found in _MAGIC.items() if file.data.startswith(begins)), "image/png")
    return _inline(kind, base64.b64encode(file.data).decode())


# Writing


def write(asked: Asked, model: str, takes_format: bool) -> Written:
    """The body of a request for a model. Raises Refusal (400) for what it cannot do."""
    notes = [f"{name} left out: Gemini has no such setting" for name in asked.left_out]
    if asked.asks_link:
        notes.append("response_format is b64_json: pictures are not kept, so that there is no link")
    if is_imagen(model):
        return Written(_imagen(asked, notes), tuple(notes))
    if asked.number > 1:
        raise bad_body("n is more than 1: Gemini makes one picture for a request.", param="n")
    config: dict[str, Any] = {}
    if sized := _sized(asked.size, _RATIOS, notes):
        config = {"aspectRatio": sized[0], "imageSize": sized[1]}
    if asked.format and takes_format:
        config["imageOutputOptions"] = {"mimeType": asked.format}
    elif asked.format:
        notes.append("output_format left out: Gemini chooses it")
    generation: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if config:
        generation["imageConfig"] = config
    parts = [*asked.pictures, {"text": asked.prompt}]
    return Written({"contents": [{"role": "user", "parts": parts}], "generationConfig": generation}, tuple(notes))


def _imagen(asked: Asked, notes: list[str]) -> Mapping[str, Any]:
    if asked.pictures:
        raise bad_body("image is not taken: Imagen makes pictures from texts alone.", param="image")
    parameters: dict[str, Any] = {"sampleCount": asked.number}
    if sized := _sized(asked.size, _IMAGEN_RATIOS, notes):
        parameters |= {"aspectRatio": sized[0], "sampleImageSize": "1K" if sized[1] == "1K" else "2K"}
    if asked.format:
        parameters["outputOptions"] = {"mimeType": asked.format}
    return {"instances": [{"prompt": asked.prompt}], "parameters": parameters}


def _sized(size: str, ratios: tuple[str, ...], notes: list[str]) -> tuple[str, str] | None:
    """The aspect ratio and the imageSize of a size; the nearest ones, with a note, for one that is in no table."""
    if size in ("", "auto"):
        return None
    named = SIZES.get(size)
    if named and named[0] in ratios:
        return named
    numbers = _SIZE.fullmatch(size)
    if numbers is None:
        raise bad_body('size is neither "auto" nor a width and a height, such as 1024x1024.', param="size")
    width, height = int(numbers[1]), int(numbers[2])
    distance: Callable[[str], float] = lambda ratio: abs(_number(ratio) - width / height) / _number(ratio)  # noqa: E731
    ratio = min(ratios, key=distance)
    longest = max(width, height)
    name = named[1] if named else "1K" if longest <= 1408 else "2K" if longest <= 2816 else "4K"
    notes.append(f"size {size} is made as {ratio} in {name}, which is nearest to it")
    return ratio, name


def _number(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)
