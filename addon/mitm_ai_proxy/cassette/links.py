"""Links in recorded text: where they stand, which parameters only sign them, and one spelling for equal ones."""

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
"""Parameters of signed links, as auth.header.normal() spells them: CDNs, S3, GCS, Azure, OSS, COS, CloudFront,
Akamai."""
SIGNING_STARTS: Final = ("x_amz_", "x_goog_", "x_kcdn_", "x_oss_", "x_tos_", "x_cos_", "q_sign_", "kpx")

PORTS: Final = {"http": 80, "https": 443}

# Up to what cannot stand in a link. JSON may escape slashes; a text that is no whole JSON still has them so.
_LINK = re.compile(r"(?i)(?<![a-z0-9])https?:(?://|\\/\\/)[^\s\"'<>^`{|}]++")
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;?]++)=([^&#;]*+)")
_USER = re.compile(r"(?<=//)[^/?#@]*+@")


class Place(NamedTuple):
    """An address without what signs it."""

    scheme: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]


def signs(name: str) -> bool:
    """Whether a parameter of a URL is a signature, belongs to one, or is a credential."""
    known = normal(name)
    return known in SIGNING or known.startswith(SIGNING_STARTS) or is_credential(name)


def place(url: str) -> Place:
    """Scheme and host in lower case, no default port, path decoded, query sorted. Any text has a place."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Place("", "", url, ())
    address = host if port in (None, PORTS.get(parts.scheme)) else f"{host}:{port}"
    query = [pair for pair in _pairs(parts.query) if not signs(pair[0])]
    return Place(parts.scheme, address, unquote(parts.path) or "/", tuple(sorted(query)))


def unsigned(url: str) -> str:
    """The link without its signature, in one spelling: equal for links to the same file, however they are signed."""
    found = place(url)
    # Half a surrogate pair, as JSON may have it, cannot be encoded otherwise.
    query = f"?{urlencode(found.query, errors='surrogatepass')}" if found.query else ""
    path = quote(found.path, errors="surrogatepass")
    return f"{found.scheme}://{found.host}{path}{query}" if found.host else url


def is_link(text: str) -> bool:
    """Whether a text is one link and nothing else."""
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
    """The text with every link in it changed."""
    if "http" not in text.lower():
        return text
    return _LINK.sub(lambda match: change(match[0]), text)


def edit_parameters(url: str, change: Callable[[str, str], str]) -> str:
    """The URL with the values of its parameters changed, those of its fragment included; both as they are encoded."""
    return _PARAMETER.sub(lambda match: f"{match[1]}={change(match[1], match[2])}", url)


def edit_user(url: str, text: str) -> str:
    """The URL with another user and password, where it has one."""
    return _USER.sub(f"{text}@", url, count=1)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    except ValueError:
        return [("", query)]
