"""Static tokens in the Authorization header."""

from __future__ import annotations

from .header import Credential, authorization
from .secret import Secret


def bearer(token: Secret) -> Credential:
    """The token as Bearer (RFC 6750); unchanged if it begins with a scheme, as a client's may: `Basic dXNlcg==`."""
    text = token.reveal()
    return authorization(text if " " in text else f"Bearer {text}")
