"""Calls of klingai-api's methods, in a process of tests/sdk/process.py."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

for _name in ("ACCESS_TOKEN", "SECRET_TOKEN"):
    # They would override the arguments.
    os.environ.pop(_name, None)
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


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The value of a call or the size of a download, or the error that is raised."""
    try:
        is_call = question["method"] != "download"
        return {"value": call(question) if is_call else download(**question["arguments"])}
    except Exception as error:
        response = getattr(error, "response", None)
        shown = {} if response is None else {"status": response.status_code, "body": response.json()}
        return {"error": {"kind": type(error).__name__, **shown}}
