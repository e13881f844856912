"""Tells whether an event of an answer is an error, whoever has sent it: by the form of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ..wire import json_streams, media_types, sse
from ..wire.aws_event_stream import MAX_MESSAGE
from . import converse_answers, vendor_errors
from .aws_frames import Frames
from .model import Fault
from .protocols import Framing

_UNKNOWN: Final = 502
"""The status of an error that says nothing of itself."""


class Form(NamedTuple):
    """A form of answers: what finds its events, and what gives the error that an event is, or None.

    `is_stream`: it is a stream always, and not a document that may be whole.
    """

    framing: Callable[[], Framing]
    error: Callable[[sse.Event], Fault | None]
    is_stream: bool = True


# The members that make a document an error: most answers have none of them, and are not parsed.
_ERRORS: Final = ("error", "errors", "base_resp", "error_code")
_MEMBERS: Final = re.compile(rb'"(?:%b|code)"' % "|".join(_ERRORS).encode())
# With one of these, a `code` is that of a success: each vendor has its own, such as 20000.
_RESULTS: Final = frozenset("answer candidates choices content data embeddings message output result results".split())


def _error_in_document(event: sse.Event) -> Fault | None:
    if not _MEMBERS.search(event.data):
        return None
    value = _value(event)
    if isinstance(value, dict) and not any(value.get(name) for name in _ERRORS):
        results = (value.get(name) for name in _RESULTS)
        if any(isinstance(result, dict | list) and result for result in results):
            return None
    return vendor_errors.of_value(value)


def _error(event: sse.Event) -> Fault | None:
    fault = vendor_errors.of_value(_value(event))
    return fault or (Fault(_UNKNOWN, "The provider says no more.") if event.type == b"error" else None)


def _value(event: sse.Event) -> object:
    try:
        found: object = json.loads(event.data)
    except (ValueError, RecursionError):
        return None
    return found


_LINES: Final = Form(json_streams.Lines, _error)
FORMS: Final = {
    media_types.EVENT_STREAM: Form(sse.Reader, _error),
    media_types.AMAZON_EVENT_STREAM: Form(lambda: Frames(MAX_MESSAGE), converse_answers.error_of),
    **dict.fromkeys(media_types.JSON_STREAMS, _LINES),
    # An array is a stream, such as Gemini's without `alt=sse`; everything else is one event.
    media_types.JSON: Form(json_streams.Elements, _error_in_document, is_stream=False),
}
"""By their media types."""


def form_of(content_type: str) -> Form | None:
    """The form of an answer of this type; None for one that has no events."""
    return FORMS.get(media_types.kind_of(content_type))
