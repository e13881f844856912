"""Links to a provider's results, rewritten to lead through the proxy, and back.

Otherwise a client in reverse mode would fetch results directly, so that a cassette could not record or replay them.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from ..auth.header import normal
from ..errors import Refusal
from ..wire import json_text
from ..wire.targets import Origin, check_path
from . import links
from .link_streams import LedStream

FOLDER: Final = "linked"
"""First segment of the path of such a link; the link's own scheme, host and path follow."""
PREFIX: Final = f"/{FOLDER}/"
SIMULATED: Final = "/simulated/"
"""Prefix of the paths of simulated results, which the proxy serves itself."""

PAGES: Final = frozenset("annotations citations references search_results sources".split())
"""Members whose links, also further inside, lead to pages of others, not to results."""
TEXTS: Final = frozenset(
    """
    answer arguments caption completion content delta description detail generated_text instructions message
    negative_prompt partial_json prompt question reason reasoning reasoning_content refusal text thinking title token
    transcript
    """.split()
)
"""Members, as auth.header.normal() spells them, with texts that people or models wrote, or with pieces of them."""
IDENTIFIERS: Final = frozenset("$id $ref $schema @context @id @type id iss type".split())
"""Members whose links are names, which clients compare (RFC 9457, JSON Schema, JSON-LD)."""

_PATH = re.compile(rf"{PREFIX}(https?)/([^/?]+)(/[^?]*)?(\?.*)?", re.DOTALL)
_BODY_MARK: Final = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)
_LOCAL: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
# How far away a host is, from all the world to what only one machine or its cloud can reach.
_PUBLIC, _PRIVATE, _LOOPBACK, _LINK_LOCAL = range(4)


def _nothing(link: str) -> None:
    """Ignore a link."""


@dataclass(frozen=True, slots=True)
class Address:
    """Two origins: the proxy's, as the client reaches it, and the provider's.

    keeps: whether a client's request for a path and query on the proxy is sent to the provider with the same ones, and
        with the credential; None: always.
    home: the origin of the provider that a client's request for a path and query on the proxy is sent to; None: always
        `provider`.
    sent: links that clients themselves sent, without their signatures. An API that echoes them leads to none that is
        nearer than all the world.
    """

    proxy: str
    provider: str
    keeps: Callable[[str], bool] | None = None
    sent: Container[str] = ()
    home: Callable[[str], str] | None = None

    def here(self, link: str) -> str:
        """A link that leads through the proxy.

        One to the provider that is not signed has the same path, if the proxy keeps that; all others are below FOLDER.
        """
        origin, target = _split(links.encoded(link.partition("#")[0]))
        if _is_same(origin, self.provider) and self._keeps(target):
            return f"{self.proxy}{target}"
        scheme, _, authority = origin.partition("://")
        return f"{self.proxy}{PREFIX}{scheme.lower()}/{authority}{target}"

    def location_here(
        self,
        location: str,
        sent_to: str,
        asked: str,
        issued: Callable[[str], None] = _nothing,
        left: Callable[[str], None] = _nothing,
    ) -> str:
        """A Location of any form, so that it leads through the proxy; unchanged if it does already.

        `sent_to` is the URL that the answer came from, and `asked` the one that the client asked for. `issued` and
        `left` are as in lead_here().
        """
        link = links.encoded(links.resolved(location, sent_to))
        if not links.is_link(link):
            return location
        here = self._led(link, issued, left)
        return location if here in (link, links.encoded(links.resolved(location, asked))) else here

    def lead_here(self, body: bytes, issued: Callable[[str], None], left: Callable[[str], None] = _nothing) -> bytes:
        """An answer with the links to results rewritten to lead through the proxy; all other bytes are unchanged.

        The body is JSON, or lines or events of it. A link is a whole string whose member is none of PAGES, TEXTS and
        IDENTIFIERS. `issued` is called with each original link, and `left` with each one that cannot be led.
        """
        if not _may_have_links(body):
            return body
        mark, bare = (_BODY_MARK, body[len(_BODY_MARK) :]) if body.startswith(_BODY_MARK) else (b"", body)
        if _is_container(bare):
            return mark + self._lead_document(bare, issued, left)
        stream = self.stream(issued, left)
        return stream.feed(body) + stream.end()

    def stream(self, issued: Callable[[str], None], left: Callable[[str], None] = _nothing) -> LedStream:
        """A transducer that does the same with an answer that arrives in pieces."""
        return LedStream(lambda document: self._lead_document(document, issued, left))

    def lead_there(self, body: bytes) -> bytes:
        """A request's body with links through the proxy replaced by the originals, which the provider can reach."""
        host = self.proxy.partition("://")[2].encode()
        if host not in body:
            return body
        # JSON may escape slashes.
        slash = rb"(?P=slash)"
        folder = slash + FOLDER.encode() + slash + rb"(?P<scheme>https?)" + slash
        kept = rb"(?=(?P<target>\\?/[^\"\s]*))"
        linked = re.compile(
            rb"https?:(?P<slash>\\?/)" + slash + re.escape(host) + rb"(?:" + folder + rb"|" + kept + rb")"
        )

        def there(match: re.Match[bytes]) -> bytes:
            slashes = match["slash"] * 2
            if match["scheme"]:
                return match["scheme"] + b":" + slashes
            target = match["target"].replace(b"\\/", b"/").decode("utf-8", "surrogateescape")
            home = self.home(target) if self.home else self.provider
            scheme, _, authority = home.encode().partition(b"://")
            return scheme + b":" + slashes + authority

        return linked.sub(there, body)

    def leads_here(self, link: str) -> bool:
        """Whether a link leads through the proxy already."""
        if link.startswith(f"{self.proxy}{PREFIX}"):
            return True
        # In regular mode the client may know the proxy by the provider's own name.
        return link.startswith(f"{self.proxy}/") and not _is_same(self.proxy, self.provider)

    def _keeps(self, target: str) -> bool:
        """Whether a link to the provider's own host keeps its path on the proxy."""
        if target.startswith(SIMULATED):
            return True
        return not links.is_signed(target) and (self.keeps is None or self.keeps(target))

    def _led(self, link: str, issued: Callable[[str], None], left: Callable[[str], None]) -> str:
        """The link through the proxy for any link; the same one if it is led already, or cannot be."""
        if self.leads_here(link):
            return link
        if not self._can_lead(link):
            left(link)
            return link
        here = self.here(link)
        if here != link:
            issued(link)
        return here

    def _can_lead(self, link: str) -> bool:
        """Whether a link can be led: a host could not read it differently, and is no nearer to us than the provider.

        Otherwise an API could have the proxy fetch what only this machine or its network can reach.
        """
        origin, target = _split(links.encoded(link.partition("#")[0]))
        try:
            host = Origin.parse(origin).host
            check_path(target.partition("?")[0])
        except (ValueError, Refusal):
            return False
        if _is_same(origin, self.provider):
            return True
        distance = _distance(host)
        if distance is None or distance > self._nearest():
            return False
        return distance == _PUBLIC or links.unsigned(link) not in self.sent

    def near_links(self, text: str) -> Iterator[str]:
        """The links in a request that must not be led if the API echoes them, as in `sent`. Most have none."""
        if self._nearest() == _PUBLIC:
            return
        # In JSON a link goes on behind an ampersand, in a query or a form it does not.
        for form in (text, text.replace("&", " ")) if "&" in text else (text,):
            for link in links.found(_unquoted(form).replace("\\/", "/")):
                if not self.leads_here(link):
                    yield links.unsigned(link)

    def _nearest(self) -> int:
        """How near a host may be that an answer leads to: as near as the provider, which a person has configured."""
        try:
            return _distance(Origin.parse(self.provider).host) or _PUBLIC
        except ValueError:
            return _PUBLIC

    def _lead_document(self, body: bytes, issued: Callable[[str], None], left: Callable[[str], None]) -> bytes:
        """As lead_here(), for one JSON object or array."""
        if not _may_have_links(body) or not _is_container(body):
            return body
        text = body.decode()
        pieces: list[str] = []
        position = 0
        for part in json_text.parts(text):
            if part.is_key or text[part.start] != '"' or not _is_result(part.path):
                continue
            value = json_text.string(text[part.start : part.end])
            if not links.is_link(value):
                continue
            here = self._led(value, issued, left)
            if here != value:
                pieces += (text[position : part.start], json.dumps(here))
                position = part.end
        return "".join([*pieces, text[position:]]).encode() if pieces else body


