"""One request and its answer as they travel: what the client asked, where it goes, what was changed and why.

Plain data. Providers fill it, the gateway carries it out; it knows no sockets and no flows.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from .clients import ANYBODY, Client
from .wire.targets import Origin


def plain(text: str) -> str:
    """The text as UTF-8 can hold it, without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


class Body(enum.Enum):
    """What happens to a body on its way."""

    STREAM = "stream"
    """Pass on each piece as it arrives."""
    PASS = "pass"  # noqa: S105 - not a password
    """Pass on untouched; the proxy may keep a small one to show it."""
    READ = "read"
    """Hold until complete, then rewrite."""


_NO_HEADERS: Final[Mapping[str, str | None]] = MappingProxyType({})


class Answer(NamedTuple):
    """An answer on its way back: its body without a Content-Encoding, and header fields to set (None: to remove)."""

    status: int
    body: bytes
    headers: Mapping[str, str | None] = _NO_HEADERS

    @classmethod
    def json(cls, status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
        """An answer of our own making."""
        return cls(status, json.dumps(document).encode(), {"content-type": "application/json", **(headers or {})})


@dataclass(slots=True)
class Exchange:
    """A request on its way to a provider, and back.

    `path` values are origin-form targets with their query. `api` is a name of apis.py, or None for a path that is no
    known API. `task_kind` is a provider's own word for what the task is, `plan` what else it has to know for the
    answer, in plain values; `notes` say each rewrite in one line.
    `upstream_method` and `upstream_content_type` are set where they differ from the client's.
    """

    method: str
    client_path: str
    content_type: str = ""
    client: Client = ANYBODY
    origin: Origin | None = None
    path: str = ""
    upstream_method: str | None = None
    upstream_content_type: str | None = None
    api: str | None = None
    request_body: Body = Body.PASS
    answer_body: Body = Body.PASS
    task_kind: str | None = None
    plan: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add one line that says what was changed and what caused it."""
        self.notes.append(text if text.isascii() else plain(text))
