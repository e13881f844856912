"""Amazon's Signature Version 4, in header fields. Source: AWS's reference of signing API requests.

The request is signed as it is sent: its own host, path and query, percent-encoded as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from .header import Credential
from .secret import Secret

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-._~"
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


class AwsKeys(NamedTuple):
    """A pair of access keys, and the token that belongs to it where it is temporary."""

    access_key: str
    secret_key: Secret
    session_token: Secret = Secret("")


class Scope(NamedTuple):
    """Where a signature holds: `us-east-1`, `bedrock`."""

    region: str
    service: str


class Request(NamedTuple):
    """A request as it is sent. `authority` is the value of its Host; `fields` (names in lower case) are signed too."""

    method: str
    authority: str
    target: str
    body: bytes = b""
    fields: Mapping[str, str] = _NO_FIELDS


def sign(request: Request, keys: AwsKeys, scope: Scope, now: float) -> Credential:
    """The header fields that sign a request: x-amz-date, authorization, and x-amz-security-token if there is one.

    `now` is Unix time in seconds. The request must not be changed any more.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    added = {"x-amz-date": moment}
    if keys.session_token:
        added["x-amz-security-token"] = keys.session_token.reveal()
    request = request._replace(fields={**request.fields, **added, "host": request.authority})
    names = ";".join(sorted(request.fields))
    where = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    signed = f"{ALGORITHM}\n{moment}\n{where}\n{_digest(canonical(request).encode())}"
    key = f"AWS4{keys.secret_key.reveal()}".encode()
    for word in (*where.split("/"), signed):
        key = hmac.digest(key, word.encode(), "sha256")
    authorization = f"{ALGORITHM} Credential={keys.access_key}/{where}, SignedHeaders={names}, Signature={key.hex()}"
    added["authorization"] = authorization
    return Credential({name.encode(): value.encode() for name, value in added.items()})


def canonical(request: Request) -> str:
    """The canonical request, whose hash is signed."""
    path, _, query = request.target.partition("?")
    fields = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in sorted(request.fields.items()))
    names = ";".join(sorted(request.fields))
    return "\n".join((request.method, _path(path), _query(query), fields, names, _digest(request.body)))


def _path(path: str) -> str:
    """Every segment encoded once more, as all services but S3 want it, after `.`, `..` and empty ones are resolved."""
    found: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del found[-1:]
        elif segment not in ("", "."):
            found.append(quote(segment, safe=_UNRESERVED, errors="surrogateescape"))
    end = "/" if found and path.endswith("/") else ""
    return f"/{'/'.join(found)}{end}"


def _query(query: str) -> str:
    """The parameters, sorted, in AWS's own way to write them; one without `=` has an empty value."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(
        f"{name}={value}" for name, value in sorted((_once(name), _once(value)) for name, _, value in pairs)
    )


def _once(text: str) -> str:
    return quote(unquote_to_bytes(text.encode("utf-8", "surrogateescape")), safe=_UNRESERVED)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
