"""Mends answers in OpenAI's dialect whose vendor says single things its own way: errors, with status 200 too, usage.

All other members, and all bytes of events that are as they should be, are kept.
"""

from __future__ import annotations

import re
from typing import Final

from ..exchange import Answer, Handling, Pieces, Whole
from ..wire import header_fields, sse
from ..wire.header_fields import Fields
from ..wire.media_types import EVENT_STREAM
from . import json_values, vendor_errors
from .dialects import OPENAI
from .model import Fault

_EVENT_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_MAY_FAIL: Final = (b'"base_resp"', b'"code"', b'"error"', b'"error_code"')
_DONE: Final = b"[DONE]"


def handling(status: int, fields: Fields) -> Handling | None:
    """What is done with an answer to a chat of OpenAI's dialect; None where it is passed on."""
    kind = header_fields.value(fields, b"content-type").lower()
    if kind.startswith(EVENT_STREAM):
        return Pieces(Repaired(), tells_end=False)
    if "json" not in kind:
        return None
    is_success = 200 <= status < 300
    ids = vendor_errors.id_headers(fields, OPENAI)

    def rewrite(answer: Answer) -> Answer:
        fault = _hidden_fault(answer.body) if is_success else _foreign_fault(answer.body, status)
        return answer if fault is None else vendor_errors.answer(fault, OPENAI, ids)

    return Whole(rewrite)


def _foreign_fault(body: bytes, status: int) -> Fault | None:
    """The error in an answer that is no success; None for one that has OpenAI's form already."""
    try:
        document = json_values.decode(body)
    except ValueError:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return None
    return vendor_errors.of_value(document, status)


def _hidden_fault(body: bytes) -> Fault | None:
    """The error that a document is, though its status is that of a success."""
    if not any(mark in body for mark in _MAY_FAIL):
        return None
    try:
        document = json_values.decode(body)
    except ValueError:
        return None
    return vendor_errors.of_value(document)


class Repaired:
    """The transducer of a stream. An error in it becomes one of OpenAI's, which is the last event.

    Usage in the first choice, as Moonshot has it, gets its place beside the choices too.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client after the next bytes from the provider; b"" if there are none yet."""
        if self._is_over:
            return b""
        # An end may have begun in what was there.
        start = max(len(self._rest) - 3, 0)
        self._rest += data
        written = []
        position = 0
        for found in _EVENT_END.finditer(self._rest, start):
            event, is_last = _event(self._rest[position : found.end()])
            written.append(event)
            position = found.end()
            if is_last:
                self._is_over = True
                break
        self._rest = b"" if self._is_over else self._rest[position:]
        if len(self._rest) > sse.MAX_EVENT:
            self._rest, self._is_over = b"", True
            written.append(vendor_errors.event(vendor_errors.broken("has an event that does not end"), OPENAI))
        return b"".join(written)

    def end(self) -> bytes:
        """The last bytes for the client."""
        rest, self._rest = self._rest, b""
        return _event(rest)[0] if rest else b""


def _event(raw: bytes) -> tuple[bytes, bool]:
    """An event for the client, and whether it is an error, and the last one."""
    data = b"\n".join(event.data for event in _read(raw))
    if not data or data == _DONE:
        return raw, False
    fault = _hidden_fault(data)
    if fault is not None:
        return vendor_errors.event(fault, OPENAI), True
    lifted = _with_usage(data)
    return (raw if lifted is data else sse.event(lifted)), False


def _read(raw: bytes) -> list[sse.Event]:
    reader = sse.Reader(len(raw) + 1)
    return [*reader.feed(raw), *reader.end()]


def _with_usage(data: bytes) -> bytes:
    """A chunk with the usage of its first choice beside the choices; the same object if it has none there."""
    if b'"usage"' not in data:
        return data
    try:
        members = json_values.members(data)
        usage = json_values.objects(members["choices"])[0]["usage"]
    except (KeyError, IndexError, *json_values.DecodeError):
        return data
    if bytes(usage)[:1] != b"{" or bytes(members.get("usage", b"null")) != b"null":
        return data
    return json_values.encode({**members, "usage": usage})
