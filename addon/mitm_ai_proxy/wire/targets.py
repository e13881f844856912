"""Origins and request targets: base paths, path templates, ids, queries.

Percent-encoding is decoded only to refuse what is dangerous; targets are never normalised.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus

from ..errors import bad_path

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_ID_LENGTH = 256
"""Characters of a decoded id. Kling's task ids have 18 digits; an `external_task_id` is free text of the client."""

_HOST_NAME = re.compile(r"(?=.{1,253}$)(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Fast path: most paths and ids have no character that could be dangerous.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_-]*")
_PLAIN_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_LENGTH}}}")
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an upstream (RFC 6454); `host` without brackets."""

    scheme: str
    host: str
    port: int
    authority: str = field(init=False, compare=False)
    """The value of a Host header: with the port only if it is not the scheme's default."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "authority", authority)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Parse `host`, `host:port` or `scheme://host[:port]`; https without a scheme.

        Raises ValueError with a message that does not quote a credential.
        """
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            scheme, rest = "https", scheme
        scheme = scheme.lower()
        if scheme not in DEFAULT_PORTS:
            # More than letters may be a credential.
            raise ValueError(f"unknown scheme{f' {scheme!r}' if scheme.isalpha() else ''}: use http or https")
        rest = rest.removesuffix("/")
        if "/" in rest or "?" in rest or "#" in rest:
            raise ValueError("has a path: give the host here and the path in providerBasePath")
        if "@" in rest:
            raise ValueError("has a user name: credentials belong into their own keys")
        host, port = split_host_port(rest)
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that a person writes: its origin, its path without a slash at the end ("" for none), its raw query."""

    origin: Origin
    path: str = ""
    query: str = ""

    def __str__(self) -> str:
        return join_query(f"{self.origin}{self.path}", self.query)

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse `https://host/path?query`; https without a scheme.

        Raises ValueError with a message that does not quote a credential.
        """
        scheme, separator, rest = text.strip().rpartition("://")
        if "#" in rest:
            raise ValueError("has a fragment (#)")
        before, _, query = rest.partition("?")
        authority, slash, path = before.partition("/")
        target = f"{path}{query}"
        if not target.isascii() or not target.isprintable() or " " in target:
            raise ValueError("has a character that no URL has in its path or query")
        if any(segment in (".", "..") for segment in unquote(path).split("/")):
            raise ValueError("has a '.' or '..' segment in its path")
        path = re.sub("/{2,}", "/", f"{slash}{path}").rstrip("/")
        return cls(Origin.parse(f"{scheme}{separator}{authority}"), path, query)


def split_host_port(text: str) -> tuple[str, int | None]:
    """Parse `host`, `host:port`, `[address]` or `[address]:port`. The host is in lower case. Raises ValueError."""
    host, bracket, rest = text.removeprefix("[").partition("]") if text.startswith("[") else (text, "", "")
    if bracket:
        if ipaddress.IPv6Address(host).scope_id:
            raise ValueError("has a zone, which means something to this machine only")
        separator, port = rest[:1], rest[1:]
        if rest and separator != ":":
            raise ValueError("has text behind the address")
    else:
        host, separator, port = text.partition(":")
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("is not a host name or address")
    if not separator:
        return host.lower(), None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("has no port between 1 and 65535 behind the colon")
    return host.lower(), int(port)


def split_query(path: str) -> tuple[str, str]:
    """The path and the query of an origin-form target; the query without its question mark."""
    path, _, query = path.partition("?")
    return path, query


def join_query(path: str, query: str) -> str:
    """The target of a path and a query; without a question mark if the query is empty."""
    return f"{path}?{query}" if query else path


def check_path(path: str) -> None:
    """Raise Refusal (400) for a path (no query) with a dot segment or a control character, encoded or not.

    Such a path could leave the provider's base path. Servlet containers leave out what is behind a semicolon (`..;a`).
    """
    if _PLAIN_PATH.fullmatch(path):
        return
    decoded = unquote(path)
    if _CONTROL.search(decoded):
        raise bad_path("The path holds a control character.")
    if any(segment.partition(";")[0] in (".", "..") for segment in re.split(r"[/\\]", decoded)):
        raise bad_path("The path holds a '.' or '..' segment.")


def check_id(name: str, value: str) -> None:
    """Raise Refusal (400) for an id in a path that a provider could read as something else.

    That is: an empty one, `.`, `..`, one longer than MAX_ID_LENGTH, with bad percent-encoding, or with a slash,
    backslash, question mark, number sign or control character, encoded or not.
    """
    if _PLAIN_ID.fullmatch(value):
        return
    if not value:
        raise bad_path(f"The {name} is empty.", param=name)
    if _BAD_PERCENT.search(value):
        raise bad_path(f"The {name} has broken percent-encoding.", param=name)
    decoded = unquote(value)
    if len(decoded) > MAX_ID_LENGTH:
        raise bad_path(f"The {name} is longer than {MAX_ID_LENGTH} characters.", param=name)
    if decoded in (".", ".."):
        raise bad_path(f"The {name} is a dot segment.", param=name)
    if re.search(r"[/\\?#]", decoded) or _CONTROL.search(decoded):
        raise bad_path(
            f"The {name} holds a slash, backslash, question mark, number sign or control character.", param=name
        )


def is_under(path: str, base: str) -> bool:
    """Whether the path is the base or below it, compared by whole segments."""
    return path == base or path.startswith(base + "/")


def remove_prefix(path: str, base: str) -> str:
    """The path without the base at its start; unchanged if it is not below it."""
    if not base or not is_under(path, base):
        return path
    return path[len(base) :] or "/"


def add_prefix(path: str, base: str) -> str:
    """The path below the base; unchanged if it is there already."""
    return path if is_under(path, base) else base + path


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with `{name}` replaced by values[name]; kept if there is no such value."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def placeholders(template: str) -> set[str]:
    """The names in braces in a path template."""
    return set(_PLACEHOLDER.findall(template))


def merge_queries(own: str, query: str) -> str:
    """The own query of a target, and behind it the client's, less the parts that the own one has.

    Without an own one, the client's stays to the byte. Source: Higress ai-proxy, kling.
    """
    if not own or not query:
        return own or query
    parts = own.split("&")
    return "&".join([*parts, *(part for part in query.split("&") if part not in parts)])


def with_parameter(query: str, name: str, change: Callable[[str], str]) -> str:
    """The query with the value of a parameter changed where it stands, if it is another; all else stays."""
    if name not in query and "%" not in query:
        return query
    parts = []
    for part in query.split("&"):
        key, _, raw = part.partition("=")
        if unquote_plus(key) == name and not _BAD_PERCENT.search(raw):
            value = unquote_plus(raw)
            changed = change(value)
            part = part if changed == value else f"{key}={quote(changed, safe='')}"
        parts.append(part)
    return "&".join(parts)


def pop_parameter(query: str, name: str) -> tuple[str | None, str]:
    """Remove a parameter: its decoded value (the last one that can be decoded, or None), and the query without it.

    Names may be percent-encoded. A part with an undecodable name is kept, one with an undecodable value is removed.
    """
    if not query:
        return None, ""
    value: str | None = None
    kept: list[str] = []
    for part in query.split("&"):
        key, _, raw = part.partition("=")
        if unquote_plus(key) != name:
            kept.append(part)
        elif not _BAD_PERCENT.search(raw):
            value = unquote_plus(raw)
    return value, "&".join(kept)
