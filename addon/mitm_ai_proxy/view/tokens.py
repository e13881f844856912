"""What is shown of a credential: its kind, the claims of a JWT, and how long it holds; never what makes it valid."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

from ..auth.header import is_credential
from ..cassette import sensitive
from ..wire.printable import printable

_LONGEST: Final = 16 * 1024
_VALUE: Final = 200
"""Characters of a claim that are shown."""
_MOST: Final = 40
_LONG: Final = 20
"""Characters of a credential of which the last ones may be shown."""
_SHOWN: Final = 4
_SCHEME: Final = re.compile(r"([A-Za-z][\w-]{0,30}) +(\S.*)", re.DOTALL)
_TIMES: Final = frozenset(("exp", "nbf", "iat", "auth_time"))
_LATEST: Final = 4e9


def lines(value: str, now: float) -> list[str]:
    """A credential as lines: masked, or the header and the claims of a JWT. `now` is Unix time."""
    scheme, token = _split(value)
    parts = claims(token)
    if parts is None:
        return [printable(" ".join(filter(None, (scheme, masked(token)))))]
    head, body = parts
    first = " ".join(filter(None, (scheme, "JWT,", _word(head.get("alg")), _validity(body, now))))
    return [printable(first), *(f"  {line}" for line in _claims(body, str(head.get("alg"))))]


def is_jwt(value: str) -> bool:
    """Whether a header field's value is a JWT, perhaps behind a scheme."""
    return claims(_split(value)[1]) is not None


def claims(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The header and the claims of a signed JWT (RFC 7519), which are not verified; None for what is none."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        return None
    head, body = _decoded(parts[0]), _decoded(parts[1])
    return (head, body) if head is not None and body is not None and "alg" in head else None


@functools.lru_cache(64)
def unsigned(value: str) -> str:
    """A header field's value with a JWT, perhaps behind a scheme, without the signature; "" for another value."""
    scheme, token = _split(value)
    return "" if claims(token) is None else f"{scheme} {token.rpartition('.')[0]}.".strip()


def masked(token: str) -> str:
    """The end of a long credential: `…cdef`; of a short one nothing."""
    return f"…{token[-_SHOWN:]}" if len(token) >= _LONG else "…"


def _split(value: str) -> tuple[str, str]:
    found = _SCHEME.fullmatch(value)
    return (found[1], found[2]) if found else ("", value)


def _decoded(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _claims(body: dict[str, Any], algorithm: str) -> Iterator[str]:
    for name, value in list(body.items())[:_MOST]:
        if name in _TIMES and (moment := _moment(value)) is not None:
            shown = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(moment))
        elif is_credential(name) or (name == "iss" and algorithm.startswith("HS") and _is_key(value)):
            shown = masked(str(value))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            shown = sensitive.shapeless(text, "[a secret]")
        yield printable(f"{name[:_VALUE]}: {shown if len(shown) <= _VALUE else f'{shown[:_VALUE]}…'}")
    if len(body) > _MOST:
        yield f"… {len(body) - _MOST} more"


def _is_key(value: Any) -> bool:
    """Whether an issuer is an access key, as in Kling's JWT, and no address."""
    return isinstance(value, str) and not set(value) & set(":./@ ")


def _validity(body: dict[str, Any], now: float) -> str:
    """`valid for 29 min`; "" where it does not say."""
    begin, end = _moment(body.get("nbf")), _moment(body.get("exp"))
    if begin is not None and begin > now:
        return f"(not valid for {_span(begin - now)} yet)"
    if end is None:
        return ""
    return f"(valid for {_span(end - now)})" if end > now else f"(expired {_span(now - end)} ago)"


def _moment(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LATEST else None


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _word(value: Any) -> str:
    return value[: _SHOWN * 8] if isinstance(value, str) else "?"
