"""The newest OpenAI SDKs through six of the types that speak OpenAI's API, with a service in a script behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Proxies
from tests.e2e.proxy import Proxy
from tests.sdk import node
from tests.sdk.scripted import FILE, PICTURE, VECTOR, Scripted
from tests.sdk.sdk import Sdks
from tests.sdk.worker import Ask

MODEL = "vendor/model-1:free"
HERE = Path(__file__).parent
CHATS = {"chat", "stream", "tools", "parse", "errors", "retry", "timeout", "cancelled", "models", "model"}
ALL = CHATS | {"responses", "embeddings", "images", "transcription", "files", "batches"}


class Type(NamedTuple):
    """A type: its keys, the path of its base URL, the field of its credential, the kinds of requests that it has."""

    name: str
    keys: str
    base: str
    credential: tuple[str, str]
    has: set[str]


BEARER = ("Authorization", "Bearer sk-of-the-provider")
USUAL = CHATS | {"responses", "transcription"}
TYPES = (
    Type("groq", "baseUrl: 'http://{}/openai/v1'", "/openai/v1", BEARER, USUAL | {"files", "batches"}),
    Type("kilocode", "baseUrl: 'http://{}/api/gateway'", "/api/gateway", BEARER, USUAL | {"embeddings"}),
    Type("azure", "azureServiceUrl: 'http://{}/openai/v1'", "/openai/v1", ("api-key", "sk-of-the-provider"), ALL),
    Type("openrouter", "providerDomain: 'http://{}'", "/api/v1", BEARER, USUAL | {"embeddings", "images"}),
    Type(
        "qwen",
        "qwenDomain: 'http://{}'",
        "/compatible-mode/v1",
        BEARER,
        USUAL - {"transcription"} | {"embeddings", "files", "batches"},
    ),
    Type("vllm", "vllmServerHost: '{}'", "/v1", BEARER, USUAL | {"embeddings"}),
)
MAPPING = f"modelMapping: {{gpt-*: '{MODEL}', '~^(fail-|flaky|slow|endless)': 'vendor/$1'}}"
HELLO = f"hello from {MODEL}"
EVENTS = ["response.created", "response.output_text.delta", "response.completed"]
EXPECTED: dict[str, Any] = {
    "chat": HELLO,
    "stream": ["hello é", 5, 0],
    "tools": ["tool_calls", None, {"city": "Zürich"}],
    "parse": ["Ann", 7],
    "responses": HELLO,
    "responses-stream": EVENTS,
    "embeddings": list(VECTOR),
    "images": PICTURE,
    "transcription": f"said to {MODEL}",
    "files": ["file-1", ["file-1"], FILE.decode(), "file-1", True],
    "batches": ["validating", "cancelling", ["batch-1"]],
    "models": ["m-1"],
    "model": "m-1",
    "errors": [
        [name, status, f"code-{status}", "model"]
        for name, status in (
            ("BadRequestError", 400),
            ("AuthenticationError", 401),
            ("NotFoundError", 404),
            ("UnprocessableEntityError", 422),
        )
    ],
    "retry": "hello from vendor/flaky",
    "timeout": "APITimeoutError",
    "cancelled": 2,
}
LACKING = {"status": 404, "code": "unsupported_api"}

PICTURES = "/api/v1/services/aigc/multimodal-generation/"
OTHERWISE = {"qwen": {"images": {"status": 502, "code": "bad_answer"}}}
"""DashScope makes pictures by an API of its own, whose form the scripted service does not have."""


@pytest.fixture(scope="module")
def service() -> Iterator[Scripted]:
    running = Scripted()
    yield running
    running.close()


@pytest.fixture(scope="module")
def proxy(service: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a provider of each type, by the first part of the path."""
    keys = f"apiTokens: sk-of-the-provider, {MAPPING}"
    providers = [
        f"  - {{id: {name}, type: {name}, basePath: /{name}, {own.format(service.address)}, {keys}}}"
        for name, own, *_ in TYPES
    ]
    routes = [f"  - {{path: /{one.name}/*, provider: {one.name}}}" for one in TYPES]
    started = Proxies(tmp_path_factory.mktemp("compatible"))
    yield started.start("\n".join(["providers:", *providers, "routes:", *routes]))
    started.close()


@pytest.fixture(scope="module", params=["python", "node"])
def ask(request: pytest.FixtureRequest, sdks: Sdks) -> Ask:
    """Asks a process with an SDK."""
    if request.param == "node" and (reason := node.missing()):
        pytest.skip(reason)
    return sdks.both(request.param).script("compatible_client", 60)


@pytest.mark.parametrize("one", TYPES, ids=[one.name for one in TYPES])
def test_an_sdk_gets_what_it_asks_for(one: Type, ask: Ask, service: Scripted, proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\r\n--not-a-boundary\r\nname="model"\r\n\r\n' + bytes(range(256)))
    service.asked.clear()
    service.refused.clear()
    service.gave_up.clear()
    found = ask({"base_url": f"http://127.0.0.1:{proxy.port}/{one.name}/v1", "file": str(file)})

    expected = {name: what if name.partition("-")[0] in one.has else LACKING for name, what in EXPECTED.items()}
    assert found == expected | OTHERWISE.get(one.name, {})
    assert service.gave_up.wait(10), "the provider goes on with a stream that its client has left"
    assert service.asked
    for asked in service.asked:
        assert asked.path.startswith((f"{one.base}/", PICTURES))
        assert asked.all(one.credential[0]) == [one.credential[1]]
        assert "of-the-client" not in str(asked)
    chats = [asked for asked in service.asked if asked.path.endswith("/chat/completions") and b"flaky" in asked.body]
    assert [asked.all("x-stainless-retry-count") for asked in chats] == [["0"], ["1"]]
    for asked in service.asked:
        if asked.path.endswith("/transcriptions"):
            assert file.read_bytes() in asked.body


def test_the_configuration_of_openclaw_that_the_page_shows_works(
    service: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = (HERE.parents[1] / "docs" / "providers.md").read_text()
    section = page[page.index("## Kilo Gateway") :]
    ours, theirs = (
        re.findall(rf"^```{kind}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[0] for kind in ("yaml", "json")
    )
    ours = ours.replace("${KILOCODE_API_KEY:-anonymous}", "anonymous")
    kilo = json.loads(theirs)["models"]["providers"]["kilocode"]
    assert kilo["api"] == "openai-completions"
    started = Proxies(tmp_path_factory.mktemp("openclaw"))
    proxy = started.start(f"{ours}  baseUrl: http://{service.address}/api/gateway/\n")
    service.asked.clear()
    try:
        for model in kilo["models"]:
            body = {"model": f"kilocode/{model['id']}", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            fields = {"Authorization": f"Bearer {kilo['apiKey']}", "X-KiloCode-Feature": "openclaw"}
            fields["Content-Type"] = "application/json"
            path = f"{urlsplit(kilo['baseUrl']).path}chat/completions"
            reply = proxy.request(
                "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **fields}
            )
            assert reply.status == 200
            assert reply.body.endswith(b'"total_tokens": 5}}\n\ndata: [DONE]\n\n')
    finally:
        started.close()

    assert [(asked.path, asked.model) for asked in service.asked] == [
        ("/api/gateway/chat/completions", model["id"]) for model in kilo["models"]
    ]
    assert ["cache_control" in json.loads(asked.body) for asked in service.asked] == [True, False]
    assert all(asked.all("Authorization") == ["Bearer anonymous"] for asked in service.asked)
    assert all(asked.all("X-KiloCode-Feature") == ["openclaw"] for asked in service.asked)
