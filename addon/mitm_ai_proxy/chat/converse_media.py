"""Pictures, documents and sound as Amazon Bedrock's Converse has them. Source: its API reference."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from .model import Media
from .writing import refused, refused_file

_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "application/json": "txt",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_SOUNDS: Final = {"audio/wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/flac": "flac", "audio/ogg": "ogg"}
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9()\[\] -]+")
_LONGEST_NAME: Final = 200

Json = dict[str, Any]


class Names:
    """The names of a request's documents, of which each is given once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, name: str) -> str:
        """A name of the letters that Converse takes, which no other document has."""
        base = " ".join(_NO_NAME.sub(" ", name.rpartition(".")[0] or name).split())[: _LONGEST_NAME - 8] or "document"
        found, number = base, 1
        while found in self._used:
            number += 1
            found = f"{base} {number}"
        self._used.add(found)
        return found


def written(media: Media, names: Names) -> Json:
    """The block. Raises Refusal (400) for what Converse cannot take, which names the member of the client."""
    if media.file_id:
        raise refused_file(media)
    if media.url:
        raise refused(media, "Bedrock takes no links, and nothing is fetched here; send it in base64")
    if media.kind == "image":
        return {"image": {"format": _format(media, _IMAGES, "pictures"), "source": {"bytes": media.data}}}
    if media.kind == "audio":
        return {"audio": {"format": _format(media, _SOUNDS, "sound"), "source": {"bytes": media.data}}}
    if media.text:
        data, format = base64.b64encode(media.text.encode("utf-8", "replace")).decode(), "txt"
    else:
        data, format = media.data, _format(media, _DOCUMENTS, "documents")
    return {"document": {"format": format, "name": names.new(media.name), "source": {"bytes": data}}}


def _format(media: Media, formats: dict[str, str], what: str) -> str:
    if media.type not in formats:
        raise refused(media, f"Bedrock takes {what} of {', '.join(formats)}")
    return formats[media.type]
