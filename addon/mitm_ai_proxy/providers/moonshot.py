"""Moonshot AI (Kimi): a file at the service as the context of chats.

Sources: Higress ai-proxy plugin, moonshot; Moonshot AI's API reference, files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..chat.edits import Edits
from ..chat.target import OPENAI_CHAT
from ..config import values
from ..config.keys import Problem, Reading, key
from ..wire.targets import Url
from .api_groups import named
from .compatible import Compatible
from .fetches import Context, Fetch
from .row import CompatibleKeys, Row

_CONTENT: Final = "openai/v1/retrievefilecontent"


def _file_id(value: Any) -> Context | None:
    found = values.text(value)
    if not all(character.isascii() and (character.isalnum() or character in "-_") for character in found):
        raise ValueError("expected the id of a file")
    return Context(found) if found else None


@dataclass(frozen=True, slots=True)
class MoonshotKeys(CompatibleKeys):
    """The keys of `type: moonshot`."""

    moonshot_file_id: Context | None = key(
        _file_id,
        help="The id of a file at Moonshot AI, whose text is loaded with the configuration and put behind the"
        " instructions of every chat; not beside `context`.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Two contexts, or one without an effect."""
        if self.moonshot_file_id and self.context:
            yield Problem("moonshotFileId", "stands beside context; keep one of the two", ("context",))
        if self.moonshot_file_id and self.protocol == "original":
            yield Problem("moonshotFileId", "has no effect with protocol: original", ("protocol",))

    def chat_edits(self) -> Edits:
        """With the text of the file."""
        edits = CompatibleKeys.chat_edits(self)
        return edits._replace(context=self.moonshot_file_id.text) if self.moonshot_file_id else edits


class Moonshot(Compatible):
    """See its row."""

    keys: MoonshotKeys

    def fetches(self) -> tuple[Fetch, ...]:
        """With the file at the service, for which the first key is used."""
        file = self.keys.moonshot_file_id
        if file is None or file.text or not self.keys.api_tokens or self.keys.protocol == "original":
            return super().fetches()
        path = self.upstream_path(_CONTENT, {"file_id": file.place}, "")
        credential = self.credential_of(self.keys.api_tokens[0])
        fields = {name.decode(): value.decode() for name, value in credential.fields.items()}
        url = Url(self.origin, path)
        return (Fetch("moonshotFileId", "moonshot_file_id", url, self.keys.seconds_to_load, fields), *super().fetches())


ROW: Final = Row(
    "moonshot",
    "api.moonshot.cn",
    "/v1",
    named("chat models files"),
    "Moonshot AI (Kimi). A key of outside China needs `baseUrl: https://api.moonshot.ai/v1`.",
    site="https://platform.moonshot.ai/docs",
    chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="calls", mends="errors"),
    keys=MoonshotKeys,
    kind=Moonshot,
)
