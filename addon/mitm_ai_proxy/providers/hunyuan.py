"""The keys of Tencent's Hunyuan. Those of its native API, which signs requests, are refused.

Source: Higress ai-proxy plugin, hunyuan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..auth.secret import Secret
from ..config import values
from ..config.keys import Problem, Reading, key
from .row import CompatibleKeys


@dataclass(frozen=True, slots=True)
class HunyuanKeys(CompatibleKeys):
    """The keys of `type: hunyuan`."""

    hunyuan_auth_id: Secret = key(
        values.secret, Secret(""), secret=True, help="Refused: the id for the native API, which is not implemented."
    )
    hunyuan_auth_key: Secret = key(
        values.secret, Secret(""), secret=True, help="Refused: the key for the native API, which is not implemented."
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """A credential of the native API, which no other API takes."""
        for name, value in (("hunyuanAuthId", self.hunyuan_auth_id), ("hunyuanAuthKey", self.hunyuan_auth_key)):
            if value.reveal():
                yield Problem(
                    name,
                    "is a credential of Hunyuan's native API, which is not implemented; leave it out and give"
                    " apiTokens, a key of the OpenAI-compatible API",
                )
