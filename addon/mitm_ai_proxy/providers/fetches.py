"""Texts that have to be there before requests are served: the file of `context`, and a file at the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..config import values
from ..config.keys import nearest
from ..wire.targets import Url

_KNOWN: Final = ("fileUrl", "serviceName", "servicePort")
_FILE: Final = "file://"
MAX_SIZE: Final = 10 * 1024 * 1024
"""Bytes of a text."""


class Context(NamedTuple):
    """A text that is put in front of chats: where it is, for a person, and what it says once it has been loaded."""

    place: str
    url: Url | Path | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.place


class Fetch(NamedTuple):
    """A text that is to be loaded.

    `key` is the key of the block that asks for it, `field` its field. `fields` are header fields, which hold a
    credential. `timeout` is in seconds.
    """

    key: str
    field: str
    source: Url | Path
    timeout: float
    fields: Mapping[str, str] = MappingProxyType({})


def context(value: Any) -> Context | None:
    """The value of the key `context`: a mapping, or a list of one. What names a service of the gateway is ignored."""
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError("expected one file")
        value = value[0] if value else None
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise ValueError("expected a mapping with fileUrl")
    for name in value:
        if name not in _KNOWN:
            raise ValueError(f"has an unknown key {str(name)[:40]}{nearest(str(name), _KNOWN)}")
    place = values.text(value.get("fileUrl") or "")
    if not place:
        raise ValueError("has no fileUrl")
    if place.startswith(_FILE):
        return Context(place, Path(place.removeprefix(_FILE)))
    return Context(place, values.url(place))
