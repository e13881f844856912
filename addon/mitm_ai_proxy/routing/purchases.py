"""What a request of an API whose result is its answer may buy or do beside that: jobs, pictures, actions of others."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ..wire import targets

SOMETHING: Final = "bought something"
A_JOB: Final = "begun a job"
_PICTURES: Final = "image"
_TEXTS: Final = frozenset({"text", "audio"})
"""What an answer may be made of, in lower case; audio is bought as text is."""
# Tools that the client runs, and those by which the vendor only looks something up. Others make files or pictures, run
# code in what is paid for by itself, or do what nobody knows (MCP). Sources: OpenAI's and Anthropic's API references.
_TOOLS: Final = re.compile(
    r"function|custom|namespace|builtin_function|local_shell|apply_patch|retrieval|(bash|memory|text_editor)_\d+"
    r"|computer(_.+)?|web_fetch(_.+)?|.*search.*",
)


class _Body(msgspec.Struct):
    """The members that tell it, in the forms of OpenAI, Anthropic, Gemini, Dify and Coze."""

    background: Any = None
    conversation: Any = None
    conversation_id: Any = None
    container: Any = None
    mcp_servers: Any = None
    model: Any = None
    modalities: Any = None
    prompt: Any = None
    tools: Any = None
    generation_config: Any = msgspec.field(default=None, name="generationConfig")


_DECODER: Final = msgspec.json.Decoder(_Body)


def may_buy(target: str, body: bytes) -> str:
    """What a request that is sent to this target, with this body, may have done, in words; "" for nothing.

    `body` has no Content-Encoding.
    """
    path, query = targets.split_query(target)
    if "/models/" in path and _PICTURES in path.lower():
        return "bought a picture"
    if targets.pop_parameter(query, "conversation_id")[0]:
        return "left a message in a conversation"
    if body.lstrip()[:1] != b"{":
        return ""
    try:
        found = _DECODER.decode(body)
    except msgspec.DecodeError:
        return SOMETHING
    if found.background:
        return A_JOB
    if found.conversation or found.conversation_id:
        return "left a message in a conversation"
    if isinstance(found.model, str) and _PICTURES in found.model.lower():
        return "bought a picture"
    config = found.generation_config if isinstance(found.generation_config, dict) else {}
    kinds = [*_list(found.modalities), *_list(config.get("responseModalities"))]
    if any(str(kind).lower() not in _TEXTS for kind in kinds):
        return "bought a picture"
    if (
        found.mcp_servers
        or found.container
        or isinstance(found.prompt, dict)
        or not all(map(_is_tool, _list(found.tools)))
    ):
        return "had a tool do its work"
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_tool(tool: Any) -> bool:
    """Whether a tool is run by the client, or only looks something up."""
    kind = tool.get("type", "function") if isinstance(tool, dict) else None
    return isinstance(kind, str) and _TOOLS.fullmatch(kind) is not None
