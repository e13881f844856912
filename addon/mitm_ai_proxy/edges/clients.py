"""The clients that may use the proxy by tokens of their own (`clientTokens`): who is who, in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

from .. import errors
from ..auth.header import CLIENT_FIELDS, protocol_key, without_protocol_keys
from ..auth.secret import Secret
from ..wire.header_fields import Fields

_SCHEME: Final = b"bearer "


class Admitted(NamedTuple):
    """A client that may come in: its name, and its header fields without its token."""

    name: str
    fields: Fields


class Clients:
    """Those that `clientTokens` names; without any, everybody is let in."""

    def __init__(self, tokens: Mapping[str, tuple[Secret, ...]]) -> None:
        # Digests are of one length, so that comparing tells nothing of a token's.
        self._known = [(name, _digest(token.reveal().encode())) for name, own in tokens.items() for token in own]

    def __bool__(self) -> bool:
        return bool(self._known)

    def admit(self, fields: Fields) -> Admitted:
        """The client that sent these header fields. Raises Refusal (401) for one without a token.

        The token stands in a field in which SDKs send keys, with `Bearer` before it or not.
        """
        if not self._known:
            return Admitted("", fields)
        found = ""
        kept: list[tuple[bytes, bytes]] = []
        for name, value in fields:
            owner = self._owner(value) if name.lower() in CLIENT_FIELDS else ""
            key = protocol_key((name, value))
            if owner:
                found = owner
            elif key and (by_key := self._owner(key)):
                found = by_key
                kept += without_protocol_keys(((name, value),))
            else:
                kept.append((name, value))
        if not found:
            raise errors.no_client_token()
        return Admitted(found, tuple(kept))

    def _owner(self, value: bytes) -> str:
        text = value.strip()
        if text[: len(_SCHEME)].lower() == _SCHEME:
            text = text[len(_SCHEME) :].strip()
        digest, found = _digest(text), ""
        for name, known in self._known:
            # All of them, whichever it is.
            if hmac.compare_digest(digest, known):
                found = name
        return found


NO_CLIENTS: Final = Clients({})


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
