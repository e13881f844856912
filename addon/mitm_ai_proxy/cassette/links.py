"""Links in recorded text: finding and editing them, their signatures, and one spelling for links to the same file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..auth.header import is_credential, normal

SIGNING: Final = frozenset(
    """
    sign sig signature e exp expire expires token auth_key policy key_pair_id hdnts hdnea hdntl
    se st ske skt ws_secret ws_time security_token google_access_id q_ak q_key_time q_signature x_signature x_expires
    """.split()
)
"""Parameters that sign links, as auth.header.normal() spells them: CDNs, S3, GCS, Azure, OSS, COS, CloudFront,
Akamai."""
SIGNING_STARTS: Final = ("x_amz_", "x_goog_", "x_kcdn_", "x_oss_", "x_tos_", "x_cos_", "q_sign_", "kpx")

PORTS: Final = {"http": 80, "https": 443}

# Up to a character that a link cannot have. Slashes may be escaped, as in pieces of JSON.
_LINK = re.compile(r"(?i)(?<![a-z0-9])https?:(?://|\\/\\/)[^\s\"'<>^`{|}]++")
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;?]++)=([^&#;]*+)")
_USER = re.compile(r"(?<=//)[^/?#@]*+@")


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
