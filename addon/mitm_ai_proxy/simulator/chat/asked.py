"""What is read from a request of either format, and how both check its members."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .model import Prompt
from .refusals import ChatError


class Asked(NamedTuple):
    """A request: the model's name, what the model is asked, and how the answer is sent.

    `own_text` is the text of the last message, if it is the user's: a fault can be asked for there. `texts`: those of
    a translation, each of which is answered.
    """

    model: str
    prompt: Prompt
    own_text: str = ""
    is_stream: bool = False
    has_usage: bool = False
    choices: int = 1
    shows_thoughts: bool = True
    texts: Sequence[str] = ()


class Reply(NamedTuple):
    """Where an answer comes from: an id that the request alone decides, and a Unix time."""

    id: str
    created: int


def document(body: bytes, media_type: str) -> dict[str, Any]:
    """The JSON object of a body. Raises ChatError."""
    if media_type != "application/json":
        raise ChatError(400, "The Content-Type has to be application/json.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ChatError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(found, dict):
        raise ChatError(400, "The body of the request has to be a JSON object.")
    return found


def kind_of(value: Any) -> str:
    """The JSON type of a value, in a word."""
    names: Mapping[type, str] = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return "null" if value is None else names.get(type(value), "decimal")


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value is a number within limits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: Any, low: int) -> bool:
    """Whether a value is a whole number of at least `low`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def joined(texts: Iterable[Any]) -> str:
    """Texts on lines of their own."""
    return "\n".join(text for text in texts if isinstance(text, str) and text)
