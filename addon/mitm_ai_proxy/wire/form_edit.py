"""Edits one text field of a multipart form in place (RFC 7578): every other byte of the form is kept."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..errors import Refusal, bad_body

MAX_PARTS: Final = 1000
MAX_HEAD: Final = 8 * 1024
"""Bytes of the head of a part."""

# The end of a line that holds the boundary: blanks are allowed (RFC 2046), and two hyphens end the form.
_LINE_END: Final = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
_NAME: Final = re.compile(rb"""(?:^|\r\n)content-disposition:[^\r\n]*?;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))""", re.I)
_FILE: Final = re.compile(rb"""(?:^|\r\n)content-disposition:[^\r\n]*?;[ \t]*filename\*?=""", re.I)
_ENCODED: Final = re.compile(rb"(?:^|\r\n)content-transfer-encoding:[ \t]*(?!binary|8bit|7bit)", re.I)


class Field(NamedTuple):
    """A text field of a form: its text, and its position."""

    text: str
    start: int
    stop: int


class Form(NamedTuple):
    """A form and one of its fields; None: it has none. `end` is where its last boundary begins."""

    body: bytes
    boundary: bytes
    field: Field | None
    end: int

    def with_text(self, name: str, text: str) -> bytes:
        """The form with another text of the field, which is added at the end if there is none."""
        if self.field:
            return self.body[: self.field.start] + text.encode() + self.body[self.field.stop :]
        part = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
            self.boundary,
            name.encode(),
            text.encode(),
        )
        return self.body[: self.end] + part + self.body[self.end :]


def find(body: bytes, boundary: bytes, name: str) -> Form:
    """The field of a name in a form.

    Raises Refusal (400) for a form that is broken, and for a field that is repeated, a file, encoded, or not UTF-8.
    """
    delimiter = b"--" + boundary
    found: Field | None = None
    line = _next(body, delimiter, 0)
    for _ in range(MAX_PARTS):
        if line.is_last:
            return Form(body, boundary, found, line.start)
        head_end = body.find(b"\r\n\r\n", line.end - 2, line.end + MAX_HEAD)
        if head_end < 0:
            raise bad_body("A part of the form has headers that do not end, or are too long.")
        head, start = body[line.end : head_end], head_end + 4
        if body.startswith(delimiter, start) and _LINE_END.match(body, start + len(delimiter)):
            # The content has no end of a line before it: some readers see an empty part, others none.
            raise _broken()
        line = _next(body, delimiter, start)
        if _is_named(head, name):
            if found:
                raise bad_body(f"{name} stands more than once in the form.", param=name)
            stop = max(line.start - 2, start)
            found = Field(_text(head, body[start:stop], name), start, stop)
    raise bad_body(f"The form has more than {MAX_PARTS} parts.")


class _Line(NamedTuple):
    """A line with the boundary: where it begins, what is behind it, and whether it ends the form."""

    start: int
    end: int
    is_last: bool


def _next(body: bytes, delimiter: bytes, position: int) -> _Line:
    while (place := body.find(delimiter, position)) >= 0:
        line = _LINE_END.match(body, place + len(delimiter))
        if line and (place == 0 or body[place - 2 : place] == b"\r\n"):
            return _Line(place, line.end(), line[1] is not None)
        position = place + 1
    raise _broken()


def _is_named(head: bytes, name: str) -> bool:
    found = _NAME.search(head)
    return found is not None and (found[1] if found[1] is not None else found[2]) == name.encode()


def _text(head: bytes, content: bytes, name: str) -> str:
    if _FILE.search(head) or _ENCODED.search(head):
        raise bad_body(f"{name} is not sent as text in the form.", param=name)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise bad_body(f"{name} is not UTF-8.", param=name) from None


def _broken() -> Refusal:
    return bad_body("The request body is no whole form with the boundary that its Content-Type names.")
