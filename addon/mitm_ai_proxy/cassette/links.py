"""Links in recorded text: finding and editing them, their signatures, and one spelling for links to the same file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..auth.header import is_credential, normal
from ..wire import json_text
from .entry import Entry, header

SIGNING: Final = frozenset(
    """
    sign sig signature e exp expire expires token auth_key policy key_pair_id hdnts hdnea hdntl
    se st ske skt ws_secret ws_time security_token google_access_id q_ak q_key_time q_signature x_signature x_expires
    """.split()
)
"""Parameters that sign links, as auth.header.normal() spells them: CDNs, S3, GCS, Azure, OSS, COS, CloudFront,
Akamai."""
SIGNING_STARTS: Final = ("x_amz_", "x_goog_", "x_kcdn_", "x_oss_", "x_tos_", "x_cos_", "q_sign_", "kpx")

WEAK: Final = frozenset("e exp st se ske skt policy".split())
"""Those of them that sign nothing alone: they may be an ordinary parameter's name, such as a status."""
_SAS: Final = frozenset("sp sv sr".split())
"""Parameters of Azure's that stand beside those in WEAK."""

PORTS: Final = {"http": 80, "https": 443}

# Up to a character that a link cannot have. Slashes may be escaped, as in pieces of JSON.
_LINK = re.compile(r"(?i)(?<![a-z0-9])https?:(?://|\\/\\/)[^\s\"'<>^`{|}]++")
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;?]++)=([^&#;]*+)")
_USER = re.compile(r"(?<=//)[^/?#@]*+@")
# RFC 3986, appendix B.
_REFERENCE = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_NOT_ENCODED = re.compile(r"[^\x21-\x7e]|[\"<>^`{|}]")


class Place(NamedTuple):
    """The parts of a URL, without its signature."""

    scheme: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]


def signs(name: str) -> bool:
    """Whether a parameter of a URL is a signature, part of one, or a credential."""
    known = normal(name)
    return known in SIGNING or known.startswith(SIGNING_STARTS) or is_credential(name)


def is_signed(url: str) -> bool:
    """Whether a link has its own permission in its query, so that whoever has the link may follow it."""
    names = [normal(name) for name, _ in _pairs(url.partition("#")[0].partition("?")[2])]
    weak = {name for name in names if name in WEAK or name in _SAS}
    return len(weak) > 1 or any(signs(name) and name not in WEAK for name in names)


def resolved(reference: str, base: str) -> str:
    """A reference, such as the value of Location, as an absolute URL (RFC 3986, section 5.2); otherwise unchanged."""
    scheme, authority, path, query, fragment = _parts(reference)
    own_scheme, own_authority, own_path, own_query, _ = _parts(base)
    if scheme is None:
        scheme = own_scheme
        if authority is None:
            authority = own_authority
            if not path:
                path, query = own_path, own_query if query is None else query
            elif not path.startswith("/"):
                path = f"{own_path[: own_path.rfind('/') + 1] or '/'}{path}"
    if scheme is None or authority is None:
        return reference
    return f"{scheme}://{authority}{_without_dots(path)}{query or ''}{fragment or ''}"


def encoded(url: str) -> str:
    """The URL with the characters encoded that no URL can have, as clients do before they follow it."""
    return _NOT_ENCODED.sub(lambda match: quote(match[0], errors="surrogateescape"), url)


def place(url: str) -> Place:
    """The place of any URL or text: scheme and host in lower case, no default port, path decoded, query sorted."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Place("", "", url, ())
    address = host if port in (None, PORTS.get(parts.scheme)) else f"{host}:{port}"
    query = [pair for pair in _pairs(parts.query) if not signs(pair[0])]
    return Place(parts.scheme, address, unquote(parts.path) or "/", tuple(sorted(query)))


def unsigned(url: str) -> str:
    """The link without its signature, in one spelling for all links to the same file."""
    found = place(url)
    # JSON may have half a surrogate pair, which UTF-8 cannot encode.
    query = f"?{urlencode(found.query, errors='surrogatepass')}" if found.query else ""
    path = quote(found.path, errors="surrogatepass")
    return f"{found.scheme}://{found.host}{path}{query}" if found.host else url


def is_link(text: str) -> bool:
    """Whether a whole text is one link."""
    return text[:8].lower().startswith(("http://", "https://")) and bool(_LINK.fullmatch(text))


def in_answer(entry: Entry) -> Iterator[str]:
    """All links in a recorded answer, with a Location of any form."""
    if entry.response is None:
        return
    location = header(entry.response.headers, "location")
    if location:
        yield encoded(resolved(location, entry.request.url))
    try:
        text = entry.response.body.decode()
    except UnicodeDecodeError:
        return
    # Events and lines of JSON are not parsed for this.
    for value in [*json_text.strings(text)] or [text.replace("\\/", "/")]:
        yield from found(value)


def found(text: str) -> Iterator[str]:
    """The links in a text."""
    if "://" in text:
        yield from (match[0] for match in _LINK.finditer(text))


def origin(url: str) -> str:
    """Scheme and host of a URL, without a default port."""
    found = place(url)
    return f"{found.scheme}://{found.host}"


def edit(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to each link."""
    if "http" not in text.lower():
        return text
    return _LINK.sub(lambda match: change(match[0]), text)


def edit_parameters(url: str, change: Callable[[str, str], str]) -> str:
    """The URL with change(name, value) as the value of each parameter, also in its fragment; all stay encoded."""
    return _PARAMETER.sub(lambda match: f"{match[1]}={change(match[1], match[2])}", url)


def edit_user(url: str, text: str) -> str:
    """The URL with `text` in place of its user and password, if it has any."""
    return _USER.sub(f"{text}@", url, count=1)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    except ValueError:
        return [("", query)]


def _parts(url: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    """Scheme, authority, path, query with its question mark and fragment with its number sign of any reference."""
    match = _REFERENCE.fullmatch(url)
    assert match
    scheme, authority, path, query, fragment = match.groups()
    return scheme, authority, path, query, fragment


def _without_dots(path: str) -> str:
    """The path without its dot segments (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    *segments, last = path.split("/")
    for segment in segments:
        if segment == "..":
            kept = kept[:-1] or [""]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        kept = kept[:-1] or [""]
    return "/".join([*kept, "" if last in (".", "..") else last])
