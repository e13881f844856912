"""Tables of content types: which bodies are streamed, which are streams of events, which may be JSON."""

from __future__ import annotations

from typing import Final

EVENT_STREAM: Final = "text/event-stream"
AMAZON_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
JSON: Final = "application/json"
JSON_STREAMS: Final = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/stream+json",
    "application/json-seq",
)
"""Streams of JSON documents, one in a line."""
EVENTS: Final = (EVENT_STREAM, AMAZON_EVENT_STREAM, *JSON_STREAMS)
"""Streams of events or of JSON documents."""

_MEDIA: Final = ("video/", "audio/", "image/", "application/octet")
# Streams, and media that nobody reads in mitmproxy.
_STREAMED: Final = (*_MEDIA, *EVENTS)


URL_ENCODED: Final = "application/x-www-form-urlencoded"
# What clients write over JSON; curl sends its own type of form.
_OVER_JSON: Final = ("", "text/plain", URL_ENCODED)


def kind_of(content_type: str) -> str:
    """The type in a Content-Type, in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def may_be_json(content_type: str) -> bool:
    """Whether a body of this type may be JSON: clients also send it without a type, as plain text and as a form."""
    return is_json(content_type) or kind_of(content_type) in _OVER_JSON


def is_streamed(content_type: str) -> bool:
    """Whether a body of this type is passed on as it arrives."""
    return content_type.lower().startswith(_STREAMED)


def is_media(content_type: str) -> bool:
    """Whether a body of this type is no text."""
    return content_type.lower().startswith(_MEDIA)


def is_events(content_type: str) -> bool:
    """Whether a body of this type is a stream of events or of JSON documents."""
    return content_type.lower().startswith(EVENTS)


def is_binary(content_type: str) -> bool:
    """Whether a body of this type is a stream of events that are no text."""
    return content_type.lower().startswith(AMAZON_EVENT_STREAM)


def is_json(content_type: str) -> bool:
    """Whether a body of this type is one JSON document."""
    return "json" in content_type.lower() and not is_events(content_type)
