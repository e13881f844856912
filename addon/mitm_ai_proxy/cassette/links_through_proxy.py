"""Links to a provider's results, rewritten so that they lead through the proxy, and back.

In reverse mode a client would fetch a result past the proxy; a recording would lack it, and a replay need the network.
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
"""First segment of such a path; scheme, host and the path of the link follow."""
PREFIX: Final = f"/{FOLDER}/"

_NAMES = re.compile(
    r"(?i:(.*[_-])?(audio|href|image|link|location|output|uri|url|video)s?)|.*(Href|Link|URI|URL|Uri|Url)s?"
)
# Pages that an answer speaks of, which are nobody's result.
_PAGES: Final = frozenset("annotations citations references search_results sources".split())
_PATH = re.compile(rf"{PREFIX}(https?)/([^/?]+)(/[^?]*)?(\?.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the client finds the proxy, and what stands behind it: two origins."""

    proxy: str
    provider: str

    def here(self, link: str) -> str:
        """The link as it leads through the proxy: to the provider as any request, to another host by its name."""
        link = link.partition("#")[0]
        origin, slash, path = _split(link)
        if origin.lower() == self.provider:
            return f"{self.proxy}{slash}{path}"
        scheme, _, authority = origin.partition("://")
        return f"{self.proxy}{PREFIX}{scheme.lower()}/{authority}{slash}{path}"

    def lead_here(self, body: bytes, issued: Callable[[str], None]) -> bytes:
        """An answer's JSON in which the links to results lead through the proxy; anything else as it is.

        A link is a whole string whose name says so, such as `url` or `video_url`. `issued` gets each as it was.
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
        """A request's body in which links to results are the provider's own again: it could not come here."""
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
    """The origin, and the path with its query, of the link that a path stands for; None for any other path.

    Raises Refusal (400) for one that a host could read as something else.
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
    """Origin, the slash behind it (where there is none, one is put there), and the rest."""
    scheme, _, rest = link.partition("://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    return f"{scheme}://{authority}", "/", rest[len(authority) :].removeprefix("/")
