"""Tables of the names and the shapes of secrets, and of the marks that replace them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MARK: Final = "[scrubbed]"
"""The replacement of a secret."""
LINK_MARK: Final = "scrubbed"
"""The replacement in URLs and forms, where brackets would have to be encoded."""
MARKS: Final = (MARK, LINK_MARK)

PROMPTS: Final = frozenset("prompt negative_prompt text sound_effect_prompt bgm_prompt revised_prompt".split())
"""The names in the group `prompts`."""
ACCOUNTS: Final = frozenset(
    """
    user_id uid account_id account_name customer_id resource_pack_id resource_pack_name owned_by api_key_name
    organization organization_id org_id openai_organization openai_project project_id
    """.split()
)
"""The names in the group `accounts`."""
GROUPS: Final = {"prompts": PROMPTS, "accounts": ACCOUNTS}

MIN_KNOWN: Final = 6
"""Characters of a known secret; a shorter one may be part of ordinary words."""
_MIN_ENCODED: Final = 10

# The start of a word, also behind an escape of JSON or of a URL.
_START = r"(?:(?<![\w\\-])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
_SHAPES: Final = (
    # A JWT, signed or encrypted: three or five parts.
    ("eyJ", re.compile(rf"{_START}eyJ[\w-]{{4,}}+(?:\.[\w-]*+){{2,4}}", re.ASCII), MARK),
    ("sk-", re.compile(rf"{_START}sk-[\w-]{{12,}}", re.ASCII), MARK),
    ("sk_", re.compile(rf"{_START}sk_(?:live|test)_\w{{8,}}", re.ASCII), MARK),
    ("api-key-kling-", re.compile(r"api-key-kling-[\w-]+", re.ASCII), MARK),
    ("AKIA", re.compile(r"(?<![A-Z0-9])AKIA[A-Z0-9]{12,}"), MARK),
    ("ASIA", re.compile(r"(?<![A-Z0-9])ASIA[A-Z0-9]{16}(?![A-Z0-9])"), MARK),
    ("AIza", re.compile(rf"{_START}AIza[\w-]{{30,}}", re.ASCII), MARK),
    ("whsec_", re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), MARK),
    ("earer", re.compile(r"((?<![A-Za-z])Bearer(?:\s|%20|\+)+)[\w.~+/-]{6,}=*", re.ASCII), rf"\1{MARK}"),
    # In lower case it is also an ordinary word in prompts.
    (
        "earer",
        re.compile(r"((?<![A-Za-z])bearer(?:\s|%20|\+)+)(?=[A-Za-z_.~+/-]*[0-9])[\w.~+/-]{6,}=*", re.ASCII),
        rf"\1{MARK}",
    ),
)
_SCHEME = re.compile(r"(?i)(bearer|basic|digest|token|key|apikey|negotiate|aws4-hmac-sha256)\s+\S.*", re.DOTALL)


def authorization(value: str) -> str:
    """The value of a header with a credential, scrubbed except for its scheme."""
    scheme = _SCHEME.fullmatch(value)
    return f"{scheme[1]} {MARK}" if scheme else MARK


def shapeless(text: str, mark: str) -> str:
    """The text with `mark` in place of all that has the shape of a secret."""
    for word, shape, replacement in _SHAPES:
        if word in text:
            text = shape.sub(replacement.replace(MARK, mark), text)
    return text


def spellings(known: Iterable[str]) -> tuple[str, ...]:
    """The secrets in all their encodings in text, the longest first."""
    found: set[str] = set()
    for secret in {text.strip() for text in known}:
        if len(secret) < MIN_KNOWN or any(secret in mark for mark in MARKS):
            continue
        escaped = [json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
        found |= {secret, *escaped, *(text.replace("/", "\\/") for text in escaped)}
        for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
            found |= {encoded, re.sub("%..", lambda code: code[0].lower(), encoded)}
        found.update(_in_base64(secret.encode("utf-8", "surrogatepass")))
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def _in_base64(secret: bytes) -> Iterable[str]:
    """The part of the base64 of any text that depends on the secret in it only, for each of three alignments."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        # The characters at both ends have bits of the bytes beside the secret.
        first = (before * 8 + 5) // 6
        last = (before + len(secret)) * 8 // 6
        whole = text[first:last]
        if len(whole) >= _MIN_ENCODED:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")
