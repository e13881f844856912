"""Credentials in header fields and queries: the value, the names that hold one, and redaction."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Container, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ..wire.header_fields import Fields

REDACTED: Final = "[sent to the provider, not kept]"
_REDACTED: Final = REDACTED.encode()
CLIENT_FIELDS: Final = frozenset(
    b"authorization proxy-authorization x-api-key x-authorization api-key x-goog-api-key cookie".split()
)
"""Header fields in which clients send credentials, in lower case. A provider that has a credential gets none."""
KEY_PARAMETERS: Final = frozenset(("key", "api_key", "apikey", "api-key"))
"""Parameters of a query in which clients send a key, in lower case: Google's send `key`."""

_PROTOCOL: Final = b"sec-websocket-protocol"
_IN_PROTOCOL: Final = b"openai-insecure-api-key."
"""How the item of Sec-WebSocket-Protocol begins in which a web page sends its key to OpenAI's Realtime API, since it
cannot set other header fields. Source: OpenAI's documentation, Realtime with WebSockets."""
_KEY_IN_PROTOCOL: Final = re.compile(rb"(" + re.escape(_IN_PROTOCOL) + rb")([^,\s]*)")

_LONGEST_NAME: Final = 200
# The end of the name counts: `max_tokens`, `token_type`, `next_page_token` and `api_key_name` do not match.
_CREDENTIAL = re.compile(
    r"""(?:x_)?token | (?:.*_)?(?:
        api_?key | access_?key(?:_?id)? | private_?key | signing_?key | auth_?key | subscription_?key
        | secret(?:_?key|_?token|_?access_?key)?
        | (?:access|refresh|id|auth|api|session|security|bearer|csrf|xsrf|user|oauth2?|app|service|personal)_?token
        | password | passwd | pwd | passphrase | signature | credentials? | authorization | cookies? | jwt | bearer
    )""",
    re.VERBOSE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


class Credential(NamedTuple):
    """What authenticates a request: header fields to set (names in lower case), and query parameters to add.

    `query` is percent-encoded: `key=abc`. Both are secret, and redacted once the request has been sent.
    """

    fields: Mapping[bytes, bytes] = MappingProxyType({})
    query: str = ""

    @property
    def values(self) -> tuple[bytes, ...]:
        """All that is secret of it."""
        parts = self.query.split("&") if self.query else []
        return (*self.fields.values(), *(part.partition("=")[2].encode() for part in parts))


NO_CREDENTIAL: Final = Credential()


def authorization(value: str) -> Credential:
    """A credential in the Authorization header field."""
    return Credential({b"authorization": value.encode("utf-8", "surrogateescape")})


def normal(name: str) -> str:
    """A name in snake_case: `X-Api-Key` gives `x_api_key`, `accessToken` gives `access_token`."""
    return _NO_NAME.sub("_", _CAMEL.sub("_", name[-_LONGEST_NAME:])).strip("_").lower()


@functools.lru_cache(4096)
def is_credential(name: str) -> bool:
    """Whether a header, parameter or member of this name holds a credential."""
    return _CREDENTIAL.fullmatch(normal(name)) is not None


@functools.lru_cache(4096)
def is_secret_field(name: bytes) -> bool:
    """Whether a header field of this name, in any case, holds a credential."""
    lower = name.lower()
    return lower in CLIENT_FIELDS or is_credential(lower.decode("latin-1"))


def redacted(fields: Fields, names: Collection[bytes] = ()) -> Fields:
    """The fields, with REDACTED as the value of those in `names` (in lower case) and of those that hold credentials."""
    return tuple(
        [
            (field[0], _REDACTED)
            if is_secret_field(field[0]) or (names and field[0].lower() in names)
            else field
            if _IN_PROTOCOL not in field[1]
            else (field[0], _KEY_IN_PROTOCOL.sub(rb"\1redacted", field[1]))
            for field in fields
        ]
    )


def protocol_key(field: tuple[bytes, bytes]) -> bytes:
    """The key in a field Sec-WebSocket-Protocol; b"" for another field."""
    found = _IN_PROTOCOL in field[1] and field[0].lower() == _PROTOCOL and _KEY_IN_PROTOCOL.search(field[1])
    return found[2] if found else b""


def without_protocol_keys(fields: Fields) -> Fields:
    """The fields without keys in Sec-WebSocket-Protocol; the same object if there are none."""
    # All at once, for it is done for each request.
    if _IN_PROTOCOL not in b"\n".join([value for _, value in fields]):
        return fields
    return tuple(_without_key(field) for field in fields if field[0].lower() != _PROTOCOL or _without_key(field)[1])


def _without_key(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    if field[0].lower() != _PROTOCOL:
        return field
    items = [item.strip() for item in field[1].split(b",")]
    return field[0], b", ".join(item for item in items if item and not item.startswith(_IN_PROTOCOL))


def redacted_target(target: str, names: Container[str] | None = None) -> str:
    """A path and query with `redacted` for the values of parameters in `names` (in lower case).

    Without `names`, for those of all that hold a credential by their name.
    """
    if "?" not in target:
        return target
    path, _, query = target.partition("?")
    parts = [_redacted_parameter(part, names) for part in query.split("&")]
    return f"{path}?{'&'.join(parts)}"


def _redacted_parameter(parameter: str, names: Container[str] | None) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals:
        return parameter
    lower = name.lower()
    is_secret = lower in KEY_PARAMETERS or is_credential(name) if names is None else lower in names
    return f"{name}=redacted" if is_secret else parameter


def without_redacted(target: str) -> str:
    """A path and query without the parameters that redacted_target() has left `redacted`, which hold nothing."""
    path, question, query = target.partition("?")
    kept = [
        part
        for part in query.split("&")
        if not part.endswith("=redacted") or _redacted_parameter(part[:-8], None) != part
    ]
    return f"{path}?{'&'.join(kept)}" if question and kept else path


def redacted_query(credential: Credential) -> str:
    """The query of a credential with `redacted` for each value: `key=redacted`."""
    names = [part.partition("=")[0] for part in credential.query.split("&") if part]
    return "&".join(f"{name}=redacted" for name in names)
