"""Where webhooks may be sent: the URLs of customers, and the addresses that their names stand for."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host and port. Raises OSError."""

MOST_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
# An address of version 4 within one of version 6, behind so many bits: IPv4-mapped, -compatible, NAT64.
_CARRIERS: Final = (
    ipaddress.IPv6Network("::ffff:0:0/96"),
    ipaddress.IPv6Network("::/96"),
    ipaddress.IPv6Network("64:ff9b::/96"),
)
_6TO4: Final = ipaddress.IPv6Network("2002::/16")
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")


class NotAllowed(Exception):
    """A URL to which nothing is sent; the text says why, and what is allowed."""


class Receiver(NamedTuple):
    """A URL in its parts: `authority` is what goes into Host, `target` the path with its query."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def receiver(url: str) -> Receiver:
    """The parts of a customer's URL. Raises NotAllowed for what is no plain http or https URL."""
    if len(url) > MOST_CHARACTERS:
        raise NotAllowed(f"is longer than {MOST_CHARACTERS} characters")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise NotAllowed("has characters that no URL has: encode them")
    parts = _split(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise NotAllowed("is no http or https URL")
    if "@" in parts.netloc:
        raise NotAllowed("holds a user name or a password, which would be seen by everybody who sees the URL")
    if "#" in url:
        raise NotAllowed("has a fragment, which is sent to nobody")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return Receiver(parts.scheme, parts.hostname, port, parts.netloc, target)


def check(url: str, *, allows_private: bool) -> None:
    """Raise NotAllowed for a URL that nothing will be sent to, as far as it tells that without a name server."""
    found = receiver(url)
    host = found.host.rstrip(".").lower()
    if allows_private:
        return
    if host == "localhost" or host.endswith(".localhost"):
        raise NotAllowed("leads to this machine, where webhooks are sent only with platform.privateReceivers")
    try:
        # Also the forms that only the C library takes for an address: 127.1, 0x7f000001.
        address: Address = ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
    if not is_public(address):
        raise NotAllowed(_PRIVATE)


def addresses(found: Receiver, resolve: Resolve, *, allows_private: bool) -> Sequence[str]:
    """The addresses of a receiver, to be connected to as they are: a name may stand for another one a moment later.

    Raises NotAllowed where one of them is not public, or OSError where there are none.
    """
    known = resolve(found.host, found.port)
    if not allows_private and not all(is_public(ipaddress.ip_address(address.partition("%")[0])) for address in known):
        raise NotAllowed(_PRIVATE)
    return known


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and so is that which it carries."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _CARRIERS):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address in _6TO4 or address in _TEREDO:
            return False
    return address.is_global and not address.is_multicast


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host by this machine's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


_PRIVATE: Final = "leads into a private network, where webhooks are sent only with platform.privateReceivers"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Read here, where a wrong one is refused.
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise NotAllowed("cannot be read as a URL") from None
    return parts
