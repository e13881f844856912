"""Calls of the client of OpenAI's SDK, in a process of tests/sdk/process.py; tests/sdk/sdk.py has the questions."""

from __future__ import annotations

import asyncio
import base64
import importlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

openai: Any = importlib.import_module("openai")

LIST_LIMIT = 100
UNWRAP = "webhooks.unwrap"
"""The one method that sends nothing, and takes header fields of its own."""


def argument(value: Any, opened: list[io.BufferedReader]) -> Any:
    """The file that {"$": how, "path", "mime"} describes, in a form for the SDK; {"$": "omit"} omits the argument."""
    if value == {"$": "omit"}:
        return openai.omit
    if isinstance(value, dict) and "$" in value:
        path = Path(value["path"])
        match value["$"]:
            case "open":
                opened.append(path.open("rb"))
                return opened[-1]
            case "path":
                return path
            case "bytes":
                return path.read_bytes()
            case "buffer":
                return io.BytesIO(path.read_bytes())
            case "named":
                return path.name, path.read_bytes()
            case "mime":
                return path.name, path.read_bytes(), value["mime"]
        raise ValueError(value["$"])
    return value


def shown(result: Any) -> Any:
    """The value that the SDK returned as JSON; of a model only the members that were in the answer."""
    if hasattr(result, "to_dict"):
        return result.to_dict(mode="json", exclude_unset=True)
    if hasattr(result, "content"):
        return {"content": base64.b64encode(result.content).decode()}
    return result


class Traffic:
    """The traffic of the SDK: method and URL of each request, and the header fields of the last answer."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.headers: dict[str, str] = {}

    def request(self, request: Any) -> None:
        self.sent.append([request.method, str(request.url)])

    def response(self, response: Any) -> None:
        self.headers = dict(response.headers)

    async def request_async(self, request: Any) -> None:
        self.request(request)

    async def response_async(self, response: Any) -> None:
        self.response(response)

    def answer(self, value: Any = None) -> dict[str, Any]:
        """The answer to a question if the SDK returned a value."""
        request_id = getattr(value, "_request_id", None)
        return {"value": shown(value), "request_id": request_id, "sent": self.sent, "headers": self.headers}

    def failure(self, error: Exception) -> dict[str, Any]:
        """The answer to a question if the SDK raised."""
        names = ("status_code", "code", "param", "type", "request_id", "body")
        shown_error = {name: getattr(error, name, None) for name in names}
        shown_error |= {"kind": type(error).__name__, "message": str(error)}
        return {"error": shown_error, "sent": self.sent, "headers": self.headers}


def client_of(question: dict[str, Any], prefix: str, http: Any) -> Any:
    options = {"base_url": question["base_url"], "api_key": "sk-of-the-client", **question["client"]}
    if "azure_endpoint" in options:
        del options["base_url"]
        return getattr(openai, f"{prefix}AzureOpenAI")(**options, http_client=http)
    return getattr(openai, f"{prefix}OpenAI")(**options, http_client=http)


def method_of(client: Any, question: dict[str, Any]) -> Any:
    resource, _, name = question["method"].rpartition(".")
    return getattr(getattr(client, resource or "videos"), name)


def call_options(question: dict[str, Any], opened: list[io.BufferedReader]) -> dict[str, Any]:
    options = {name: argument(value, opened) for name, value in question["arguments"].items()}
    if question["extra"]:
        options["extra_body"] = question["extra"]
    if question["headers"]:
        options["extra_headers"] = question["headers"]
    return options


def unwrapped(client: Any, given: dict[str, Any]) -> Any:
    """What a webhook says, once the SDK has verified it."""
    return client.webhooks.unwrap(given["payload"], given["fields"], secret=given["secret"])


def call(question: dict[str, Any]) -> dict[str, Any]:
    traffic = Traffic()
    opened: list[io.BufferedReader] = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [traffic.request], "response": [traffic.response]})
    try:
        with client_of(question, "", http) as client:
            if question["method"] == UNWRAP:
                return traffic.answer(unwrapped(client, question["arguments"]))
            method = method_of(client, question)
            result = method(**call_options(question, opened))
            if question["method"] == "list":
                result = [shown(item) for item, _ in zip(result, range(LIST_LIMIT), strict=False)]
            return traffic.answer(result)
    except Exception as error:
        return traffic.failure(error)
    finally:
        for file in opened:
            file.close()


async def call_async(question: dict[str, Any]) -> dict[str, Any]:
    traffic = Traffic()
    opened: list[io.BufferedReader] = []
    http = openai.DefaultAsyncHttpxClient(
        event_hooks={"request": [traffic.request_async], "response": [traffic.response_async]}
    )
    try:
        async with client_of(question, "Async", http) as client:
            method = method_of(client, question)
            result = method(**call_options(question, opened))
            if question["method"] != "list":
                return traffic.answer(await result)
            items = []
            async for item in result:
                items.append(shown(item))
                if len(items) == LIST_LIMIT:
                    break
            return traffic.answer(items)
    except Exception as error:
        return traffic.failure(error)
    finally:
        for file in opened:
            file.close()


async def together(question: dict[str, Any]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(call_async(question) for _ in range(question["times"])))


_POOL = ThreadPoolExecutor(16)


def answer(question: dict[str, Any]) -> list[dict[str, Any]]:
    """What came of each of the calls."""
    if question["async"]:
        return asyncio.run(together(question))
    return list(_POOL.map(call, [question] * question["times"]))
