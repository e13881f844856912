"""Anthropic's own API: versions, betas, and both forms of the credential.

Sources: Anthropic's API reference, versions, beta headers, authentication; Higress ai-proxy plugin, claude.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..apis import Call
from ..auth.bearer import bearer
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat.target import CLAUDE, Target
from ..config import values
from ..config.keys import key
from ..exchange import Answer, Head, NeedsBody, Upstream
from ..wire import header_fields, targets
from .api_groups import named
from .base import Clock
from .compatible import Compatible
from .row import AddressKeys, ChatKeys, Row

VERSION: Final = "2023-06-01"
"""The version of requests that name none. In later ones, translated requests lose temperature and its kin."""
_OAUTH_TOKEN: Final = "sk-ant-oat"  # noqa: S105 - the beginning of all of them
_OAUTH_BETA: Final = "oauth-2025-04-20"
_CODE_BETAS: Final = (_OAUTH_BETA, "interleaved-thinking-2025-05-14", "claude-code-20250219")
_CODE_FIELDS: Final = {b"user-agent": b"claude-cli/2.1.2 (external, cli)", b"x-app": b"cli"}
_CODE_AGENTS: Final = ("claude-cli/", "claude-code/")
_CODE_SYSTEM: Final = "You are Claude Code, Anthropic's official CLI for Claude."
_BETA_PARAMETER: Final = "beta"


def _version(value: Any) -> str:
    """A version of the API: a date, which YAML reads as one where it is not in quotes."""
    found = value.isoformat() if type(value) is datetime.date else values.text(value)
    if found and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", found):
        raise ValueError("expected a date, such as 2023-06-01")
    return found


@dataclass(frozen=True, slots=True)
class ClaudeKeys(ChatKeys):
    """The keys of `type: claude`."""

    claude_version: str = key(
        _version,
        "",
        help="The `anthropic-version` of requests that have none, and of translated ones; `2023-06-01` where it is"
        " missing.",
    )
    api_version: str = key(_version, "", help="The same; `claudeVersion` wins.")
    claude_code_mode: bool = key(
        values.flag,
        False,
        help="Whether requests are like those of Claude Code, as a token of a subscription needs them: Bearer, betas,"
        " `beta=true`, user agent, and the system prompt of a chat that is translated and has none of its client's.",
    )


class Claude(Compatible):
    """See its row."""

    keys: ClaudeKeys

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        assert isinstance(keys, ClaudeKeys)
        self._version = keys.claude_version or keys.api_version or VERSION
        self._betas: tuple[str, ...] = ()
        if keys.claude_code_mode and keys.protocol != "original":
            self._betas = _CODE_BETAS
        elif any(map(_is_oauth, keys.api_tokens)):
            self._betas = (_OAUTH_BETA,)
        super().__init__(keys, clock)

    def credential_of(self, token: Secret) -> Credential:
        """A key in x-api-key; a token of OAuth, and any in claudeCodeMode, as Bearer."""
        if self.keys.claude_code_mode or _is_oauth(token):
            return bearer(token)
        return Credential({b"x-api-key": token.reveal().encode()})

    def target(self, api: str) -> Target:
        """With the version, and with what is said in claudeCodeMode."""
        found = super().target(api)._replace(version=self._version)
        if not self.keys.claude_code_mode:
            return found
        context = self.keys.context.text if self.keys.context else ""
        return found._replace(default_system=_CODE_SYSTEM, added_system=context, caches_system=True)

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """As elsewhere, with a version and with the betas that the credential needs."""
        found = super().requestheaders(head)
        if isinstance(found, NeedsBody):
            return found._replace(rewrite=self._with_fields(head, found.rewrite))
        return self._as_claude(head, found)

    def call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """As elsewhere; with the parameter of Claude Code."""
        return super().call(head, call, self._with_beta(query), notes)

    def lacking(self, head: Head, call: Call, query: str) -> Upstream | NeedsBody:
        """The same for what is translated."""
        return super().lacking(head, call, self._with_beta(query))

    def _with_beta(self, query: str) -> str:
        if not self.keys.claude_code_mode or targets.pop_parameter(query, _BETA_PARAMETER)[0] is not None:
            return query
        return f"{query}&{_BETA_PARAMETER}=true" if query else f"{_BETA_PARAMETER}=true"

    def _with_fields(
        self, head: Head, rewrite: Callable[[bytes], Upstream | Answer]
    ) -> Callable[[bytes], Upstream | Answer]:
        def rewritten(body: bytes) -> Upstream | Answer:
            found = rewrite(body)
            return self._as_claude(head, found) if isinstance(found, Upstream) else found

        return rewritten

    def _as_claude(self, head: Head, upstream: Upstream) -> Upstream:
        """A request with the fields that the client has not sent itself: its body was written for its version."""
        fields: dict[bytes, bytes | None] = dict(upstream.fields)
        notes = upstream.notes
        is_original = self.keys.protocol == "original"
        if not is_original and b"anthropic-version" not in fields and not _has(head, b"anthropic-version"):
            fields[b"anthropic-version"] = self._version.encode()
            notes = (*notes, f"anthropic-version {self._version}: the client names none")
        if missing := self._missing_betas(head):
            theirs = header_fields.value(head.fields, b"anthropic-beta")
            fields[b"anthropic-beta"] = ",".join(filter(None, (theirs, *missing))).encode("utf-8", "surrogateescape")
            notes = (*notes, f"anthropic-beta added: {', '.join(missing)}")
        if self.keys.claude_code_mode and not is_original:
            agent = header_fields.value(head.fields, b"user-agent")
            fields |= {b"x-app": b"cli"} if agent.startswith(_CODE_AGENTS) else _CODE_FIELDS
        return upstream._replace(fields=fields, notes=notes)

    def _missing_betas(self, head: Head) -> list[str]:
        theirs = header_fields.value(head.fields, b"anthropic-beta")
        return [beta for beta in self._betas if beta not in map(str.strip, theirs.split(","))]


def _is_oauth(token: Secret) -> bool:
    return token.reveal().startswith(_OAUTH_TOKEN)


def _has(head: Head, name: bytes) -> bool:
    return bool(header_fields.value(head.fields, name))


ROW: Final = Row(
    "claude",
    "api.anthropic.com",
    "/v1",
    named("messages count_tokens complete models files"),
    "Anthropic's Claude. A key is sent as `x-api-key`, a token of OAuth as Bearer with its beta; without"
    " `apiTokens` the client's own is sent on. Batches and all else pass.",
    site="https://platform.claude.com/docs/en/api/overview",
    variable="ANTHROPIC_API_KEY",
    is_key_optional=True,
    messages=CLAUDE._replace(has_threads=True),
    keys=ClaudeKeys,
    kind=Claude,
)
