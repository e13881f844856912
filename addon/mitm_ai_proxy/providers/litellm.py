"""A configuration of LiteLLM's proxy, recognised by its `model_list`, and what it would be here.

Source: LiteLLM's documentation, proxy configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ..config.keys import Problem
from ..wire.targets import Url
from .higress_types import flow
from .rows import ROWS

_TYPES: Final = {
    "anthropic": "claude",
    "dashscope": "qwen",
    "fireworks_ai": "fireworks",
    "hosted_vllm": "vllm",
    "ollama_chat": "ollama",
    "together_ai": "together-ai",
    "vertex_ai": "vertex",
    "volcengine": "doubao",
    "xai": "grok",
    "zai": "zhipuai",
}
"""Types by LiteLLM's name of a provider, where it is another."""
_NAME: Final = re.compile(r"[A-Za-z0-9._:/*@-]{1,60}")
_VARIABLE: Final = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]{0,60})")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._-]{1,24}){0,4}")
_ABSENT: Final = "HOST"
_PLACES: Final = {
    "aws_region_name": "awsRegion",
    "vertex_location": "vertexRegion",
    "vertex_project": "vertexProjectId",
}
"""Keys by LiteLLM's names of them."""
_CAPITAL: Final = re.compile(r"(?=[A-Z])")
_ROWS: Final = {row.name: row for row in ROWS}


def problem(document: Mapping[Any, Any]) -> Problem | None:
    """The complaint about a file of LiteLLM's, with its first entry as a block of ours; None for any other file.

    It shows names of models and variables, and the host; never a key.
    """
    entries = document.get("model_list")
    if entries is None or "provider" in document or "providers" in document:
        return None
    found = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    first = f"; its first entry is, here: {{{_block(found[0])}}}" if found else ""
    more = "; its other models are lines of modelMapping, or blocks of providers:" if len(found) > 1 else ""
    return Problem("model_list", f"this is a file of LiteLLM's; here, a provider: block is needed{first}{more}")


def _block(entry: Mapping[Any, Any]) -> str:
    """One entry as a line of YAML."""
    given = entry.get("litellm_params")
    parameters: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    text = _name(parameters.get("model"))
    vendor, slash, rest = text.partition("/")
    model = rest if slash else text
    keys = _address(_TYPES.get(vendor, vendor) if slash else "openai", _url(parameters.get("api_base")))
    keys |= {ours: value for theirs, ours in _PLACES.items() if (value := _place(parameters.get(theirs)))}
    variable = _VARIABLE.fullmatch(str(parameters.get("api_key", "")))
    if "api_key" in parameters:
        keys["apiTokens"] = f'["${{{variable[1] if variable else "API_KEY"}}}"]'
    alias = _name(entry.get("model_name"))
    if alias and model and alias != model and "*" not in model:
        keys["modelMapping"] = {json.dumps(alias): json.dumps(model)}
    return f"provider: {{{flow(keys)}}}"


def _address(name: str, url: Url | None) -> dict[str, object]:
    """The keys that say where a type of provider is."""
    row = _ROWS.get(name)
    if row:
        keys: dict[str, object] = {"type": name}
        if url:
            # LiteLLM is told the root of some services.
            return keys | {"baseUrl": str(url if url.path else Url(url.origin, row.base))}
        return keys | {need: _ABSENT if need in row.addresses else _variable_of(need) for need in row.needs[:1]}
    return {"type": "openai", "baseUrl": str(url) if url else f"https://{_ABSENT}/v1"}


def _variable_of(key: str) -> str:
    """What stands for the value of a key that is no host: a variable, such as AWS_REGION for awsRegion."""
    return f'"${{{_CAPITAL.sub("_", key).upper()}}}"'


def _place(value: Any) -> str:
    """A region or a project, which may be in a variable."""
    variable = _VARIABLE.fullmatch(str(value))
    return f'"${{{variable[1]}}}"' if variable else _name(value)


def _name(value: Any) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _url(value: Any) -> Url | None:
    """A base URL without its query; None for a text that is none, or one with a name and password.

    Of a path that may hold a key, nothing is left but the /v1.
    """
    scheme, separator, _ = value.partition("://") if isinstance(value, str) else ("", "", "")
    if not separator or scheme not in ("http", "https"):
        return None
    try:
        url = Url.parse(re.split(r"[?#]", value, maxsplit=1)[0])
    except ValueError:
        return None
    return url if _PATH.fullmatch(url.path) else Url(url.origin, "/v1")
