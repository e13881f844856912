"""Gemini at Google AI Studio.

Sources: Google's Gemini API reference; Higress ai-proxy plugin, gemini.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat.target import GOOGLE
from ..config import values
from ..config.keys import key
from .chats import CHAT
from .google import EMBEDDINGS, GENERATE, IMAGES, MODELS, STREAM, Google, GoogleKeys
from .row import AddressKeys, Row

VERSION: Final = "v1beta"
PATHS: Final = {
    CHAT: "/v1beta/models/{model}:generateContent",
    GENERATE: "/v1beta/models/{model}:generateContent",
    STREAM: "/v1beta/models/{model}:streamGenerateContent",
    MODELS: "/v1beta/models",
    EMBEDDINGS: "/v1beta/models/{model}:batchEmbedContents",
    **dict.fromkeys(IMAGES, "/v1beta/models/{model}:generateContent"),
}


def _version(value: Any) -> str:
    found = values.text(value)
    if found and not re.fullmatch(r"v[0-9][a-z0-9]*", found):
        raise ValueError("expected a version of the API, such as v1beta or v1")
    return found


@dataclass(frozen=True, slots=True)
class GeminiKeys(GoogleKeys):
    """The keys of `type: gemini`."""

    api_version: str = key(_version, "", help="The version in the paths of translated requests; `v1beta` if missing.")


class Gemini(Google):
    """See its row."""

    keys: GeminiKeys

    def own_base(self, keys: AddressKeys) -> str:
        """With the version of the configuration."""
        assert isinstance(keys, GeminiKeys)
        return f"/{keys.api_version or VERSION}"

    def own_capabilities(self) -> Mapping[str, str]:
        """The paths below the base."""
        return {name: self.base + path.removeprefix(f"/{VERSION}") for name, path in PATHS.items()}


def credential(token: Secret) -> Credential:
    """A key of AI Studio's."""
    return Credential({b"x-goog-api-key": token.reveal().encode()})


ROW: Final = Row(
    "gemini",
    "generativelanguage.googleapis.com",
    "/v1beta",
    frozenset(),
    "Google's Gemini at AI Studio. Google's own clients pass, with any version in the path.",
    site="https://ai.google.dev/api",
    elsewhere=PATHS,
    style=credential,
    native=(
        (":generateContent", "gemini/v1beta/generatecontent"),
        (":streamGenerateContent", "gemini/v1beta/streamgeneratecontent"),
    ),
    keeps_developer=True,
    chat=GOOGLE,
    keys=GeminiKeys,
    kind=Gemini,
)
