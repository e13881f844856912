"""A request as lines of text, with long values shortened and credentials hidden."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt

from ..errors import Refusal
from ..wire import multipart

_LONG: Final = 200
"""Characters; a longer value is shortened."""
_BEGINNING: Final = 9
_VIDEO_ID: Final = re.compile(r"\b(kling-\w+-\d+)-o[a-z2-7]+")
"""A video id with the parameters of its create (see kling/ids.py)."""


@dataclass
class Message:
    """A request: its target, its header fields by their names in lower case, its body.

    `is_whole`: whether the body is there; of one that was too long to be kept, the `model` that it names is.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    is_whole: bool = True
    model: str = ""

    def lines(self, fields: Sequence[str]) -> list[str]:
        """The request with these header fields; a missing one is an empty line."""
        first = f"{self.method} {brief(self.path)}"
        head = [self._field(name) for name in fields]
        body = self._body()
        return [first, *head, *([""] if body else []), *body]

    def with_json(self) -> Message:
        """The request with a form as the JSON that most forms become, to be compared."""
        if not self.headers.get("content-type", "").startswith("multipart/"):
            return self
        try:
            parts = dict(multipart.parts(self.body, self.headers["content-type"]))
        except Refusal:
            return self
        return replace(self, body=json.dumps({name: _part(value) for name, value in parts.items()}).encode())

    def _field(self, name: str) -> str:
        value = self.headers.get(name.lower(), "")
        short = credential(value) if name == "Authorization" else value.partition(";")[0]
        return f"{name}: {short}" if value else ""

    def _body(self) -> list[str]:
        content_type = self.headers.get("content-type", "")
        if not self.body:
            return []
        if content_type.startswith("multipart/") and not self.body.startswith(b"{"):
            return self._form(content_type)
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return [amount(len(self.body))]
        return json.dumps(_with_short_values(document), indent=2, ensure_ascii=False).splitlines()

    def _form(self, content_type: str) -> list[str]:
        try:
            parts = multipart.fields(self.body, content_type)
        except Refusal as refusal:
            return [refusal.message]
        return [
            f"a form of {counted(len(parts), 'part')}:",
            *(f"  {name} = {_part(value)}" for name, value in parts.items()),
        ]


def credential(value: str) -> str:
    """The kind of a credential, without its secret: `Bearer sk-…`, `Bearer <JWT, HS256, 30 min>`."""
    token = value.removeprefix("Bearer ")
    if token.startswith("sk-"):
        return "Bearer sk-…"
    try:
        algorithm = jwt.get_unverified_header(token)["alg"]
        claims = jwt.decode(token, options={"verify_signature": False})
        return f"Bearer <JWT, {algorithm}, {(claims['exp'] - claims['nbf']) // 60} min>"
    except (jwt.InvalidTokenError, KeyError):
        return "…"


def brief(text: str) -> str:
    """The text with video ids shortened to the part that is Kling's."""
    return _VIDEO_ID.sub(r"\1…", text)


def amount(count: int) -> str:
    """A number of bytes as text: `4.2 KB`."""
    if count < 1024:
        return f"{count} bytes"
    return f"{count / 1024:.1f} KB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MB"


def counted(count: int, what: str) -> str:
    """A number of things as text: `1 tool`, `3 tools`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _part(value: Any) -> str:
    if isinstance(value, multipart.File):
        return f"{value.filename} ({value.content_type}, {amount(len(value.data))})"
    return str(_with_short_values(value))


def _with_short_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_short_values(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_short_values(member) for member in value]
    if isinstance(value, str) and len(value) > _LONG:
        return f"{value[:_BEGINNING]}… ({amount(len(value))})"
    return value
