"""The JSON of a cassette: of its frame, and of an entry."""

from __future__ import annotations

import importlib.metadata
import json
import re
import string
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import UNSET, UnsetType

from .bodies import BodyFiles
from .entry import Entry, Headers, Request, Response, header
from .har_objects import EPOCH, FORMAT, HARBody, HAREntry, HARField, HARRequest, HARResponse, HARTimings

INLINE: Final = 64 * 1024
"""Bytes up to which a text body is in the cassette itself; longer ones are in files."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def frame() -> bytes:
    """The JSON of a cassette without entries."""
    try:
        version = importlib.metadata.version("mitm-ai-proxy")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    creator = {"name": "mitm-ai-proxy", "version": version}
    return _json({"log": {"version": "1.2", "creator": creator, "_format": FORMAT, "pages": [], "entries": []}}) + b"\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    indented = msgspec.json.format(text.encode("utf-8", "surrogatepass"), indent=2)
    # JSON escapes half a surrogate pair as Python does.
    return indented.decode("utf-8", "surrogatepass").encode("utf-8", "backslashreplace")


def encode(entry: Entry, bodies: BodyFiles) -> bytes:
    """The JSON of an entry; what is not text, or long, goes to the files of its bodies."""
    response = entry.response or Response(0)
    exact = round(entry.started * 1000)
    started = (EPOCH + timedelta(milliseconds=exact)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    receive = min(response.chunks[-1].milliseconds, entry.milliseconds) if response.chunks else 0
    return _json(
        msgspec.to_builtins(
            HAREntry(
                started_date_time=started,
                started=UNSET if exact / 1000 == entry.started else entry.started,
                time=entry.milliseconds,
                request=_encode_request(entry.request, bodies),
                answered=UNSET if entry.response else False,
                response=_encode_response(response, bodies),
                timings=HARTimings(wait=entry.milliseconds - receive, receive=receive),
                notes=entry.notes or UNSET,
                units=UNSET if entry.units is None else entry.units,
                price=UNSET if entry.price is None else entry.price,
                repeats=entry.repeats or UNSET,
                simulated=entry.simulated or UNSET,
                chunks=response.chunks or UNSET,
            )
        )
    )


def _encode_request(request: Request, bodies: BodyFiles) -> HARRequest:
    query = request.url.partition("#")[0].partition("?")[2]
    # mitmproxy refuses a whole HAR file if one URL is not in ASCII.
    url = quote(_readable(request.url), safe=string.punctuation)
    return HARRequest(
        method=request.method,
        url=url,
        exact_url=_unless(request.url, url),
        headers=_encode_headers(request.headers),
        query_string=[
            HARField(name=_readable(name), value=_readable(value))
            for name, value in parse_qsl(query, keep_blank_values=True)
        ],
        post_data=_encode_body(request.headers, request.body, bodies) if request.body else UNSET,
        body_size=_sent_size(request.headers, request.body),
    )


def _encode_response(response: Response, bodies: BodyFiles) -> HARResponse:
    content = _encode_body(response.headers, response.body, bodies)
    content.size = len(response.body)
    return HARResponse(
        status=response.status,
        status_text=response.reason,
        headers=_encode_headers(response.headers),
        content=content,
        redirect_url=_readable(header(response.headers, "location")),
        body_size=_sent_size(response.headers, response.body),
    )


def _encode_headers(headers: Headers) -> list[HARField]:
    fields = []
    for exact_name, exact_value in headers:
        name, value = _readable(exact_name), _readable(exact_value)
        exact = {"exact_name": _unless(exact_name, name), "exact_value": _unless(exact_value, value)}
        fields.append(HARField(name=name, value=value, **exact))
    return fields


def _encode_body(headers: Headers, body: bytes, bodies: BodyFiles) -> HARBody:
    kind = _readable(header(headers, "content-type"))
    text = _text(body)
    if text is None:
        return HARBody(mime_type=kind, text="", file=bodies.add(body, kind))
    return HARBody(mime_type=kind, text=text)


def _text(body: bytes) -> str | None:
    """The body as text, if it is text of at most INLINE bytes; else None."""
    if len(body) > INLINE:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _sent_size(headers: Headers, body: bytes) -> int:
    """HAR's bodySize, the bytes on the wire: -1 if it is not known, since the body was compressed."""
    return -1 if header(headers, "content-encoding") else len(body)


def _readable(text: str) -> str:
    """The text without half surrogate pairs: mitmproxy refuses a whole HAR file if one header has one."""
    return text if text.isascii() else _HALF_PAIR.sub("\ufffd", text)


def _unless(exact: str, shown: str) -> str | UnsetType:
    return UNSET if exact == shown else exact
