"""Calls of `client.videos` and other resources and their outcomes, the same for the SDKs for Python and Node."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.sdk import node, python_sdk
from tests.sdk.worker import Ask, Worker

Language = Literal["python", "node"]
BASE = "/v1"


@dataclass(frozen=True)
class Variant:
    """A version of an SDK, and for Python whether its async client is used."""

    language: Language
    version: str
    is_async: bool = False

    @property
    def name(self) -> str:
        """The name in the ids of tests."""
        return f"{self.language}-{self.version}{'-async' if self.is_async else ''}"

    @property
    def package(self) -> str:
        """The name that it is installed under."""
        return node.PACKAGES[self.version] if self.language == "node" else "openai"

    @property
    def sends_json(self) -> bool:
        """Whether a create without a file is JSON, not multipart."""
        return self.version in (python_sdk.BEFORE_MULTIPART, node.BEFORE_MULTIPART)

    def knows(self, method: str) -> bool:
        """Whether it has a method: edits, extensions and characters were added together with multipart."""
        return not self.sends_json or method in ("remix", "delete")


PYTHON = (
    Variant("python", python_sdk.NEWEST),
    Variant("python", python_sdk.NEWEST, is_async=True),
    Variant("python", python_sdk.BEFORE_MULTIPART),
)
NODE = (
    Variant("node", node.NEWEST),
    Variant("node", node.BEFORE_MULTIPART),
)
EACH = (PYTHON[0], PYTHON[2], *NODE)
"""The newest and an old one of each language: between them nothing changed that is seen on the wire. The async client
for Python sends what the other does, but for files, which it reads itself."""


@dataclass(frozen=True)
class File:
    """A file that is handed to an SDK: open, path, bytes, buffer, named (name and bytes) or mime (that and a type)."""

    how: str
    path: Path
    mime: str | None = None


OMIT = {"$": "omit"}
"""Omits an argument that the SDK for Python requires, but cannot send with its own types."""


@dataclass(frozen=True)
class Failure:
    """The exception that an SDK raised."""

    kind: str
    message: str
    status_code: int | None
    code: str | int | None
    param: str | None
    type: str | None
    request_id: str | None
    body: Any


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call. `headers` are those of the last answer.

    `sent` has method and URL of each request that the SDK made; for Python, this includes redirects.
    """

    result: Any
    failure: Failure | None
    request_id: str | None
    sent: list[tuple[str, str]]
    headers: dict[str, str]

    @property
    def value(self) -> Any:
        """The returned value; fails if the call raised."""
        assert self.failure is None, f"the SDK raised {self.failure} after {self.sent}"
        return self.result

    @property
    def task_id(self) -> str:
        """Kling's id of the task, from the returned Video; that of a create has a prefix."""
        task_id = self.video["data"]["task_id"]
        assert isinstance(task_id, str)
        return task_id.rpartition("-")[2]

    @property
    def video(self) -> dict[str, Any]:
        """The returned Video, with the keys that were in the answer."""
        assert isinstance(self.value, dict), self.value
        return self.value

    @property
    def content(self) -> bytes:
        """The file that was returned."""
        return base64.b64decode(self.value["content"])

    @property
    def error(self) -> Failure:
        """The raised exception; fails if the call returned."""
        assert self.failure is not None, f"the SDK returned {self.result} after {self.sent}"
        return self.failure


@dataclass
class Sdk:
    """A running SDK in front of a base URL."""

    variant: Variant
    ask: Ask
    base_url: str
    client: dict[str, Any] = field(default_factory=dict)

    def with_client(self, **options: Any) -> Sdk:
        """The same SDK with options of its client: timeout (in seconds), max_retries, organization, project, base_url.

        With `azure_endpoint`, `api_version` and `azure_deployment` it is the client for Azure.
        """
        return dataclasses.replace(self, client=self.client | options)

    def call(
        self,
        method: str,
        *,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Outcome:
        """Call a method by its Python name: `create` of videos, `images.generate`.

        `extra`: fields that are no arguments of the SDK.
        """
        (outcome,) = self.together(1, method, extra=extra, headers=headers, **arguments)
        return outcome

    def together(
        self,
        times: int,
        method: str,
        *,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> list[Outcome]:
        """Make the same call `times` times concurrently."""
        question = {
            "method": method,
            "arguments": {name: _described(value) for name, value in arguments.items()},
            "extra": extra or {},
            "headers": headers or {},
            "client": self.client,
            "base_url": self.base_url,
            "async": self.variant.is_async,
            "times": times,
            "package": self.variant.package,
        }
        return [_outcome(answer) for answer in self.ask(question)]


class Sdks:
    """The processes that all tests share: each is started at its first use."""

    def __init__(self) -> None:
        self.newest = python_sdk.worker(python_sdk.NEWEST)
        self.before = python_sdk.worker(python_sdk.BEFORE_MULTIPART)
        self.node = node.worker()

    def sdk(self, variant: Variant, base_url: str) -> Sdk:
        """The SDK of a variant."""
        if variant.language == "node":
            return Sdk(variant, self.node.script("node_worker"), base_url)
        worker = self.newest if variant.version == python_sdk.NEWEST else self.before
        return Sdk(variant, worker.script("python_worker"), base_url)

    def both(self, language: Language) -> Worker:
        """The process of a language that has the newest SDKs of OpenAI and Anthropic."""
        return self.newest if language == "python" else self.node

    def close(self) -> None:
        """End them all."""
        for worker in (self.newest, self.before, self.node):
            worker.close()


def _described(value: Any) -> Any:
    if isinstance(value, File):
        return {"$": value.how, "path": str(value.path), "mime": value.mime}
    return value


def _outcome(answer: dict[str, Any]) -> Outcome:
    failure = Failure(**answer["error"]) if "error" in answer else None
    sent = [(method, url) for method, url in answer["sent"]]
    return Outcome(answer.get("value"), failure, answer.get("request_id"), sent, answer["headers"])
