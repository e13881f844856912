"""Runs in its own process with klingai-api from the folder in its first argument: calls methods, as JSON lines."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])
api: Any = importlib.import_module("api")
requests: Any = importlib.import_module("requests")


def call(question: dict[str, Any]) -> Any:
    """The result of a method of the client, called in a new session."""
    # The only request of the client to another host.
    client: Any = type("Client", (api.KlingAiAPI,), {"base": question["base"]})
    with client(question["access_key"], question["secret_key"]) as session:
        return getattr(session, question["method"])(**question["arguments"])


def download(url: str, path: str) -> int:
    """Save the file of a link, which the client does not download itself. Returns its size."""
    answer = requests.get(url, timeout=10)
    answer.raise_for_status()
    return Path(path).write_bytes(answer.content)


def main() -> None:
    for name in ("ACCESS_TOKEN", "SECRET_TOKEN"):
        # They would override the arguments.
        os.environ.pop(name, None)
    for text in sys.stdin:
        question = json.loads(text)
        try:
            is_call = question["method"] != "download"
            answer = {"value": call(question) if is_call else download(**question["arguments"])}
        except Exception as error:
            response = getattr(error, "response", None)
            shown = {} if response is None else {"status": response.status_code, "body": response.json()}
            answer = {"error": {"kind": type(error).__name__, **shown}}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
