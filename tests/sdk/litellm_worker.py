"""Calls of LiteLLM's functions, in a process of tests/sdk/process.py."""

from __future__ import annotations

import base64
import importlib
import os
from pathlib import Path
from typing import Any

# Without this it fetches prices from another host when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
litellm: Any = importlib.import_module("litellm")


def argument(value: Any) -> Any:
    """The bytes of a file that is described as {"$": "bytes", "path"}; any other value unchanged."""
    return Path(value["path"]).read_bytes() if isinstance(value, dict) and "$" in value else value


def shown(result: Any) -> Any:
    if isinstance(result, bytes):
        return {"content": base64.b64encode(result).decode()}
    return result.model_dump(mode="json")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The value that a function returns, or the error that it raises."""
    try:
        arguments = {name: argument(value) for name, value in question["arguments"].items()}
        return {"value": shown(getattr(litellm, question["function"])(**arguments))}
    except Exception as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
