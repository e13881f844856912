"""Access tokens of a Google service account: RS256 JWTs that are exchanged for them.

Source: Google's documentation, OAuth 2.0 for server to server applications.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from ..wire.targets import Url
from .access_tokens import AccessToken, AccessTokens, TokenRequest
from .secret import Secret

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
LIFETIME: Final = 3600
"""Seconds of a JWT, which are also those of a token whose answer does not say."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MEMBERS: Final = ("client_email", "private_key_id", "private_key", "token_uri")
_FIELDS: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_LONGEST_REASON: Final = 300
_LONGEST_LIFE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What a key file of Google's says."""

    client_email: str
    key_id: str
    private_key: Secret
    token_url: Url
    project_id: str = ""


@functools.lru_cache(8)  # a private key is checked slowly, and a configuration asks several times
def account(text: str) -> ServiceAccount:
    """The account in the JSON of a key file. Raises ValueError, which says what is wrong and quotes nothing."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not the JSON of a service account's key") from None
    if not isinstance(document, dict):
        raise ValueError("is not the JSON object of a service account's key")
    missing = [name for name in _MEMBERS if not isinstance(document.get(name), str) or not document[name].strip()]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}: it is not a whole key of a service account")
    return ServiceAccount(
        document["client_email"].strip(),
        document["private_key_id"].strip(),
        _private_key(document["private_key"]),
        _token_url(document["token_uri"]),
        str(document.get("project_id") or ""),
    )


def _private_key(text: str) -> Secret:
    # Not at the top: start-up should not pay for it.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # In a text of YAML or of the environment, line ends may be written as two characters once too often.
    text = text.replace("\\n", "\n").strip() + "\n"
    try:
        found = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("has a private_key that is not PEM (PKCS#8) of RSA, without a passphrase") from None
    if not isinstance(found, RSAPrivateKey):
        raise ValueError("has a private_key that is not of RSA")
    return Secret(text)


def _token_url(text: str) -> Url:
    try:
        url = Url.parse(text)
    except ValueError:
        raise ValueError("has a token_uri that is no URL") from None
    if url.origin.scheme != "https" and url.origin.host not in _LOOPBACK:
        raise ValueError("has a token_uri that is not https")
    return url


def assertion(of: ServiceAccount, now: float) -> str:
    """The signed JWT that asks for a token."""
    import jwt

    claims = {
        "iss": of.client_email,
        "scope": SCOPE,
        "aud": str(of.token_url),
        "iat": int(now),
        "exp": int(now) + LIFETIME,
    }
    return jwt.encode(claims, of.private_key.reveal(), algorithm="RS256", headers={"kid": of.key_id})


class GoogleTokens(AccessTokens):
    """The tokens of a service account."""

    def __init__(self, of: ServiceAccount, ahead: float) -> None:
        super().__init__(ahead)
        self._account = of

    @property
    def name(self) -> str:
        """The e-mail address of the account."""
        return self._account.client_email

    @property
    def identity(self) -> object:
        """Its address, its key, and who is asked."""
        return self._account.client_email, self._account.key_id, self._account.token_url

    def request(self, now: float) -> TokenRequest:
        """The exchange of a JWT."""
        form = {"grant_type": _GRANT, "assertion": assertion(self._account, now)}
        return TokenRequest(self._account.token_url, _FIELDS, urlencode(form).encode())

    def read(self, status: int, body: bytes, now: float) -> AccessToken:
        """The token in an answer. Google's errors have a word and a sentence."""
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        told = document if isinstance(document, dict) else {}
        token = told.get("access_token")
        if status != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            words = [word for name in ("error", "error_description") if isinstance(word := told.get(name), str)]
            reason = f" ({': '.join(words)[:_LONGEST_REASON]})" if words else ""
            raise ValueError(f"{self._account.token_url.origin} answered with status {status}{reason}")
        seconds = told.get("expires_in")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < _LONGEST_LIFE:
            seconds = LIFETIME
        return AccessToken(Secret(token.strip()), now + seconds)
