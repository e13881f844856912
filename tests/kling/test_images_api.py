"""OpenAI's images API on the path that Kling has too: OpenAI's create is refused, Kling's passes to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Caller, Head, NeedsBody, Upstream
from mitm_ai_proxy.kling import images_api
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from tests.tables import table
from tests.upstream_of import requested, rewritten

PATH = "/v1/images/generations"
SDK = Caller("application/json", is_openai_sdk=True)
PLAIN = Caller("application/json")
OPENAIS: list[dict[str, Any]] = [
    {"model": "dall-e-3", "prompt": "p"},
    {"model": "dall-e-2", "prompt": "p", "n": 1},
    {"model": "gpt-image-1", "prompt": "p"},
    {"model": "gpt-image-1-mini", "prompt": "p"},
    {"model": "chatgpt-image-latest", "prompt": "p"},
    {"model": "kling-v2-1", "prompt": "a boat", "size": "1024x1024"},
    {"prompt": "p", "size": "1792x1024"},
    {"prompt": "p", "size": "auto"},
    {"prompt": "p", "quality": "hd"},
    {"prompt": "p", "quality": "medium"},
    {"prompt": "p", "style": "vivid"},
    {"prompt": "p", "response_format": "b64_json"},
    {"prompt": "p", "response_format": "url", "n": 2, "user": "u"},
    {"prompt": "p", "background": "transparent"},
    {"prompt": "p", "output_format": "webp", "output_compression": 50},
    {"prompt": "p", "moderation": "low"},
]
KLINGS: list[dict[str, Any]] = [
    {},
    {"prompt": "p"},
    {"model": "kling-v2-1", "prompt": "p"},
    {"model": "m"},
    {"model": None, "size": None, "quality": 1},
    {"model_name": "kling-v3", "prompt": "p", "resolution": "2k", "n": 2, "aspect_ratio": "16:9"},
    {"prompt": "p", "n": 2, "user": "u"},
    # One of Kling's own fields decides.
    {"model_name": "kling-v3", "prompt": "p", "size": "1024x1024", "quality": "hd"},
    {"model": "dall-e-3", "prompt": "p", "aspect_ratio": "1:1"},
    {"prompt": "p", "size": "1024x1024", "callback_url": "https://a.test/"},
    {"prompt": "p", "response_format": "url", "image": "https://a.test/b.png"},
    # Nor is it OpenAI's with values that OpenAI does not have.
    {"prompt": "p", "size": "large"},
    {"prompt": "p", "quality": "best"},
    {"prompt": "p", "model": "my-dall-e-3"},
    {"prompt": "a dall-e-3 size 1024x1024", "extra": {"size": "1024x1024"}},
]


def _kling(**keys: Any) -> Kling:
    return Kling(KlingKeys("kling", **{"api_tokens": (Secret("token"),), **keys}), lambda: 0.0)


def _begin(
    body: bytes, caller: Caller = PLAIN, request: str = f"POST {PATH}", provider: Kling | None = None, **fields: str
) -> Upstream | NeedsBody:
    method, _, target = request.partition(" ")
    named = {"Content-Length": str(len(body)), **fields}
    pairs = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in named.items())
    return (provider or _kling()).requestheaders(Head(method, target, caller, pairs))


def _check_refusal(refusal: Refusal) -> None:
    assert (refusal.status, refusal.code) == (404, "unsupported_api")
    assert "as a task, which OpenAI's images API cannot ask for again" in refusal.message
    assert "Kling's own POST /v1/images/generations, with a client of Kling's" in refusal.message


@table(
    "request_line",
    [
        f"POST {PATH}",
        f"POST {PATH}/",
        f"POST /klingai{PATH}?a=1",
        "POST /images/generations",
        "POST /v1//images/generations",
        "POST /V1/Images/Generations",
        "POST /openai/images/generations?api-version=1",
        "POST /openai/deployments/dall-e-3/images/generations?api-version=1",
        "POST /v1/images/edits",
        "POST /v1/images/variations",
        "POST /images/edits",
    ],
)
@table("keys", [{}, {"video_response": "openai"}, {"kling_api": "v2"}, {"provider_base_path": "/klingai"}])
def test_an_sdk_is_refused_by_the_head_alone(request_line: str, keys: dict[str, Any]) -> None:
    for body in (b"", b'{"model_name": "kling-v3"}', b"x" * 10**6):
        with pytest.raises(Refusal) as caught:
            _begin(body, SDK, request_line, _kling(**keys))
        _check_refusal(caught.value)


@table("document", OPENAIS)
def test_a_body_that_is_certainly_openais_is_refused(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    needs = _begin(body)
    assert isinstance(needs, NeedsBody)

    with pytest.raises(Refusal) as caught:
        rewritten(needs, body)
    _check_refusal(caught.value)


@table("document", KLINGS)
def test_klings_own_create_passes_to_the_byte(document: dict[str, Any]) -> None:
    body = json.dumps(document, indent=1).encode()
    needs = _begin(body)
    assert isinstance(needs, NeedsBody)
    upstream = requested(needs, Head("POST", PATH), body)

    assert (upstream.method, upstream.target, upstream.body, upstream.fields) == ("POST", PATH, None, {})
    assert (upstream.memo, upstream.notes) == ({}, needs.notes)


@table("body", [b"{", b"[]", b"null", b"size=1024x1024", b"\xff", b'{"size":"1024x1024"} {}', b'{"size":1024x1024}'])
def test_what_is_no_json_object_passes(body: bytes) -> None:
    needs = _begin(body)
    assert isinstance(needs, NeedsBody)

    assert requested(needs, Head("POST", PATH), body).body is None


def test_an_escaped_name_is_read_as_well() -> None:
    assert images_api.is_openais(b'{"s\\u0069ze":"1024\\u00781024"}')
    assert not images_api.is_openais(b'{"size":"1024x1024","model\\u005fname":"kling-v3"}')


def test_a_body_is_held_only_where_it_may_be_openais() -> None:
    longest = images_api.MAX_LENGTH
    assert isinstance(_begin(b"x" * longest), NeedsBody)
    for begun in (
        # A picture in base64, which OpenAI's create does not have.
        _begin(b"x" * (longest + 1)),
        _begin(b""),
        _begin(b"", Content_Length=""),
        _begin(b"{}", Content_Length="-1"),
        _begin(b"{}", PLAIN._replace(content_encoding="gzip")),
    ):
        assert isinstance(begun, Upstream)
        assert (begun.target, begun.body) == (PATH, None)


@table(
    "request_line",
    [
        *(f"GET {PATH}/7", f"GET {PATH}?pageNum=1", f"HEAD {PATH}", f"PUT {PATH}", f"POST {PATH}/7"),
        *("POST /v1/images/omni-image", "POST /v1/images/editing/expand", "GET /v1/images/omni-image/7"),
    ],
)
def test_other_requests_for_klings_pictures_pass_for_sdks_too(request_line: str) -> None:
    begun = _begin(b'{"size":"1024x1024"}', SDK, request_line)

    assert isinstance(begun, Upstream)
    assert f"{begun.method} {begun.target}" == request_line


@table(
    "keys",
    [
        {"video_response": "native"},
        {"protocol": "original"},
        {"capabilities": {images_api.NAME: "/v1/images/generations"}},
    ],
)
def test_who_asks_for_klings_answers_gets_them(keys: dict[str, Any]) -> None:
    for caller in (SDK, PLAIN):
        begun = _begin(b'{"model":"dall-e-3"}', caller, provider=_kling(**keys))
        assert isinstance(begun, Upstream)
        assert (begun.target, begun.body) == (PATH, None)
