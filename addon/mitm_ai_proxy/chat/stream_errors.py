"""Tells whether an event of a stream is an error, whoever has sent it: by the form of the stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, NamedTuple

from ..wire import media_types, sse
from ..wire.aws_event_stream import MAX_MESSAGE
from . import converse_answers, vendor_errors
from .aws_frames import Frames
from .model import Fault
from .protocols import Framing

_UNKNOWN: Final = 502
"""The status of an error that says nothing of itself."""


class Form(NamedTuple):
    """A form of streams: what finds its events, and what gives the error that an event is, or None."""

    framing: Callable[[], Framing]
    error: Callable[[sse.Event], Fault | None]


def _error(event: sse.Event) -> Fault | None:
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError):
        value = None
    fault = vendor_errors.of_value(value)
    return fault or (Fault(_UNKNOWN, "The provider says no more.") if event.type == b"error" else None)


FORMS: Final = {
    media_types.EVENT_STREAM: Form(sse.Reader, _error),
    media_types.AMAZON_EVENT_STREAM: Form(lambda: Frames(MAX_MESSAGE), converse_answers.error_of),
}
"""By what their Content-Type begins with."""


def form_of(content_type: str) -> Form | None:
    """The form of an answer of this type; None if it is no stream of events."""
    kind = content_type.strip().lower()
    return next((form for begin, form in FORMS.items() if kind.startswith(begin)), None)
