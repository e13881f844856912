"""The newest SDKs of both vendors, for Python and Node, with types of provider: one dialect, both, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Proxies
from tests.e2e.proxy import Proxy, Served
from tests.sdk import node
from tests.sdk.scripted_chats import THOUGHT, ScriptedChats
from tests.sdk.sdk import Sdks
from tests.sdk.worker import Ask

MODELS = {
    "groq": "openai/gpt-oss-20b",
    "claude": "claude-sonnet-4-5",
    "deepseek": "deepseek-chat",
    "bedrock": "claude-sonnet-4-5",
    "gemini": "claude-sonnet-4-5",
    "vertex": "claude-sonnet-4-5",
    "vertex-gemini": "gemini-3-pro",
    "qwen": "qwen-plus",
    "qwen-files": "qwen-plus",
    "qwen-own": "qwen-plus",
}
NATIVE = {
    "groq": {"openai"},
    "claude": {"anthropic"},
    "deepseek": {"openai", "anthropic"},
    "bedrock": set[str](),
    "gemini": set[str](),
    "vertex": {"anthropic"},
    "vertex-gemini": set[str](),
    "qwen": {"openai", "anthropic"},
    "qwen-files": {"openai"},
    "qwen-own": set[str](),
}
"""By type, or type and what is special: the SDKs whose requests it takes as they are."""
CREDENTIALS = {
    "groq": "authorization",
    "claude": "x-api-key",
    "deepseek": "authorization",
    "bedrock": "authorization",
    "gemini": "x-goog-api-key",
    "vertex": "",  # in the query
    "vertex-gemini": "",
    "qwen": "authorization",
    "qwen-files": "authorization",
    "qwen-own": "authorization",
}
KEYS = {
    "bedrock": ", awsRegion: us-east-1",
    "qwen-files": ", qwenFileIds: [file-1]",
    # With files, Anthropic's dialect is translated too: to DashScope's own API.
    "qwen-own": ", qwenEnableCompatible: false, qwenFileIds: [file-1]",
}
"""What a block needs besides its key."""
TOOLS = ["I look", ["Zürich", "Oslo"], "both: sunny in Zürich, sunny in Oslo"]
CLASSES = (
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "RateLimitError",
    "InternalServerError",
)
EXPECTED: dict[str, Any] = {
    "create": ["hello é", 10, 5],
    "stream": ["hello é", 10, 5],
    "tools": TOOLS,
    "stream_tools": TOOLS,
    "thinking_tools": TOOLS,
    "thinking": [THOUGHT, "hello é"],
    "parse": ["Ann", 7],
    "picture": "data:image/png;",
    "cancelled": 3,
    "errors": [[name, status, True] for name, status in zip(CLASSES, (400, 401, 403, 404, 429, 500), strict=True)],
}


@pytest.fixture(scope="module")
def service() -> Iterator[ScriptedChats]:
    running = ScriptedChats()
    yield running
    running.close()


@pytest.fixture(scope="module")
def config(service: ScriptedChats) -> str:
    """A configuration with a provider of each type, by the first part of the path."""
    keys = "apiTokens: sk-of-the-provider, providerDomain: 'http://{}'"
    providers = [
        f"  - {{id: {name}, type: {type}, basePath: /{name}, {keys.format(service.address)}{KEYS.get(name, '')}}}"
        for name, (type, *_) in ((name, name.split("-")) for name in NATIVE)
    ]
    routes = [f"  - {{path: /{name}/*, provider: {name}}}" for name in NATIVE]
    return "\n".join(["providers:", *providers, "routes:", *routes])


@pytest.fixture(scope="module")
def proxy(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """mitmdump with the addon."""
    started = Proxies(tmp_path_factory.mktemp("chats"))
    yield started.start(config)
    started.close()


@pytest.fixture(scope="module")
def served(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`ai-proxy serve`."""
    started = Proxies(tmp_path_factory.mktemp("served"))
    yield started.serve(config)
    started.close()


@pytest.fixture(scope="module", params=["python", "node"])
def ask(request: pytest.FixtureRequest, sdks: Sdks) -> Ask:
    """Asks a process with both SDKs."""
    if request.param == "node" and (reason := node.missing()):
        pytest.skip(reason)
    return sdks.both(request.param).script("chat_client", 120)


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
@pytest.mark.parametrize("name", NATIVE)
def test_an_sdk_gets_what_it_asks_for_whatever_the_provider_speaks(
    name: str, sdk: str, proxy: Proxy, ask: Ask, service: ScriptedChats
) -> None:
    _check(name, sdk, proxy.port, ask, service)


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
@pytest.mark.parametrize("name", ["groq", "claude"])
def test_an_sdk_gets_the_same_of_serve(name: str, sdk: str, served: Served, ask: Ask, service: ScriptedChats) -> None:
    _check(name, sdk, served.port, ask, service)


def _check(name: str, sdk: str, port: int, ask: Ask, service: ScriptedChats) -> None:
    """Have an SDK ask all it can, and look at what it got and at what was sent."""
    service.asked.clear()
    service.gave_up.clear()
    question = {"sdk": sdk, "base_url": f"http://127.0.0.1:{port}/{name}", "model": MODELS[name]}
    found = ask(question)

    if sdk == "anthropic" and name != "claude":
        # Claude counts itself, and the scripted one cannot.
        assert found.pop("count") is True
    found.pop("count", None)
    # The SDKs for Node call the tools themselves, too.
    assert found.pop("runner", TOOLS[-1]) == TOOLS[-1]
    for kind in ("create", "stream"):
        assert found[kind].pop() == MODELS[name]
    assert found == EXPECTED
    assert service.gave_up.wait(10), "the provider goes on with a stream that its client has left"
    in_threads = [document["thread"]["type"] for _, _, document in service.asked if "thread" in document]
    assert in_threads in ([], ["create", "continue"] if name == "claude" and sdk == "anthropic" else [])
    for path, fields, _ in service.asked:
        is_messages = path.partition("?")[0].endswith("/messages")
        credential = fields[CREDENTIALS[name]] if CREDENTIALS[name] else path
        assert "sk-of-the-provider" in credential
        assert "of-the-client" not in f"{path} {fields}"
        if name == "vertex":
            # Claude is at a path of its own there; what fails and what has no end is no Claude's.
            assert ("awPredict" in path) is (MODELS[name] in path or "count-tokens" in path)
            assert "anthropic-version" not in fields
            continue
        if not path.endswith("/count_tokens"):
            assert is_messages is (sdk == "anthropic" if sdk in NATIVE[name] else name == "claude")
        assert ("anthropic-version" in fields) is is_messages or path.endswith("/count_tokens")
