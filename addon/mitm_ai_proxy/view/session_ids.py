"""To which session a request belongs by what its client sends: a header field, or a member of its body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

LONGEST: Final = 200
"""Characters of a session's name."""

FIELDS: Final = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "conversation_id",
    "x-opencode-session",
    "x-session-id",
    "helicone-session-id",
)
"""Header fields that name a session, in lower case, the more certain first.

Claude Code's documentation of LLM gateways names the first one, Helicone's that of sessions the last one. Codex sends
`session-id`, and sent `session_id` and `conversation_id` before (openai/codex, its client's headers). Clients of
OpenCode's service send `x-opencode-session`; `x-session-id` is a common name, without one source.
"""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OF_USER: Final = re.compile(rf".*_session_({_UUID.pattern})", re.DOTALL | re.IGNORECASE)


class SessionId(NamedTuple):
    """The name of a session, and where it stands; both "" if nothing names it."""

    name: str = ""
    source: str = ""


NOWHERE: Final = SessionId()


def in_fields(fields: Mapping[str, str]) -> SessionId:
    """The session that header fields (by their names in lower case) name."""
    for field in FIELDS:
        if name := fields.get(field, "").strip()[:LONGEST]:
            return SessionId(name, field)
    return NOWHERE


def in_members(metadata: Any, cache_key: Any, conversation: Any) -> SessionId:
    """The session that a body names by its members metadata, prompt_cache_key and conversation.

    Claude Code has it in `metadata.user_id`, as `user_…_session_UUID` or as JSON. Codex has its conversation in
    `prompt_cache_key`; other clients have the same text there in all their requests, so that it has to be a UUID.
    """
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if isinstance(user, str) and (name := _of_user(user)):
        return SessionId(name, "metadata.user_id")
    named = conversation.get("id") if isinstance(conversation, dict) else conversation
    if isinstance(named, str) and named:
        return SessionId(named[:LONGEST], "conversation")
    if isinstance(cache_key, str) and _UUID.fullmatch(cache_key):
        return SessionId(cache_key, "prompt_cache_key")
    return NOWHERE


def _of_user(user: str) -> str:
    if len(user) > 2000:
        return ""
    if found := _OF_USER.fullmatch(user):
        return found[1]
    if not user.startswith("{"):
        return ""
    try:
        name = json.loads(user).get("session_id")
    except (ValueError, RecursionError):
        return ""
    return name[:LONGEST] if isinstance(name, str) else ""
