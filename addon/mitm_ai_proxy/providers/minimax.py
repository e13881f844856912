"""The keys of MiniMax. Its oldest API, which the plugin calls `pro`, is refused.

Source: Higress ai-proxy plugin, minimax.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..config import values
from ..config.keys import Problem, Reading, key
from .row import CompatibleKeys

_PRO: Final = "pro"


@dataclass(frozen=True, slots=True)
class MinimaxKeys(CompatibleKeys):
    """The keys of `type: minimax`."""

    minimax_api_type: str = key(
        values.one_of("v2", _PRO), "v2", help="`pro` is refused, except under `protocol: original`."
    )
    minimax_group_id: str = key(values.text, "", help="Without effect: only `pro` needs it.")

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """The API that has its own protocol."""
        if self.minimax_api_type == _PRO and self.protocol != "original":
            yield Problem(
                "minimaxApiType",
                "pro is not implemented; leave this key out: chats then go to MiniMax's /v1/chat/completions, with the"
                " same key. Clients that write pro's path themselves need protocol: original",
                ("protocol",),
            )
