"""Google's own SDK judges what is sent to Gemini, and is a client whose requests pass."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from mitm_ai_proxy.auth import google
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.gemini_upstream import Settings
from mitm_ai_proxy.chat.target import CLAUDE, GOOGLE
from mitm_ai_proxy.providers import google_images
from tests.auth import service_account
from tests.chat.exchanges import HELLO, TOOL, Json, anthropic_request, encoded, rewritten, whole_document
from tests.chat.test_from_gemini import MEMOS as GEMINI_MEMOS
from tests.chat.test_from_gemini import PARTS, response
from tests.chat.test_to_and_fro import Dice
from tests.e2e.conftest import Proxies
from tests.sdk.scripted_chats import ScriptedChats
from tests.sdk.sdk import Sdks
from tests.sdk.worker import Ask

LIMIT = 120
"""Seconds for the first reply, for which the SDK is imported."""

pytestmark = pytest.mark.skipif(sys.version_info < (3, 13), reason="one version of Python is enough for this judge")


@pytest.fixture(scope="module")
def ask(sdks: Sdks) -> Ask:
    return sdks.newest.script("gemini_types_worker", LIMIT)


def _openai_requests() -> list[Json]:
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    settings: list[Json] = [
        {"seed": 5, "temperature": 0.5, "top_k": 3, "presence_penalty": 0.5, "stop": ["a"], "response_format": format},
        {"reasoning_effort": "high"},
        {"reasoning_effort": "low", "model": "gemini-3-pro"},
        {"reasoning_effort": "none", "model": "gemini-3-flash"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [TOOL], "tool_choice": "none", "modalities": ["text", "image"]},
        {"messages": [{"role": "system", "content": "a"}, *HELLO], "model": "gemini-2.5-pro"},
    ]
    made = [{"model": "gemini-2.5-flash", "messages": HELLO, **found} for found in settings]
    return made + [{**Dice(seed).openai_request(), "model": "gemini-3-pro"} for seed in range(20)]


def _sealed() -> Json:
    """A conversation with signatures and a picture in a result."""
    made = whole_document(GEMINI_MEMOS[ANTHROPIC, False], response(*PARTS))
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    calls = [block["id"] for block in made["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": id, "content": [picture]} for id in calls]
    told = [{"role": "assistant", "content": made["content"]}, {"role": "user", "content": results}]
    return anthropic_request(*HELLO, *told, model="gemini-3-pro")


def test_the_requests_that_we_send_are_of_google_s_types(ask: Ask) -> None:
    target = GOOGLE._replace(settings=Settings((("HARM_CATEGORY_HARASSMENT", "OFF"),), 128))
    openai = _openai_requests()
    claude = [
        {**json.loads(rewritten(OPENAI, found, CLAUDE).body), "model": found["model"]}
        for found in openai
        if "modalities" not in found
    ]
    bodies = [json.loads(rewritten(OPENAI, found, target).body) for found in openai]
    bodies += [json.loads(rewritten(ANTHROPIC, encoded(found), target).body) for found in [*claude, _sealed()]]
    for size in google_images.SIZES:
        asked = google_images.read("generation", encoded({"model": "m", "prompt": "a", "size": size}), "")
        bodies.append(dict(google_images.write(asked, "m", True).members))

    assert [why for body in bodies if (why := ask({"question": "request", "value": body}))] == []


def test_a_request_that_is_not_of_the_types_is_found_by_the_judge(ask: Ask) -> None:
    wrong: list[Json] = [
        {"contents": [{"role": "user", "parts": [{"tex": "a"}]}]},
        {"contents": [], "generationConfig": {"maxTokens": 1}},
        {"contents": [{"parts": [{"text": "a", "thoughtSignature": "é"}]}]},
        {"messages": []},
    ]
    for body in wrong:
        assert ask({"question": "request", "value": body})


def test_google_s_own_client_passes_and_raises_its_own_error_for_a_refusal(ask: Ask, tmp_path: Path) -> None:
    service, proxies = ScriptedChats(), Proxies(tmp_path)
    try:
        keys = f"apiTokens: sk-of-the-provider, providerDomain: 'http://{service.address}'"
        block = f"{{id: g, type: gemini, {keys}, modelMapping: {{gemini-9: gemini-3-pro}}}}"
        proxy = proxies.start(f"providers: [{block}]\nroutes: [{{model: ['gemini-*', 'fail-*'], provider: g}}]")
        found = ask({"question": "client", "value": f"http://127.0.0.1:{proxy.port}"})
    finally:
        proxies.close()
        service.close()

    *answers, (theirs, *ours) = found
    assert answers == ["hello é", "hello é", 7]
    assert theirs[:2] == ["ClientError", 429]
    for kind, code, status, message in ours:
        assert (kind, code, status) == ("ClientError", 404, "NOT_FOUND")
        assert message.startswith("No route takes the model 'nobody'")
    assert {path.rpartition("/")[2].partition(":")[0] for path, _, _ in service.asked} == {"gemini-3-pro", "fail-429"}
    assert all(fields["x-goog-api-key"] == "sk-of-the-provider" for _, fields, _ in service.asked)
    assert "of-the-client" not in str(service.asked)


def test_google_s_own_client_for_vertex_passes_with_an_account_and_with_a_key(ask: Ask, tmp_path: Path) -> None:
    service, proxies = ScriptedChats(), Proxies(tmp_path)
    account = json.dumps(service_account.key_file(token_uri=f"http://{service.address}/token"))
    keys = {
        "account": f"vertexAuthKey: {account}, vertexRegion: us-central1",
        "key": "apiTokens: sk-of-the-provider",
        "original": "apiTokens: sk-of-the-provider, protocol: original",
    }
    common = f"type: vertex, providerDomain: 'http://{service.address}', modelMapping: {{gemini-9: gemini-3-pro}}"
    blocks = [f"{{id: {name}, basePath: /{name}, {own}, {common}}}" for name, own in keys.items()]
    routes = [f"{{path: /{name}/*, provider: {name}}}" for name in keys]
    try:
        proxy = proxies.start(f"providers: [{', '.join(blocks)}]\nroutes: [{', '.join(routes)}]")
        urls = [f"http://127.0.0.1:{proxy.port}/{name}" for name in keys]
        found = ask({"question": "vertex", "value": urls})
    finally:
        proxies.close()
        service.close()

    for *answers, theirs in found:
        assert answers == ["hello é", "hello é", 7]
        assert theirs[:2] == ["ClientError", 429]
    places = ["/v1beta1/projects/p/locations/us-central1", "/v1beta1", "/v1beta1"]
    models = ["gemini-3-pro", "gemini-3-pro", "gemini-9"]
    calls = [":generateContent", ":streamGenerateContent", ":countTokens", ":generateContent"]
    assert [path.partition("?")[0] for path, _, _ in service.asked] == [
        f"{place}/publishers/google/models/{'fail-429' if number == 3 else model}{call}"
        for place, model in zip(places, models, strict=True)
        for number, call in enumerate(calls)
    ]
    for number, (path, fields, _) in enumerate(service.asked):
        assert fields.get("authorization") == ("Bearer ya29.of-the-provider" if number < 4 else None)
        assert ("key=sk-of-the-provider" in path) is (number >= 4)
    assert "of-the-client" not in str(service.asked)


def test_google_s_own_client_is_answered_by_the_simulator(ask: Ask, tmp_path: Path) -> None:
    proxies = Proxies(tmp_path)
    try:
        proxy = proxies.start("provider: {type: gemini}\nsimulator: {speed: instant}", "--set", "ai_simulate=true")
        found = ask({"question": "simulated", "value": f"http://127.0.0.1:{proxy.port}"})
    finally:
        proxies.close()

    assert found.pop("error")[:3] == ["ClientError", 429, "RESOURCE_EXHAUSTED"]
    assert found == {
        "whole": "hi é",
        "stream": "hi é",
        "thoughts": [True, False],
        "tools": "weather says: sunny in Zürich",
        "count": True,
        "models": ["models/simulated-chat"],
    }


def test_google_s_own_library_accepts_the_signature_of_a_service_account(ask: Ask) -> None:
    account = google.account(service_account.key_file())
    question = {
        "assertion": google.assertion(account, time.time()),
        "public_key": service_account.public_pem(),
        "audience": service_account.TOKEN_URL,
    }
    claims = ask({"question": "assertion", "value": question})

    assert (claims["iss"], claims["scope"]) == (service_account.EMAIL, google.SCOPE)
