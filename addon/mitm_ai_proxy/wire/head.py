"""Whether the head of a request may be sent on: its method, its target and its header fields, to the byte.

What is refused here can be read in more than one way, so that an upstream may see another path or another request.
"""

from __future__ import annotations

import re
import string
from typing import Final

from ..errors import Refusal, bad_head
from .header_fields import Fields

_TOKEN: Final = (string.digits + string.ascii_letters + "!#$%&'*+-.^_`|~").encode()
"""The characters of a method and of a field's name (RFC 9110, section 5.6.2)."""
_TARGET: Final = re.compile(rb"/(?!/)[^\x00-\x20\x7f]*")
_LINE: Final = re.compile(rb"[%s]+ [^\x00-\x1f\x7f]+ HTTP/[0-9.]+\r?" % re.escape(_TOKEN))
_BEGINNING_OF_LINE: Final = re.compile(rb"[%s]+(?: [^\x00-\x1f\x7f]*\r?)?" % re.escape(_TOKEN))
_CONTROL: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""What no value may hold: a tab is allowed (RFC 9110, section 5.5), a folded value holds a line break."""


def check(method: bytes, target: bytes, fields: Fields) -> None:
    """Raise Refusal (400) for a head that is not to be sent. `target` is a path and query (RFC 9112, origin-form).

    The method has to be a token, the target to begin with one slash and to hold no blank and no control character, the
    names of fields to be tokens and their values to hold no control character but tabs. Bytes above 0x7F are allowed.
    """
    if not _is_token(method):
        raise bad_head("The method is not a token (RFC 9110).")
    if not _TARGET.fullmatch(target):
        raise _bad_target(target)
    # All at once, for it is done for each request.
    names = [name for name, _ in fields]
    if (
        not all(names)
        or b"".join(names).translate(None, _TOKEN)
        or _is_broken(b"".join([value for _, value in fields]))
    ):
        raise _bad_field(fields)


def may_begin(data: bytes) -> bool:
    """Whether a client's first bytes may be those of a request over HTTP/1 (RFC 9112, section 3)."""
    line, end, _ = data.partition(b"\n")
    return bool((_LINE if end else _BEGINNING_OF_LINE).fullmatch(line))


def without_bad_fields(fields: Fields) -> Fields:
    """The fields without those that `check` refuses: such a value may hold a credential under another name."""
    return tuple((name, value) for name, value in fields if _is_token(name) and not _is_broken(value))


def _is_token(name: bytes) -> bool:
    return bool(name) and not name.translate(None, _TOKEN)


def _is_broken(value: bytes) -> bool:
    return len(value.translate(None, _CONTROL)) != len(value)


def _bad_target(target: bytes) -> Refusal:
    if target.startswith(b"//"):
        return bad_head("The path begins with two slashes: look for one at the end of the client's base URL.")
    if not target.startswith(b"/"):
        return bad_head("The path does not begin with a slash.")
    return bad_head("The path or its query holds a blank or a control character.")


def _bad_field(fields: Fields) -> Refusal:
    for name, value in fields:
        if not _is_token(name):
            break
        if _is_broken(value):
            text = name.decode()
            return bad_head(f"The header field {text} holds a line break or another control character.", param=text)
    return bad_head("The name of a header field is not a token (RFC 9110).")
