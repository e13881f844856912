"""Anthropic's Messages through Amazon Bedrock's InvokeModel and InvokeModelWithResponseStream.

Requests and events are Anthropic's own, and stay to the byte. Source: Amazon Bedrock's user guide, Anthropic Claude.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ..errors import bad_body
from ..exchange import Answer, Handling, Pieces, Whole
from ..wire import header_fields, json_edit, json_tree, sse
from ..wire.header_fields import Fields
from ..wire.request_body import object_members, without_mark
from . import converse_answers, json_values, vendor_errors
from .aws_frames import BROKEN, EXCEPTION, Frames
from .dialects import ANTHROPIC
from .model import Fault
from .native import refuse_thread

VERSION: Final = "bedrock-2023-05-31"
BETAS: Final = frozenset(
    "computer-use-2025-01-24 computer-use-2025-11-24 token-efficient-tools-2025-02-19 output-128k-2025-02-19"
    " interleaved-thinking-2025-05-14 dev-full-thinking-2025-05-14 context-1m-2025-08-07"
    " context-management-2025-06-27 effort-2025-11-24 tool-search-tool-2025-10-19 tool-examples-2025-10-29"
    " compact-2026-01-12".split()
)
"""The betas that Bedrock knows. It refuses a request with another one."""


def request(body: bytes, betas: str) -> tuple[bytes, tuple[str, ...]]:
    """The body for InvokeModel, of which the path tells model and stream, and notes. `betas` are those of the header.

    Raises Refusal (400).
    """
    body = without_mark(body)
    refuse_thread(body, "Amazon Bedrock")
    try:
        root = json_tree.parsed(body, object_members(body))
        for name in ("model", "stream"):
            root.remove(name)
        root.put_path(("anthropic_version",), json_edit.string(VERSION), overwrite=False)
        asked = [beta.strip() for beta in betas.split(",") if beta.strip()]
        known = [beta for beta in asked if beta in BETAS]
        if known:
            root.put_path(("anthropic_beta",), json_values.encode(known), overwrite=False)
        unknown = [beta for beta in asked if beta not in BETAS]
        notes = (f"betas that Bedrock does not know left out: {', '.join(unknown)[:200]}",) if unknown else ()
        return root.written(), notes
    except json_edit.JSONError as error:
        raise bad_body(f"The request body {error}.") from None


def handling(is_stream: bool, status: int, fields: Fields) -> Handling:
    """What is done with the answer, by its status and header fields."""
    ids = vendor_errors.id_headers(fields, ANTHROPIC)
    if not 200 <= status < 300:
        return Whole(lambda answer: _error(converse_answers.read_error(answer.body, status, fields), ids))
    if is_stream and "json" not in header_fields.value(fields, b"content-type").lower():
        changes: dict[bytes, bytes | None] = {b"content-type": b"text/event-stream; charset=utf-8"}
        changes |= {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in ids.items()}
        return Pieces(Events(), changes, tells_end=True)
    return Whole(lambda answer: Answer(answer.status, answer.body, ids))


def _error(fault: Fault, ids: dict[str, str]) -> Answer:
    note = f"error of the provider, status {fault.status}, written as {ANTHROPIC} does"
    headers = {"content-type": "application/json", **ids}
    return Answer(fault.status, vendor_errors.body(fault, ANTHROPIC), headers, (note,))


class Events:
    """The transducer of a streamed answer: what is in Amazon's messages becomes Anthropic's events."""

    def __init__(self) -> None:
        self._frames = Frames(sse.MAX_EVENT)
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """The events that the next bytes complete."""
        return b"".join(map(self._written, self._frames.feed(data)))

    def end(self) -> bytes:
        """An error event, if the answer was not complete."""
        last = b"".join(map(self._written, self._frames.end()))
        return last if self._is_over else last + self._failed(vendor_errors.broken("ended before it was complete"))

    def _written(self, event: sse.Event) -> bytes:
        if self._is_over:
            return b""
        if event.type == BROKEN:
            return self._failed(vendor_errors.broken(event.data.decode("utf-8", "replace")))
        if event.type.startswith(EXCEPTION):
            name = event.type.removeprefix(EXCEPTION).decode("utf-8", "replace")
            return self._failed(converse_answers.exception(event.data, name))
        if event.type != b"chunk":
            return b""
        try:
            data = base64.b64decode(json_values.decode(event.data)["bytes"], validate=True)
            kind = json_values.decode(data)["type"]
            name = kind.encode("ascii")
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            return self._failed(vendor_errors.broken("has a message of the wrong form"))
        self._is_over = kind in ("message_stop", "error")
        return sse.event(data, name)

    def _failed(self, fault: Fault) -> bytes:
        self._is_over = True
        return vendor_errors.event(fault, ANTHROPIC)
