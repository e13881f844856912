"""Paths that are nearly right, in front of Kling: what is served, what is refused and how, what is Kling's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Caller, Head, NeedsBody, Upstream, Whole
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from tests.tables import table
from tests.upstream_of import rewritten

HOST = "127.0.0.1:8080"
SDK = Caller("application/json", host=HOST, is_openai_sdk=True)
PLAIN = Caller("application/json", host=HOST)
CREATE = b'{"prompt": "p"}'
TEXT, IMAGE = "/v1/videos/text2video", "/v1/videos/image2video"


def _kling(**keys: Any) -> Kling:
    return Kling(KlingKeys("kling", **{"api_tokens": (Secret("token"),), **keys}), lambda: 0.0)


def _sent(request: str, caller: Caller, provider: Kling | None = None, is_tls: bool = False) -> Upstream:
    method, _, target = request.partition(" ")
    found = (provider or _kling()).requestheaders(Head(method, target, caller, is_tls=is_tls))
    return rewritten(found, CREATE) if isinstance(found, NeedsBody) else found


def _refusal(request: str, caller: Caller = SDK, provider: Kling | None = None, is_tls: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        _sent(request, caller, provider, is_tls)
    return caught.value


@table("caller", [SDK, PLAIN], ids=["sdk", "plain"])
@table(
    ("request_line", "target"),
    [
        ("POST /videos", TEXT),
        ("POST /videos/", TEXT),
        ("POST /v1/v1/videos", TEXT),
        ("POST /v1/videos/", TEXT),
        ("POST /v1//videos", TEXT),
        ("POST /V1/Videos", TEXT),
        ("POST /openai/videos", TEXT),
        ("POST /openai/videos?api-version=preview", TEXT),
        ("POST /openai/v1/videos?api-version=preview", TEXT),
        ("POST /openai/v1/videos/?api-version=preview&a=1", f"{TEXT}?a=1"),
        ("POST /openai/deployments/sora-2/videos?a=1&api%2Dversion=2025-04-01-preview", f"{TEXT}?a=1"),
        ("POST /v1/videos?api-version=preview", TEXT),
        ("GET /videos?limit=2", f"{TEXT}?pageNum=1&pageSize=2"),
        ("GET /openai/videos?api-version=preview&limit=2", f"{TEXT}?pageNum=1&pageSize=2"),
        ("GET /videos/kling-i2v-7?x=1", f"{IMAGE}/7?x=1"),
        ("GET /openai/videos/kling-i2v-7?api-version=preview", f"{IMAGE}/7"),
        ("GET /openai/deployments/sora-2/videos/kling-i2v-7?api-version=1", f"{IMAGE}/7"),
        ("GET /v1/videos/kling-i2v-7/", f"{IMAGE}/7"),
        ("GET /v1/videos//kling-i2v-7", f"{IMAGE}/7"),
        ("GET /v1/VIDEOS/kling-i2v-7", f"{IMAGE}/7"),
        ("GET /videos/kling-i2v-7/content", f"{IMAGE}/7"),
        ("GET /openai/videos/kling-i2v-7/content?api-version=preview&variant=video", f"{IMAGE}/7"),
        ("GET /v1/videos/kling-i2v-7/content/", f"{IMAGE}/7"),
        ("GET /videos/7?kling_task_type=i2v", f"{IMAGE}/7"),
        ("POST /videos/kling-i2v-7/remix", f"{IMAGE}/7"),
        ("POST /v1/videos/kling-i2v-7/remix/", f"{IMAGE}/7"),
        ("GET /videos/characters/7", "/v1/general/advanced-custom-elements/7"),
    ],
)
def test_what_is_certainly_openais_is_served(request_line: str, target: str, caller: Caller) -> None:
    assert _sent(request_line, caller).target == target


def test_a_note_says_what_a_path_was_taken_for() -> None:
    assert "the path is taken for /v1/videos/{video_id}" in _sent("GET /videos/7", SDK).notes
    assert not any("taken for" in note for note in _sent("GET /v1/videos/7", SDK).notes)


def test_a_query_of_azures_in_the_providers_own_path_is_kept() -> None:
    provider = _kling(capabilities={"openai/v1/retrievevideo": "/tasks/{video_id}?api-version=7"})

    assert _sent("GET /openai/videos/1?api-version=preview", SDK, provider).target == "/tasks/1?api-version=7"
    assert _sent("GET /account/costs?api-version=1", SDK, provider).target == "/account/costs?api-version=1"


@table(
    ("request_line", "location"),
    [
        ("POST /videos", "/v1/videos/kling-t2v-ai-proxy"),
        ("POST /openai/videos?api-version=preview", "/openai/v1/videos/kling-t2v-ai-proxy"),
        ("POST /openai/deployments/a/videos/", "/openai/deployments/a/v1/videos/kling-t2v-ai-proxy"),
        ("POST /V1/Videos", "/v1/videos/kling-t2v-ai-proxy"),
        ("POST /base/videos", "/base/v1/videos/kling-t2v-ai-proxy"),
    ],
)
def test_a_repetition_is_sent_to_a_path_that_is_served(request_line: str, location: str) -> None:
    provider = _kling(base_path="/base")
    again = SDK._replace(retries=1)
    sent = _sent(request_line, again, provider)
    handling = provider.responseheaders(sent, 400, ())
    assert isinstance(handling, Whole)
    taken = b'{"code": 1201, "message": "External_task_id already exists", "request_id": "r"}'
    answer = handling.rewrite(Answer(400, taken))

    assert answer.status == 303
    assert str(answer.headers["location"]).startswith(location)
    assert _sent(f"GET {answer.headers['location']}", SDK, provider).target.startswith(f"{TEXT}/ai-proxy")


@table("caller", [SDK, PLAIN], ids=["sdk", "plain"])
@table(
    ("request_line", "meant"),
    [
        ("POST /proxy/videos", "POST /v1/videos"),
        ("POST /v2/videos", "POST /v1/videos"),
        ("POST /v1/videos/videos", "POST /v1/videos"),
        ("POST /v1/chat/completions/videos", "POST /v1/videos"),
        ("POST /v1/openai/videos", "POST /v1/videos"),
        ("GET /proxy/videos?limit=1", "GET /v1/videos"),
        ("POST /proxy/videos/edits", "POST /v1/videos/edits"),
        ("POST /proxy/videos/7/remix", "POST /v1/videos/{video_id}/remix"),
        ("POST /v1/%76ideos", "POST /v1/videos"),
        ("POST /v1%2fvideos", "POST /v1/videos"),
    ],
)
def test_a_wrong_base_url_is_refused_with_the_right_one(request_line: str, meant: str, caller: Caller) -> None:
    refusal = _refusal(request_line, caller)

    assert (refusal.status, refusal.code, refusal.param) == (404, "wrong_base_url", None)
    assert meant in refusal.message
    assert refusal.message.endswith("base_url has to be http://127.0.0.1:8080/v1.")


@table(
    "request_line",
    [
        "GET /proxy/videos/kling-t2v-7",
        "GET /v1/videos/videos/7/content",
        "HEAD /proxy/videos/7",
    ],
)
def test_what_may_be_a_file_behind_an_unknown_base_is_refused_to_sdks_only(request_line: str) -> None:
    # It may be a file on the provider's host.
    assert _refusal(request_line).code in ("wrong_base_url", "wrong_method")
    assert _sent(request_line, PLAIN).target == request_line.partition(" ")[2]


@table(
    ("host", "is_tls", "keys", "path", "base_url"),
    [
        (HOST, False, {}, "/v2/videos", "http://127.0.0.1:8080/v1"),
        (HOST, True, {}, "/v2/videos", "https://127.0.0.1:8080/v1"),
        ("localhost", False, {}, "/v2/videos", "http://localhost/v1"),
        ("[::1]:8080", False, {}, "/v2/videos", "http://[::1]:8080/v1"),
        ("api.openai.com", True, {}, "/v2/videos", "https://api.openai.com/v1"),
        (HOST, False, {"base_path": "/gate"}, "/gate/v2/videos", "http://127.0.0.1:8080/gate/v1"),
        (HOST, False, {"base_path": "/gate"}, "/v2/videos", "http://127.0.0.1:8080/v1"),
        ("", False, {}, "/v2/videos", "the address of the proxy with /v1 at its end"),
        ("a b", False, {}, "/v2/videos", "the address of the proxy with /v1 at its end"),
        ("x" * 400, False, {}, "/v2/videos", "the address of the proxy with /v1 at its end"),
        ("a, b", False, {"base_path": "/g"}, "/g/v2/videos", "the address of the proxy with /g/v1 at its end"),
    ],
)
def test_the_right_base_url_is_that_of_the_clients_address(
    host: str, is_tls: bool, keys: dict[str, Any], path: str, base_url: str
) -> None:
    refusal = _refusal(f"POST {path}", SDK._replace(host=host), _kling(**keys), is_tls)

    assert refusal.message.endswith(f"base_url has to be {base_url}.")


@table("caller", [SDK, PLAIN], ids=["sdk", "plain"])
@table(
    ("path", "allow"),
    [
        ("/v1/videos", "POST, GET"),
        ("/videos", "POST, GET"),
        ("/openai/videos?api-version=preview", "POST, GET"),
        ("/V1/videos", "POST, GET"),
        ("/v1/videos/kling-t2v-7", "GET"),
        ("/videos/kling-t2v-7", "GET"),
        ("/v1/videos/kling-t2v-7/", "GET"),
        ("/v1/videos/kling-t2v-7/content", "GET"),
        ("/v1/videos/kling-t2v-7/remix", "POST"),
        ("/v1/videos/characters/7", "GET"),
    ],
)
@table("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "post", "X"])
def test_a_method_that_an_api_lacks_is_refused(method: str, path: str, allow: str, caller: Caller) -> None:
    refusal = _refusal(f"{method} {path}", caller)

    assert (refusal.status, refusal.code, dict(refusal.headers)) == (405, "wrong_method", {"Allow": allow})
    assert allow.replace(", ", " and ") in refusal.message
    assert "http://127.0.0.1:8080/v1" in refusal.message


@table(
    "request_line",
    [
        *("DELETE /v1/videos", "DELETE /v1/videos/7/content", "GET /v1/videos/7/remix", "POST /v1/videos/7/content"),
        *("POST /v1/videos/kling-t2v-7", "POST /v1/videos/characters/7", "GET /proxy/videos/7/remix"),
    ],
)
def test_a_method_of_another_api_is_refused_too(request_line: str) -> None:
    assert (_refusal(request_line).status, _refusal(request_line).code) == (405, "wrong_method")


@table("caller", [SDK, PLAIN], ids=["sdk", "plain"])
@table(
    ("request_line", "api"),
    [
        ("POST /v1/chat/completions", "/v1/chat/completions"),
        ("POST /v1/chat/completions/", "/v1/chat/completions"),
        ("POST /chat/completions", "/v1/chat/completions"),
        ("POST /openai/deployments/gpt-4/chat/completions?api-version=1", "/v1/chat/completions"),
        ("GET /v1/models", "/v1/models"),
        ("GET /models", "/v1/models"),
        ("GET /v1/models/gpt-4", "/v1/models"),
        ("GET /openai/models?api-version=1", "/v1/models"),
        ("POST /v1/responses", "/v1/responses"),
        ("POST /responses", "/v1/responses"),
        ("GET /v1/responses/r-1", "/v1/responses"),
        ("GET /v1/responses/r-1/input_items", "/v1/responses"),
        ("POST /v1/files", "/v1/files"),
        ("GET /v1/files/f-1/content", "/v1/files/{file_id}/content"),
        ("POST /files", "/v1/files"),
        ("GET /v1/batches", "/v1/batches"),
        ("POST /v1/batches/b-1/cancel/", "/v1/batches/{batch_id}/cancel"),
        ("POST /v1/threads/t-1/runs", "/v1/threads"),
        ("GET /v1/chat/completions/c-1", "/v1/chat"),
        *((f"POST /v1/{word}", f"/v1/{word}") for word in "assistants moderations uploads vector_stores".split()),
        *((f"GET /any/v1/{word}/x/y", f"/v1/{word}") for word in "containers evals organization skills".split()),
        ("DELETE /v1/videos/7", "DELETE /v1/videos/{video_id}"),
        ("DELETE /videos/7", "DELETE /v1/videos/{video_id}"),
        ("POST /v1/images/edits/", "/v1/images/edits"),
        ("POST /images/variations", "/v1/images/variations"),
        ("POST /audio/speech", "/v1/audio/speech"),
    ],
)
def test_what_kling_lacks_is_refused_with_what_it_has(request_line: str, api: str, caller: Caller) -> None:
    refusal = _refusal(request_line, caller)

    assert (refusal.status, refusal.code) == (404, "unsupported_api")
    assert refusal.message.startswith(f"kling has no {api}. ")
    assert " It has: POST /v1/videos, " in refusal.message


def test_an_api_that_a_gateway_has_besides_takes_its_collection_with_it() -> None:
    provider = _kling(capabilities={"openai/v1/models": "/v1/models", "openai/v1/chatcompletions": "/chat"})

    assert _sent("GET /v1/models/gpt-4", SDK, provider).target == "/v1/models/gpt-4"
    assert _sent("GET /models", SDK, provider).target == "/models"
    assert _sent("POST /chat/completions", SDK, provider).target == "/chat/completions"
    assert _refusal("POST /v1/threads", SDK, provider).code == "unsupported_api"


@table("caller", [SDK, PLAIN], ids=["sdk", "plain"])
@table(
    "request_line",
    [
        # Families that are not known here, and new places below Kling's own
        *("POST /v1/videos/new-family", "POST /kling/v1/videos/new-family", "POST /v1/videos/new-family/init"),
        *("GET /v1/videos/new-family/init/7", "PUT /v1/videos/new-family/7"),
        *("POST /v1/images/upscale", "GET /v1/images/upscale/7", "POST /v1/audio/music", "GET /v1/audio/music/7"),
        *("POST /v1/general/videos", "GET /v1/general/videos/7", "HEAD /v1/general/videos", "PUT /account/videos"),
        *("GET /tasks/videos", "POST /text-to-video/videos", "POST /omni-video/kling-4.0", "GET /account/new"),
        # Known ones, with any method, slash and base
        *(f"{method} /v1/videos/text2video" for method in "HEAD PUT PATCH DELETE OPTIONS".split()),
        *("HEAD /v1/videos/image2video/7", "GET /v1/videos/text2video/", "POST /V1/Videos/Text2Video"),
        *("POST /videos/text2video", "GET /videos/text2video/7", "GET /site/kling/videos/image2video/7"),
        *("GET /v1/videos/Identify-face/", "HEAD /tasks", "PUT /account/costs"),
        # Of a gateway, and files on the provider's host
        *("POST /v1/video/generations", "GET /videos/a.mp4?sign=1", "HEAD /videos/a.mp4", "GET /files/a.mp4?sign=1"),
        *("GET /", "HEAD /", "GET /some/where?a=&&b"),
    ],
)
def test_klings_own_paths_and_unknown_ones_pass_as_they_are(request_line: str, caller: Caller) -> None:
    upstream = _sent(request_line, caller)

    assert f"{upstream.method} {upstream.target}" == request_line
    assert (upstream.body, upstream.memo, upstream.fields) == (None, {}, {})


@table(
    "request_line",
    [
        "POST /videos",
        "PUT /v1/videos",
        "HEAD /v1/videos/7/content",
        "POST /proxy/videos",
        "GET /v1/threads",
        "GET /models",
    ],
)
def test_protocol_original_sends_them_all_on(request_line: str) -> None:
    upstream = _sent(request_line, SDK, _kling(protocol="original"))

    assert f"{upstream.method} {upstream.target}" == request_line


def test_an_empty_id_is_not_taken_for_a_list() -> None:
    for target in ("/v1/videos/", "/videos/", "/openai/videos/", "/videos//content", "/v1/videos//content"):
        assert _refusal(f"GET {target}").message == "The video_id is empty."


def test_what_a_create_becomes_does_not_depend_on_how_its_path_is_written() -> None:
    bodies = [_sent(f"POST {path}", SDK) for path in ("/v1/videos", "/videos", "/openai/videos?api-version=preview")]
    sent = [(upstream.target, json.loads(upstream.body or b"")) for upstream in bodies]

    assert sent[0] == sent[1] == sent[2]
