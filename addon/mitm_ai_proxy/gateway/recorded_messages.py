"""Conversions of requests and answers for recording and replaying, and the text of a miss."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from mitmproxy import http

from ..auth.header import REDACTED, is_credential
from ..cassette import links
from ..cassette.entry import Entry, Headers, Request, Response, header
from ..cassette.link_streams import LONGEST
from ..wire import content_encoding, header_fields, media_types
from ..wire.header_fields import Fields
from .flows import FlowState

if TYPE_CHECKING:
    from ..cassette.cassette import Cassette
    from ..cassette.playing import Miss

LARGEST: Final = 512 * 1024 * 1024
"""Bytes of the longest answer that is recorded."""
POLL_AFTER: Final = "openai-poll-after-ms"
LOCATIONS: Final = frozenset((b"location", b"operation-location", b"azure-asyncoperation"))
"""Header fields with a link that clients follow, in lower case (RFC 9110, section 10.2.2; Azure's API guidelines)."""
_FILE: Final = re.compile(
    r"(?i)https?://[^/?#]+/[^?#]*\.(?:avif|csv|gif|glb|gltf|jpe?g|m4a|m4v|mkv|mov|mp3|mp4|mpe?g|ogg|opus|pdf|png|svg"
    r"|wav|webm|webp|zip)(?:[?#].*|[\])*_.,;:!]*)"
)
_RETRY_AFTER: Final = "retry-after-ms"
# Statuses of answers without a body, or with a part of one.
_NO_WHOLE: Final = frozenset((204, 206, 304))
# Header fields that tell a client how long to wait: the first in seconds, the others in milliseconds.
_WAITS: Final = frozenset(("retry-after", _RETRY_AFTER, POLL_AFTER))
_MOST_DIGITS: Final = 10
_HOP_BY_HOP: Final = frozenset("connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())


class Links(Enum):
    """How the links in the body of an answer are led through the proxy: not, in the whole body, or as it streams."""

    STAY = auto()
    WHOLE = auto()
    STREAM = auto()


def how_links_are_led(recorded: Entry | None, method: str, response: http.Response) -> Links:
    """How the links in an answer are led, by its head; the same while recording and in the replay of the `recorded`."""
    played = recorded.response if recorded else None
    # The framing of a replay is its own.
    fields = _bytes(played.headers) if played else response.headers.fields
    kind = header_fields.value(fields, b"content-type")
    if method == "HEAD" or response.status_code in _NO_WHOLE:
        return Links.STAY
    if media_types.is_json(kind):
        return Links.WHOLE
    if media_types.is_media(kind):
        return Links.STAY
    is_encoded = bool(header_fields.value(fields, b"content-encoding"))
    if media_types.is_events(kind):
        # Pieces with a Content-Encoding, or of a binary format, are none of text.
        is_whole = played is not None and bool(played.body) and not played.chunks
        return Links.STAY if is_encoded or is_whole or media_types.is_binary(kind) else Links.STREAM
    length = header_fields.value(fields, b"content-length")
    if length.isdigit() and int(length) > LONGEST:
        return Links.STAY
    return Links.WHOLE if length or is_encoded else Links.STREAM


def files_in(response: Response, body: bytes) -> list[str]:
    """The links to what are files by their names or signatures, anywhere in the text of an answer with this body."""
    if media_types.is_media(header(response.headers, "content-type")):
        return []
    text = body[:LONGEST].decode("utf-8", "replace").replace("\\/", "/")
    return [link for link in links.found(text) if _FILE.fullmatch(link) or links.is_signed(link)]


def decoded(fields: Fields, raw: bytes) -> tuple[Headers, bytes]:
    """Header fields and body without their Content-Encoding; unchanged if the body cannot be decoded."""
    headers = tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields
    )
    encoding = header(headers, "content-encoding")
    if not encoding:
        return headers, raw
    try:
        body = content_encoding.decode(raw, encoding, LARGEST)
    except ValueError:
        return headers, raw
    return tuple(field for field in headers if field[0].lower() != "content-encoding"), body


def without_credential(headers: Headers, state: FlowState) -> Headers:
    """The header fields, with REDACTED for the provider's credential where the scrubber would not know it by name."""
    names = {name.decode() for name in state.secret_fields}
    if all(map(is_credential, names)):
        return headers
    return tuple(
        (name, REDACTED if name.lower() in names and not is_credential(name) else value) for name, value in headers
    )


def with_credentials(headers: Headers, before: Headers) -> Headers:
    """The header fields with the values of those before in place of REDACTED, for the scrubber to know them."""
    known = {name.lower(): value for name, value in before}
    return tuple((name, known.get(name.lower(), value) if value == REDACTED else value) for name, value in headers)


def redacted(request: Request) -> Request:
    """The request, with REDACTED as the value of header fields that hold credentials by their name."""
    headers = tuple((name, REDACTED if is_credential(name) else value) for name, value in request.headers)
    return replace(request, headers=headers)


def framed(response: Response, method: str) -> Fields:
    """The header fields of a recorded answer, with the Content-Length of its body; an answer to HEAD keeps its own."""
    left_out = _HOP_BY_HOP if method == "HEAD" else _HOP_BY_HOP | {"content-length"}
    headers = [field for field in response.headers if field[0].lower() not in left_out]
    if method != "HEAD" and response.status >= 200 and response.status not in (204, 304):
        headers.append(("Content-Length", str(len(response.body))))
    return _bytes(headers)


def _bytes(headers: Iterable[tuple[str, str]]) -> Fields:
    return tuple(
        (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")) for name, value in headers
    )


def hurried(response: Response, pace: float | None, is_openai_sdk: bool) -> Response:
    """A recorded answer whose header fields about waiting are shortened for a replay.

    `pace` multiplies the waits; None makes them as short as possible, and adds one for an OpenAI SDK.
    """
    headers = [(name, sooner(name.lower(), value, pace)) for name, value in response.headers]
    waits = {name.lower() for name, _ in headers}
    if pace is None and is_openai_sdk:
        if response.status >= 400 and _RETRY_AFTER not in waits:
            headers.append((_RETRY_AFTER, "1"))
        elif response.status < 400 and POLL_AFTER not in waits:
            headers.append((POLL_AFTER, "1"))
    return replace(response, headers=tuple(headers))


def sooner(name: str, value: str, pace: float | None) -> str:
    """The value of a header field, multiplied by `pace` if it is a wait; `name` is in lower case."""
    digits = value.strip()
    if name not in _WAITS or not (digits.isascii() and digits.isdigit() and len(digits) < _MOST_DIGITS):
        return value
    least = 0 if name == "retry-after" else 1
    return str(max(least, int(int(digits) * (pace or 0))))


def miss_text(cassette: Cassette, miss: Miss) -> str:
    """A message for the user: the request, the nearest recording, and how they differ."""
    text = f"{miss.request} is not in {cassette.name} (mode {cassette.mode.value}), so it was not sent."
    if miss.recorded:
        text += f" The nearest recording is entry {(miss.nearest or 0) + 1}: {miss.recorded}."
    return " ".join([text, *(f"{difference};" for difference in miss.differences)]).removesuffix(";")
