"""Pictures and files in requests: data URLs, and media types as vendors want them."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from .model import Media

_DATA_URL: Final = re.compile(r"data:([^;,]{0,100})((?:;[^;,]{0,100}){0,5}),", re.IGNORECASE)
_SPELLINGS: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_ENDINGS: Final = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/plain",
    "csv": "text/plain",
    "json": "text/plain",
}
_LINKED: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    **{name: f"image/{name}" for name in ("png", "gif", "webp", "bmp", "heic", "heif")},
    "svg": "image/svg+xml",
    "ico": "image/x-icon",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
    "wmv": "video/x-ms-wmv",
    "mkv": "video/x-matroska",
    "flv": "video/x-flv",
    "3gp": "video/3gpp",
    "3g2": "video/3gpp2",
    "m4v": "video/x-m4v",
    "mp3": "audio/mpeg",
    **{name: f"audio/{name}" for name in ("wav", "ogg", "flac", "aac", "opus")},
    "m4a": "audio/mp4",
    "wma": "audio/x-ms-wma",
    "pdf": "application/pdf",
    "txt": "text/plain",
}
"""Media types by the endings of links. Source: Higress ai-proxy plugin, vertex."""


class Data(NamedTuple):
    """The content of a data URL: its media type (in lower case), and its data, in base64 or not."""

    type: str
    data: str
    is_base64: bool


def data_url(url: str) -> Data | None:
    """The content of a data URL; None for another URL. A length check only: the data itself is not looked at."""
    found = _DATA_URL.match(url, 0, 1000)
    if not found:
        return None
    return Data(media_type(found[1]), url[found.end() :], found[2].lower().endswith(";base64"))


def url_of(media: Media) -> str:
    """The link of a picture or a document, else its content as a data URL."""
    return media.url or f"data:{media.type};base64,{media.data}"


def media_type(name: str) -> str:
    """A media type as vendors spell it."""
    name = name.strip().lower()
    return _SPELLINGS.get(name, name)


def kind_of(type: str) -> Literal["image", "audio", "document"]:
    """The kind of what has a media type: all that is neither a picture nor sound is a document."""
    found = type.partition("/")[0]
    return "image" if found == "image" else "audio" if found == "audio" else "document"


def is_link(url: str) -> bool:
    """Whether a text is an http or https URL."""
    return url[:8].lower().startswith(("https://", "http://"))


def type_of_file(name: str) -> str:
    """The media type of a file by the ending of its name; "" for one that is not known."""
    return _ENDINGS.get(name.rpartition(".")[2].lower(), "")


def type_of_link(url: str) -> str:
    """The media type of what a link leads to, by the ending of its path; "" for one that is not known."""
    name = re.split("[?#]", url, maxsplit=1)[0].rpartition("/")[2]
    _, dot, ending = name.lower().rpartition(".")
    return _LINKED.get(ending, "") if dot else ""
