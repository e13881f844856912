"""Links to a provider's results, rewritten to lead through the proxy, and back.

Otherwise a client in reverse mode would fetch results directly, so that a cassette could not record or replay them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..wire import json_text
from ..wire.targets import Origin, check_path
from . import links

FOLDER: Final = "linked"
"""First segment of the path of such a link; the link's own scheme, host and path follow."""
PREFIX: Final = f"/{FOLDER}/"

_NAMES = re.compile(
    r"(?i:(.*[_-])?(audio|href|image|link|location|output|uri|url|video)s?)|.*(Href|Link|URI|URL|Uri|Url)s?"
)
# Members whose links lead to pages of others, not to results.
_PAGES: Final = frozenset("annotations citations references search_results sources".split())
_PATH = re.compile(rf"{PREFIX}(https?)/([^/?]+)(/[^?]*)?(\?.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Two origins: the proxy's, as the client reaches it, and the provider's."""

    proxy: str
    provider: str

    def here(self, link: str) -> str:
        """A link that leads through the proxy: with the same path for one to the provider, else below FOLDER."""
        link = link.partition("#")[0]
        origin, slash, path = _split(link)
        if origin.lower() == self.provider:
            return f"{self.proxy}{slash}{path}"
        scheme, _, authority = origin.partition("://")
        return f"{self.proxy}{PREFIX}{scheme.lower()}/{authority}{slash}{path}"

    def lead_here(self, body: bytes, issued: Callable[[str], None]) -> bytes:
        """An answer's JSON with the links to results rewritten to lead through the proxy; other bodies unchanged.

        A link is a whole string whose member has a name such as `url` or `video_url`. `issued` is called with each
        original link.
        """
        if b"://" not in body and b":\\/\\/" not in body:
            return body
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return body
        if not json_text.is_container(text):
            return body
        pieces: list[str] = []
        position = 0
        for part in json_text.parts(text):
            if part.is_key or text[part.start] != '"' or not _is_result(part.path):
                continue
            value = json_text.string(text[part.start : part.end])
            if links.is_link(value) and not value.startswith(f"{self.proxy}/"):
                issued(value)
                pieces += (text[position : part.start], json.dumps(self.here(value)))
                position = part.end
        return "".join([*pieces, text[position:]]).encode() if pieces else body

    def lead_there(self, body: bytes) -> bytes:
        """A request's body with links through the proxy replaced by the originals, which the provider can reach."""
        host = self.proxy.partition("://")[2].encode()
        if host not in body:
            return body
        # JSON may escape slashes.
        slash = rb"(?P=slash)"
        folder = slash + FOLDER.encode() + slash + rb"(?P<scheme>https?)" + slash
        linked = re.compile(rb"https?:(?P<slash>\\?/)" + slash + re.escape(host) + rb"(?:" + folder + rb"|(?=\\?/))")
        scheme, _, authority = self.provider.encode().partition(b"://")

        def there(match: re.Match[bytes]) -> bytes:
            slashes = match["slash"] * 2
            return match["scheme"] + b":" + slashes if match["scheme"] else scheme + b":" + slashes + authority

        return linked.sub(there, body)


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


def _is_result(path: json_text.Path) -> bool:
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return bool(_NAMES.fullmatch(name)) and _PAGES.isdisjoint(path)


def _split(link: str) -> tuple[str, str, str]:
    """Origin of a link, the slash behind it (added if it is missing), and the rest."""
    scheme, _, rest = link.partition("://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    return f"{scheme}://{authority}", "/", rest[len(authority) :].removeprefix("/")
