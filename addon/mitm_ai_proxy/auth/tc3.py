"""Tencent Cloud's signature TC3-HMAC-SHA256, in header fields. Source: Tencent Cloud API, signature v3."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from .header import Credential, authorization
from .secret import Secret

ALGORITHM: Final = "TC3-HMAC-SHA256"
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


class Tc3Keys(NamedTuple):
    """A pair of keys: SecretId and SecretKey."""

    secret_id: str
    secret_key: Secret


class Request(NamedTuple):
    """A POST to `/` as it is sent. `authority` is the value of its Host, `content_type` that of its Content-Type.

    `fields` (names in lower case) are signed too, as `x-tc-action`.
    """

    authority: str
    content_type: str
    body: bytes
    fields: Mapping[str, str] = _NO_FIELDS


def sign(request: Request, keys: Tc3Keys, service: str, now: int) -> Credential:
    """The Authorization that signs a request, which must not be changed any more.

    `service` is the first word of the host, as `hunyuan`; `now` is what X-TC-Timestamp says, in seconds.
    """
    fields = {**request.fields, "content-type": request.content_type, "host": request.authority}
    names = ";".join(sorted(fields))
    lines = "".join(f"{name}:{value.strip().lower()}\n" for name, value in sorted(fields.items()))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{_digest(request.body)}"
    scope = f"{time.strftime('%Y-%m-%d', time.gmtime(now))}/{service}/tc3_request"
    signed = f"{ALGORITHM}\n{now}\n{scope}\n{_digest(canonical.encode())}"
    key = f"TC3{keys.secret_key.reveal()}".encode()
    for word in (*scope.split("/"), signed):
        key = hmac.digest(key, word.encode(), "sha256")
    return authorization(
        f"{ALGORITHM} Credential={keys.secret_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
