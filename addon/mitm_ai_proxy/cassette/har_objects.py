"""The objects of a HAR 1.2 file, with our own members. Those with a default may be missing in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from .entry import MOST_REPEATS, Chunk

FORMAT: Final = 1
"""The format of our own members, in `log._format`."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HARField(msgspec.Struct, kw_only=True):
    """A header, or a parameter of a query. A value that mitmproxy could not read is in our own members only."""

    name: str
    value: str
    exact_name: str | UnsetType = field(default=UNSET, name="_name")
    exact_value: str | UnsetType = field(default=UNSET, name="_value")


class HARBody(msgspec.Struct, kw_only=True, rename="camel"):
    size: int | UnsetType = UNSET
    mime_type: str = ""
    text: str
    encoding: str | UnsetType = UNSET
    file: str | UnsetType = field(default=UNSET, name="_file")


class HARRequest(msgspec.Struct, kw_only=True, rename="camel"):
    method: str
    url: str
    exact_url: str | UnsetType = field(default=UNSET, name="_url")
    http_version: str = "HTTP/1.1"
    cookies: list[Any] = []
    headers: list[HARField]
    query_string: list[HARField] = []
    post_data: HARBody | UnsetType = UNSET
    headers_size: int = -1
    body_size: int = -1


class HARResponse(msgspec.Struct, kw_only=True, rename="camel"):
    status: int
    status_text: str = ""
    http_version: str = "HTTP/1.1"
    cookies: list[Any] = []
    headers: list[HARField]
    content: HARBody
    redirect_url: str = field(default="", name="redirectURL")
    headers_size: int = -1
    body_size: int = -1


class HARTimings(msgspec.Struct):
    send: float = 0
    wait: float = 0
    receive: float = 0


class HAREntry(msgspec.Struct, kw_only=True, rename="camel"):
    started_date_time: str
    started: float | UnsetType = field(default=UNSET, name="_started")
    time: float
    request: HARRequest
    answered: bool | UnsetType = field(default=UNSET, name="_answered")
    response: HARResponse
    cache: dict[str, Any] = {}
    timings: HARTimings = field(default_factory=HARTimings)
    notes: tuple[str, ...] | UnsetType = field(default=UNSET, name="_notes")
    units: float | UnsetType = field(default=UNSET, name="_units")
    price: float | UnsetType = field(default=UNSET, name="_price")
    repeats: Annotated[int, Meta(ge=0, le=MOST_REPEATS)] | UnsetType = field(default=UNSET, name="_repeats")
    simulated: bool | UnsetType = field(default=UNSET, name="_simulated")
    chunks: tuple[Chunk, ...] | UnsetType = field(default=UNSET, name="_chunks")


class HARLog(msgspec.Struct):
    creator: Any = None
    format: int | UnsetType = field(default=UNSET, name="_format")
    entries: Any = UNSET


class HARDocument(msgspec.Struct):
    log: HARLog
