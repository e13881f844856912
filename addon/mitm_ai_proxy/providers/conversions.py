"""APIs of OpenAI's that a vendor has in a form of its own: pictures, speech, embeddings, reranking (not chats)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..chat import json_values, vendor_errors
from ..chat.dialects import OPENAI
from ..chat.json_values import Object
from ..chat.model import Fault
from ..exchange import NO_CHANGES, Answer, Handling, Memo, Whole
from ..wire.header_fields import Changes, Fields

Json = dict[str, Any]

_CONVERSION: Final = "conversion"
"""In the memo of a request that was converted: the name of its API, and what its answer needs."""


class Converted(NamedTuple):
    """A request in the vendor's form. `memo`: what its answer needs, plain values. `notes`: what is not said."""

    document: Json
    memo: Memo
    notes: tuple[str, ...] = ()


def _read_error(body: bytes, status: int, _: Fields) -> Fault:
    return vendor_errors.read(body, status)


class Sound(NamedTuple):
    """An answer that is no JSON: its bytes and their media type."""

    data: bytes
    media_type: str


class Conversion(NamedTuple):
    """How an API is had in a form of the vendor's.

    `write` takes the client's request, and raises Refusal (400) for what cannot be said. `read` takes the vendor's
    answer and the memo, and raises ValueError, KeyError or TypeError for one of another form. `fields` are changes to
    the header fields of the request. `read_error` takes body, status and header fields of an answer that is no success;
    `fault` finds the error in one that is.
    """

    write: Callable[[Object], Converted]
    read: Callable[[Json, Memo], Json | Sound]
    fields: Changes = NO_CHANGES
    read_error: Callable[[bytes, int, Fields], Fault] = _read_error
    fault: Callable[[Any], Fault | None] = vendor_errors.of_value


Conversions = Mapping[str, Conversion]
"""By the name of the API."""


def memo_of(api: str, converted: Converted, now: float) -> Memo:
    """The memo of a request that was converted."""
    return {_CONVERSION: {"api": api, "created": int(now), **converted.memo}}


def handling(conversions: Conversions, memo: Memo, status: int, fields: Fields) -> Handling | None:
    """What is done with the answer to a request that was converted; None for any other."""
    found = memo.get(_CONVERSION)
    if found is None:
        return None
    conversion = conversions[found["api"]]
    ids = vendor_errors.id_headers(fields, OPENAI)

    def rewrite(answer: Answer) -> Answer:
        if not 200 <= status < 300:
            return failed(conversion.read_error(answer.body, status, fields))
        try:
            document = json_values.decode(answer.body)
        except ValueError:
            return failed(vendor_errors.broken("is not JSON"))
        fault = conversion.fault(document)
        if fault is not None:
            return failed(fault)
        try:
            made = conversion.read(document, found)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return failed(vendor_errors.broken("has a member of the wrong form"))
        if isinstance(made, Sound):
            return Answer(answer.status, made.data, {"content-type": made.media_type, **ids})
        return Answer(answer.status, json_values.encode(made), {"content-type": "application/json", **ids})

    def failed(fault: Fault) -> Answer:
        return vendor_errors.answer(fault, OPENAI, ids)

    return Whole(rewrite)
