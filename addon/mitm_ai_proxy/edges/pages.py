"""Web pages: which of them a browser may bring here, and what CORS has to say to those (https://fetch.spec.whatwg.org)."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

from ..errors import Refusal
from ..exchange import Caller
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.targets import Origin, split_host_port

Address: TypeAlias = tuple[str, int]
"""A host, which is a name in lower case or an IP address without brackets, and a port."""

ORIGIN: Final = b"access-control-allow-origin"
METHOD: Final = b"access-control-request-method"
_HEADERS: Final = b"access-control-request-headers"
_PRIVATE: Final = b"access-control-request-private-network"
_CORS: Final = b"access-control-"
MAX_AGE: Final = 600
"""Seconds for which a browser may keep the answer to a preflight. All browsers keep it as long as this."""

_TOKENS: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_NOT_EXPOSED: Final = frozenset((b"set-cookie", b"set-cookie2", b"vary"))
_UNREGISTRABLE: Final = (".localhost", ".internal")


class Rules(NamedTuple):
    """What a configuration says of pages.

    `allowed`: origins of pages that may use the proxy. `public`: addresses under which clients reach it. `hosts`: names
    that a client may use in a Host header.
    """

    allowed: frozenset[str] = frozenset()
    public: frozenset[Address] = frozenset()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def made(cls, allowed: Collection[str], public: Collection[Origin], hosts: Collection[str]) -> Rules:
        """The rules for these origins of pages, origins of the proxy, and names of hosts."""
        addresses = frozenset((origin.host, origin.port) for origin in public)
        return cls(frozenset(allowed), addresses, frozenset(hosts) | {host for host, _ in addresses})


NO_RULES: Final = Rules()


# Who is who


def is_own(origin: str, addresses: Collection[Address] = ()) -> bool:
    """Whether an origin (`http://localhost:3000`) is on this machine's loopback, or at one of the proxy's addresses."""
    parsed = _parsed(origin)
    return parsed is not None and (is_loopback(parsed.host) or (parsed.host, parsed.port) in addresses)


@functools.lru_cache(maxsize=1024)
def is_name_of(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header is one of these names, or one that no attacker can have. True without one ("").

    In DNS rebinding an attacker makes his own name resolve to the proxy's address. It is no IP address, has a dot, and
    is not below localhost or internal, which nobody can register.
    """
    if not host:
        return True
    try:
        name, _ = split_host_port(host.strip())
    except ValueError:
        return False
    is_address = "." not in name or name.endswith(_UNREGISTRABLE) or is_ip(name)
    return is_address or name in names


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an IP address, which may have a zone, is loopback, or a name is localhost or below it."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def is_ip(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _parsed(origin: str) -> Origin | None:
    try:
        return Origin.parse(origin) if "://" in origin else None
    except ValueError:
        return None


# Who may come in


def is_allowed(origin: str, rules: Rules) -> bool:
    """Whether the configuration lets in the pages of an origin."""
    if not rules.allowed:
        return False
    parsed = _parsed(origin)
    return (str(parsed) if parsed else origin.strip().lower()) in rules.allowed


def may_come(caller: Caller, rules: Rules, addresses: Collection[Address]) -> bool:
    """Whether Origin and Sec-Fetch-Site let a request in; `addresses` are the proxy's own.

    Let in are pages of an allowed origin, pages of the proxy or of loopback unless Sec-Fetch-Site is cross-site, and
    programs, which send neither field. If a field has several values, each has to be good.
    """
    if caller.origin and is_allowed(caller.origin, rules):
        return True
    origins = re.split(r"[,\s]+", caller.origin.strip()) if caller.origin else []
    if not all(is_own(origin, addresses) for origin in origins):
        return False
    sites = {site.partition(";")[0].strip().lower() for site in caller.fetch_site.split(",")}
    # Another origin of the same site is known by its Origin, and without one it is on loopback if the proxy is.
    good = {"", "none", "same-origin"} | ({"same-site"} if origins or _is_on_loopback(caller.host) else set())
    return sites <= good


def _is_on_loopback(authority: str) -> bool:
    try:
        return not authority or is_loopback(split_host_port(authority.strip())[0])
    except ValueError:
        return False


# CORS


def is_preflight(method: str, fields: Fields) -> bool:
    """Whether a browser asks whether a page may send a request."""
    return method == "OPTIONS" and any(name.lower() == METHOD for name, _ in fields)


def preflight(fields: Fields, origin: str) -> Fields:
    """The fields of the answer (204) to a preflight of a page that may come in.

    Raises Refusal (403) for one that asks for no tokens.
    """
    asked = {name: header_fields.value(fields, name).strip() for name in (METHOD, _HEADERS)}
    if not all(_TOKENS.fullmatch(text) for text in asked.values() if text) or "," in asked[METHOD]:
        raise Refusal(403, "The preflight asks for no method, or for no header fields.", code="cross_site")
    answer = [
        (ORIGIN, origin.encode()),
        (b"access-control-allow-methods", asked[METHOD].encode()),
        (b"access-control-max-age", str(MAX_AGE).encode()),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if asked[_HEADERS]:
        answer.append((b"access-control-allow-headers", asked[_HEADERS].encode()))
    if header_fields.value(fields, _PRIVATE) == "true":
        answer.append((b"access-control-allow-private-network", b"true"))
    return tuple((name.title(), value) for name, value in answer)


def allow(fields: Fields, origin: str) -> Fields:
    """The fields of an answer that pages of this origin, and no others, may read; without the provider's CORS."""
    names = {name.lower() for name, _ in fields} - _NOT_EXPOSED
    exposed = sorted(name for name in names if not name.startswith(_CORS))
    vary = header_fields.value(fields, b"vary")
    varies = {name.strip().lower() for name in vary.split(",")}
    changes: dict[bytes, bytes | None] = {
        ORIGIN: origin.encode(),
        b"access-control-expose-headers": b", ".join(exposed) or None,
        b"access-control-allow-credentials": None,
    }
    if not varies & {"origin", "*"}:
        changes[b"vary"] = (f"{vary}, Origin" if vary else "Origin").encode("utf-8", "surrogateescape")
    return header_fields.changed(fields, changes)
