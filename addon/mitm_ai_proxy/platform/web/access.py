"""Who calls: the tenant of a key, of the page's session, or, where there are no keys at all, of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ...errors import Refusal
from ..intake import Caller
from ..keys import Keys, SeenKeys

COOKIE: Final = "platform_key"
"""The page's session: the key itself, where no script can read it."""
_BEARER: Final = "bearer "
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_OWN: Final = frozenset({"", "same-origin", "none"})
"""Values of Sec-Fetch-Site of what our own page or the address bar sends; other clients send none."""


class Call(NamedTuple):
    """What of a request tells who makes it. `fields` are the header fields by their names in lower case."""

    peer: str
    fields: Mapping[str, str]
    cookie: str = ""


def caller(call: Call, keys: Keys | SeenKeys) -> Caller:
    """Who makes a request. Raises Refusal: 401 for a missing or wrong key, 403 for what another site sends."""
    authorization = call.fields.get("authorization", "")
    if not keys.exist():
        _require_loopback(call)
        require_own_site(call)
        return Caller()
    if authorization:
        text = authorization[len(_BEARER) :].strip() if authorization.lower().startswith(_BEARER) else ""
    else:
        text = call.cookie
        if text:
            # A browser sends it whoever asks for it.
            require_own_site(call)
    return opened(text, keys)


def opened(text: str, keys: Keys | SeenKeys) -> Caller:
    """Whom a key opens for. Raises Refusal (401) for a missing, wrong or revoked one."""
    if not text:
        raise _no_key("There is no key. Send Authorization: Bearer vp_…; `ai-proxy platform key TENANT` makes one.")
    found = keys.find(text)
    if found is None:
        raise _no_key("The key is not known, or it was revoked.")
    return Caller(found.tenant, found)


def is_loopback(peer: str) -> bool:
    """Whether an address is one of this machine."""
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _require_loopback(call: Call) -> None:
    if not is_loopback(call.peer):
        raise _no_key("Without a key, only this machine is served: make one with `ai-proxy platform key TENANT`.")
    if any(name in call.fields for name in _FORWARDED):
        raise _no_key("The request came through a proxy, which anybody may have asked: make a key.")
    # A name that somebody else's name server leads here would let their page read what it likes.
    name = _host(call.fields.get("host", ""))
    if name not in _LOOPBACK_NAMES:
        raise Refusal(
            403,
            "Without keys, the platform answers to localhost, 127.0.0.1 and [::1] only, not to another Host.",
            code="wrong_host",
            param="Host",
        )


def require_own_site(call: Call) -> None:
    """Refuse (403) what a page of another site has made a browser send."""
    origin = call.fields.get("origin", "")
    is_own = not origin or _authority(origin) == call.fields.get("host", "").lower()
    if not is_own or call.fields.get("sec-fetch-site", "") not in _OWN:
        raise Refusal(403, "Another site's page sent this request.", code="cross_site", param="Origin")


def _host(authority: str) -> str:
    """The host of a Host field, without its port."""
    name, separator, port = authority.lower().rpartition(":")
    return name if separator and port.isdigit() else authority.lower()


def _authority(origin: str) -> str:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _no_key(message: str) -> Refusal:
    return Refusal(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
