"""Conversions of requests and answers for recording and replaying, and the text of a miss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..auth.header import REDACTED, is_credential
from ..cassette.entry import Headers, Request, Response, header
from ..wire import content_encoding
from ..wire.header_fields import Fields
from .flows import FlowState

if TYPE_CHECKING:
    from ..cassette.cassette import Cassette
    from ..cassette.playing import Miss

LARGEST: Final = 512 * 1024 * 1024
"""Bytes of the longest answer that is recorded."""
POLL_AFTER: Final = "openai-poll-after-ms"
_RETRY_AFTER: Final = "retry-after-ms"
# Header fields that tell a client how long to wait: the first in seconds, the others in milliseconds.
_WAITS: Final = frozenset(("retry-after", _RETRY_AFTER, POLL_AFTER))
_MOST_DIGITS: Final = 10
_HOP_BY_HOP: Final = frozenset("connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())


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