def target(path: str) -> tuple[Origin, str] | None:
    """Origin and target of the link that a path on the proxy stands for; None for any other path.

    Raises Refusal (400) for a link that a host could understand differently.
    """
    match = _PATH.fullmatch(path)
    if not match:
        return None
    scheme, authority, rest, query = match.groups()
    try:
        origin = Origin.parse(f"{scheme}://{authority}")
    except ValueError:
        return None
    check_path(rest or "/")
    return origin, f"{rest or '/'}{query or ''}"


def _unquoted(text: str) -> str:
    """As urllib's unquote(), which takes a third of a second for a megabyte that is no text."""
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


def _may_have_links(body: bytes) -> bool:
    return b"://" in body or b":\\/\\/" in body


def _is_container(body: bytes) -> bool:
    try:
        return json_text.is_container(body.decode())
    except UnicodeDecodeError:
        return False


def _is_result(path: json_text.Path) -> bool:
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return name not in IDENTIFIERS and normal(name) not in TEXTS and PAGES.isdisjoint(path)


def _is_same(origin: str, other: str) -> bool:
    """Whether two origins are the same, however they are spelled."""
    if origin == other:
        return True
    try:
        return Origin.parse(origin) == Origin.parse(other)
    except ValueError:
        return False


def _distance(host: str) -> int | None:
    """How near a host is by its name or address; None for one that is spelled so that it may be any address."""
    name = host.lower()
    if ":" not in name and _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(name)
        except ValueError:
            return None
    elif ":" in name:
        address = ipaddress.IPv6Address(name)
        address = address.ipv4_mapped or address.sixtofour or address
    else:
        if name == "localhost" or name.endswith(".localhost"):
            return _LOOPBACK
        return _PRIVATE if "." not in name or name.endswith(_LOCAL) else _PUBLIC
    if address.is_loopback:
        return _LOOPBACK
    if address.is_link_local or address.is_unspecified or address.is_multicast:
        return _LINK_LOCAL
    return _PUBLIC if address.is_global else _PRIVATE


def _split(link: str) -> tuple[str, str]:
    """Origin of a link, and its path and query; the slash behind the origin is added if it is missing."""
    scheme, _, rest = link.partition("://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    return f"{scheme}://{authority}", f"/{rest[len(authority) :].removeprefix('/')}"
