"""Tables of the names and the shapes of secrets, and of the marks that replace them."""

from __future__ import annotations

import base64
import functools
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

KEYS: Final[tuple[tuple[str, str], ...]] = (
    ("AIza", r"[\w-]{30,}"),  # Google
    ("AQ.Ab8R", r"[\w-]{20,}"),
    ("ya29.", r"[\w.-]{20,}"),
    ("GOCSPX-", r"[\w-]{20,}"),
    ("ABSK", r"[A-Za-z0-9+/]{60,}=*"),  # Amazon Bedrock
    ("bedrock-api-key-", r"[A-Za-z0-9+/_-]{20,}=*"),
    ("LTAI", r"[A-Za-z0-9]{12,}(?!\w)"),  # Alibaba
    ("AKID", r"[A-Za-z0-9]{13,}(?!\w)"),  # Tencent
    ("AKLT", r"[A-Za-z0-9]{16,}={0,2}"),  # Volcengine
    ("bce-v3/ALTAK-", r"[\w/-]{16,}"),  # Baidu
    ("sk_", r"[0-9a-f]{32,}"),  # ElevenLabs
    ("hf_", r"[A-Za-z0-9]{20,}"),  # Hugging Face
    ("api_org_", r"[A-Za-z0-9]{20,}"),
    ("r8_", r"[A-Za-z0-9]{30,}"),  # Replicate
    ("xai-", r"[A-Za-z0-9]{20,}"),
    ("gsk_", r"[A-Za-z0-9]{20,}"),  # Groq
    ("pplx-", r"[A-Za-z0-9]{20,}"),  # Perplexity
    ("csk-", r"[A-Za-z0-9]{20,}"),  # Cerebras
    ("nvapi-", r"[\w-]{20,}"),
    ("fw_", r"[A-Za-z0-9]{20,}"),  # Fireworks
    ("tgp_v1_", r"[\w-]{20,}"),  # Together
    ("key_", r"[0-9a-f]{32,}"),  # Runway
    ("luma-", r"[0-9a-f]{8}-[0-9a-f-]{27,}"),
    ("dapi", r"[0-9a-f]{32}(?:-\d+)?(?!\w)"),  # Databricks
    ("tvly-", r"[\w-]{16,}"),  # Tavily
    ("jina_", r"[A-Za-z0-9]{20,}"),
    ("lsv2_", r"(?:pt|sk)_\w{20,}"),  # LangSmith
    ("pcsk_", r"\w{20,}"),  # Pinecone
    ("ghp_", r"[A-Za-z0-9]{20,}"),  # GitHub
    ("gho_", r"[A-Za-z0-9]{20,}"),
    ("ghu_", r"[A-Za-z0-9]{20,}"),
    ("ghs_", r"[A-Za-z0-9]{20,}"),
    ("ghr_", r"[A-Za-z0-9]{20,}"),
    ("github_pat_", r"\w{20,}"),
    ("glpat-", r"[\w-]{16,}"),  # GitLab
    ("xox", r"[abeoprs][.-][\w-]{10,}"),  # Slack
    ("xapp-", r"[\w-]{10,}"),
    ("rk_", r"(?:live|test)_\w{8,}"),  # Stripe
    ("SG.", r"[\w-]{16,}\.[\w-]{16,}"),  # SendGrid
    ("npm_", r"[A-Za-z0-9]{30,}"),
    ("pypi-", r"AgE[\w-]{30,}"),
    ("dckr_pat_", r"[\w-]{16,}"),
    ("sbp_", r"[0-9a-f]{30,}"),  # Supabase
    ("ntn_", r"[A-Za-z0-9]{30,}"),  # Notion
    ("lin_api_", r"[A-Za-z0-9]{20,}"),  # Linear
)
"""How keys begin, and a pattern of what follows, by the vendors' documentation and the rules of secret scanners."""

# Behind an escape of JSON, of a URL or of wire/printable.py, or the end of a terminal's colour.
_ESCAPED = (
    r"(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9a-f]{2})|(?<=\\U[0-9a-f]{8})|(?<=[\[0-9]m)"
)
# The start of a word.
_START = rf"(?:(?<![\w\\-])|{_ESCAPED})"
_SHAPES: Final = (
    # A JWT, signed or encrypted: three or five parts.
    ("eyJ", re.compile(rf"{_START}eyJ[\w-]{{4,}}+(?:\.[\w-]*+){{2,4}}", re.ASCII), MARK),
    ("sk-", re.compile(rf"{_START}sk-[\w-]{{12,}}", re.ASCII), MARK),
    ("sk_", re.compile(rf"{_START}sk_(?:live|test)_\w{{8,}}", re.ASCII), MARK),
    ("api-key-kling-", re.compile(r"api-key-kling-[\w-]+", re.ASCII), MARK),
    ("AKIA", re.compile(rf"(?:(?<![A-Z0-9])|{_ESCAPED})AKIA[A-Z0-9]{{12,}}"), MARK),
    ("ASIA", re.compile(rf"(?:(?<![A-Z0-9])|{_ESCAPED})ASIA[A-Z0-9]{{16}}(?![A-Z0-9])"), MARK),
    *((word, re.compile(rf"{_START}{re.escape(word)}{rest}", re.ASCII), MARK) for word, rest in KEYS),
    (
        "PRIVATE KEY",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S),
        MARK,
    ),
    ("hooks.slack.com", re.compile(r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/]+", re.ASCII), MARK),
    # fal: an id and a secret.
    (":", re.compile(rf"{_START}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}:[0-9a-f]{{32}}(?!\w)"), MARK),
    # Zhipu: an id and a secret.
    (".", re.compile(rf"{_START}[0-9a-f]{{32}}\.[A-Za-z0-9]{{16}}(?!\w)"), MARK),
    ("whsec_", re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), MARK),
    (
        "earer",
        re.compile(rf"((?:(?<![A-Za-z])|{_ESCAPED})Bearer(?:\s|%20|\+)+)[\w.~+/-]{{6,}}=*", re.ASCII),
        rf"\1{MARK}",
    ),
    # In lower case it is also an ordinary word in prompts.
    (
        "earer",
        re.compile(
            rf"((?:(?<![A-Za-z])|{_ESCAPED})bearer(?:\s|%20|\+)+)(?=[A-Za-z_.~+/-]*[0-9])[\w.~+/-]{{6,}}=*", re.ASCII
        ),
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
    found = {spelled for text in known for spelled in _spellings(text.strip())}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


@functools.lru_cache(256)
def _spellings(secret: str) -> frozenset[str]:
    """One secret in all its encodings; none of a text that is too short."""
    if len(secret) < MIN_KNOWN or any(secret in mark for mark in MARKS):
        return frozenset()
    escaped = [json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
    # Once more, as in a piece of JSON in a string.
    escaped += [json.dumps(text)[1:-1] for text in escaped]
    found = {secret, *escaped, *(text.replace("/", "\\/") for text in escaped)}
    for encoded in (
        *(quote(secret, safe=safe, errors="surrogatepass") for safe in ("", "/")),
        quote_plus(secret, errors="surrogatepass"),
    ):
        found |= {encoded, re.sub("%..", lambda code: code[0].lower(), encoded)}
    found.update(_in_base64(secret.encode("utf-8", "surrogatepass")))
    return frozenset(found)


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
