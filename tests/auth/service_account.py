"""A service account of Google's for tests: a new key, and the JSON that Google gives for one."""

from __future__ import annotations

import functools
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

EMAIL = "proxy@my-project.iam.gserviceaccount.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"


@functools.cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def pem() -> str:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return private_key().private_bytes(kind, form, serialization.NoEncryption()).decode()


def public_pem() -> str:
    kind, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key().public_key().public_bytes(kind, form).decode()


def key_file(**members: object) -> str:
    """The JSON of a key; a member that is None is missing."""
    document = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "key-1",
        "private_key": pem(),
        "client_email": EMAIL,
        "token_uri": TOKEN_URL,
        **members,
    }
    return json.dumps({name: value for name, value in document.items() if value is not None}, indent=2)
