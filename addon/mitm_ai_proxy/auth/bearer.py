"""Tokens sent as they are, in the Authorization header."""

from __future__ import annotations

from .header import Credential, authorization
from .secret import Secret


def bearer(token: Secret) -> Credential:
    """The token as Bearer (RFC 6750); with a scheme in front, as a client may send one, it stays as it is."""
    text = token.reveal()
    return authorization(text if " " in text else f"Bearer {text}")
