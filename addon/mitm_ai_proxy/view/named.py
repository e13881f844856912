"""The few members of a body that a list shows: the model, the length and the state of what was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import msgspec

from ..errors import Refusal
from ..wire import multipart

LONGEST: Final = 1024 * 1024
"""Bytes of an answer that is read for a line."""
_ASKED: Final = 8 * 1024 * 1024
"""The same of a request, in which pictures may stand."""
_PART: Final = 64 * 1024
"""Bytes at both ends of a long form in which its fields are looked for; a file stands between them."""
_IN_FORMS: Final = frozenset(("model", "model_name", "duration", "seconds"))


class Named(msgspec.Struct):
    """The members of a body."""

    model: object = None
    model_name: object = None
    duration: object = None
    seconds: object = None
    size: object = None
    status: object = None
    progress: object = None
    message: object = None
    error: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()

    @property
    def name(self) -> str:
        """The name of the model; "" without one."""
        return next((value for value in (self.model_name, self.model) if isinstance(value, str)), "")


def read(body: bytes, kind: str) -> Named:
    """The members of a request's body of this Content-Type, JSON or a form. Nothing raises on foreign input."""
    return _form(body, kind) if kind.startswith("multipart/") else json(body, _ASKED)


def json(body: bytes, longest: int = LONGEST) -> Named:
    """The members of a JSON object; none of what is no such object."""
    if body[:200].lstrip()[:1] != b"{" or len(body) > longest:
        return Named()
    try:
        return msgspec.json.decode(body, type=Named)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Named()


def _form(body: bytes, kind: str) -> Named:
    found = Named()
    for piece in _pieces(body, kind):
        # A piece ends within a part, or the whole is no form.
        with contextlib.suppress(Refusal):
            for name, part in multipart.parts(piece, kind):
                if name in _IN_FORMS and isinstance(part, str) and getattr(found, name) is None:
                    setattr(found, name, part)
    return found


def _pieces(body: bytes, kind: str) -> Iterator[bytes]:
    """A form, or where it is long its beginning and its end, from the first part that begins there."""
    if len(body) <= 2 * _PART:
        yield body
        return
    yield body[:_PART]
    try:
        begin = body.find(b"\r\n--" + multipart.boundary(kind) + b"\r\n", len(body) - _PART)
    except Refusal:
        return
    if begin >= 0:
        yield body[begin + 2 :]
