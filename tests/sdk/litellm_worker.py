"""Runs in a process of its own with LiteLLM in the folder named first: calls of its functions, as JSON lines."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])
litellm: Any = importlib.import_module("litellm")


def argument(value: Any) -> Any:
    """The bytes of a file that is described as {"$": "bytes", "path"}; any other value unchanged."""
    return Path(value["path"]).read_bytes() if isinstance(value, dict) and "$" in value else value


def shown(result: Any) -> Any:
    if isinstance(result, bytes):
        return {"content": base64.b64encode(result).decode()}
    return result.model_dump(mode="json")


def main() -> None:
    # Standard output is for the answers; LiteLLM prints advice there.
    answers, sys.stdout = sys.stdout, sys.stderr
    for text in sys.stdin:
        question = json.loads(text)
        try:
            arguments = {name: argument(value) for name, value in question["arguments"].items()}
            answer = {"value": shown(getattr(litellm, question["function"])(**arguments))}
        except Exception as error:
            answer = {"error": {"kind": type(error).__name__, "message": str(error)}}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
