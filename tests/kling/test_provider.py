"""The Kling provider on literal requests and answers: paths, models, credentials, base paths."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Caller, Head, NeedsBody, Pass, Upstream, Whole
from mitm_ai_proxy.kling.job import Job
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from mitm_ai_proxy.providers.base import Clock
from mitm_ai_proxy.wire.json_edit import JSONError
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table
from tests.upstream_of import rewritten

NOW = 1710000000
TOKEN = (Secret("token"),)
MAPPING = ModelMapping({"sora-2": "kling-v3", "veo-*": "kling-v2-6", "kept": ""})
GATEWAY = {
    "openai/v1/videos": "/gateway/text2video?version=1&text=1",
    "kling/v1/image2video": "/gateway/image2video?version=1",
    "openai/v1/retrievevideo": "/gateway/tasks/{video_id}?kind=text",
    "kling/v1/retrieveimagevideo": "/gateway/{video_id}/image?kind=image",
}


def _kling(clock: Clock = lambda: NOW, **keys: Any) -> Kling:
    return Kling(KlingKeys("kling", **{"api_tokens": TOKEN, **keys}), clock)


def _begin(provider: Kling, request: str) -> Upstream | NeedsBody:
    """The result of requestheaders() for a request, written as `METHOD target`."""
    method, _, target = request.partition(" ")
    return provider.requestheaders(Head(method, target, Caller("application/json")))


def _route(provider: Kling, request: str) -> Upstream:
    """The upstream request for a head."""
    upstream = _begin(provider, request)
    assert isinstance(upstream, Upstream)
    assert upstream.body is None
    return upstream


def _create(provider: Kling, body: bytes, target: str = "/v1/videos") -> Upstream:
    """The upstream request of a create."""
    needs = _begin(provider, f"POST {target}")
    assert isinstance(needs, NeedsBody)
    assert needs.origin == provider.origin
    created = rewritten(needs, body)
    assert created.notes[: len(needs.notes)] == needs.notes
    # A flow that is saved and loaded again.
    return created._replace(memo=json.loads(json.dumps(created.memo)))


def _kind(upstream: Upstream) -> str:
    """The kind of the task of a create."""
    job = Job.of(upstream.memo)
    assert job
    return job.kind


def _answer(provider: Kling, upstream: Upstream, answer: Answer) -> Answer:
    """The answer for the client, rewritten."""
    handling = provider.responseheaders(upstream, answer.status, ())
    assert isinstance(handling, Whole)
    return handling.rewrite(answer)


def _authorization(provider: Kling, *fields: tuple[bytes, bytes]) -> str:
    """The Authorization value of a request with these header fields."""
    credential = provider.credential(Upstream(provider.origin, "GET", "/"), provider.token(fields))
    assert (list(credential.fields), credential.query) == ([b"authorization"], "")
    return credential.fields[b"authorization"].decode()


def _complete(provider: Kling, request: str, body: bytes) -> Upstream:
    """The upstream request for a head and, if it is needed, a body."""
    result = _begin(provider, request)
    return rewritten(result, body) if isinstance(result, NeedsBody) else result


def _refusal(provider: Kling, request: str, body: bytes = b"{}") -> Refusal:
    """The refusal of a request, or of a create with this body."""
    with pytest.raises(Refusal) as caught:
        _complete(provider, request, body)
    return caught.value


TEXT, IMAGE = "/v1/videos/text2video", "/v1/videos/image2video"
LONGEST = "x" * 256


@table(
    ("target", "path", "kind", "why"),
    [
        # By the id's prefix, which the hint cannot overrule
        ("kling-t2v-7", f"{TEXT}/7", "text2video", "the id begins with kling-t2v-"),
        ("kling-i2v-7", f"{IMAGE}/7", "image2video", "the id begins with kling-i2v-"),
        ("kling-i2v-7?kling_task_type=t2v", f"{IMAGE}/7", "image2video", "the id begins with kling-i2v-"),
        ("kling-t2v-7?kling_task_type=i2v&a=1", f"{TEXT}/7?a=1", "text2video", "the id begins with kling-t2v-"),
        ("kling-t2v-kling-i2v-7", f"{TEXT}/kling-i2v-7", "text2video", "the id begins with kling-t2v-"),
        ("Kling-i2v-7", f"{TEXT}/Kling-i2v-7", "text2video", "no prefix and the query no hint"),
        ("kling-i2v7", f"{TEXT}/kling-i2v7", "text2video", "no prefix and the query no hint"),
        # By the hint
        *(
            (f"7?kling_task_type={word}", f"{path}/7", kind, "kling_task_type says so")
            for kind, path, words in (
                ("text2video", TEXT, "text2video text t2v T2V +text%20".split()),
                ("image2video", IMAGE, "image2video image i2v IMAGE %09i2v+ image%32video %49mage".split()),
            )
            for word in words
        ),
        ("7?kling%5Ftask%5ftype=i2v", f"{IMAGE}/7", "image2video", "kling_task_type says so"),
        ("7?a=1&kling_task_type=i2v&b", f"{IMAGE}/7?a=1&b", "image2video", "kling_task_type says so"),
        ("7?kling_task_type=t2v&trace=1&kling_task_type=i2v", f"{IMAGE}/7?trace=1", "image2video", "says so"),
        ("7?kling_task_type=i2v&kling_task_type=t2v", f"{TEXT}/7", "text2video", "says so"),
        ("7?kling_task_type=i2v&kling_task_type=%zz", f"{IMAGE}/7", "image2video", "says so"),
        # By neither
        ("7", f"{TEXT}/7", "text2video", "no prefix and the query no hint"),
        ("7?", f"{TEXT}/7", "text2video", "no hint"),
        ("7?kling_task_type", f"{TEXT}/7", "text2video", "no hint"),
        ("7?kling_task_type=&a=1", f"{TEXT}/7?a=1", "text2video", "no hint"),
        ("7?kling_task_type=video", f"{TEXT}/7", "text2video", "no hint"),
        ("7?kling_task_type=image%202video&trace=1", f"{TEXT}/7?trace=1", "text2video", "no hint"),
        ("7?kling_task_type=i2v%2", f"{TEXT}/7", "text2video", "no hint"),
        ("7?kling_task_type=i2v&kling_task_type=x", f"{TEXT}/7", "text2video", "no hint"),
        # What is not a hint stays as it was written
        ("7?KLING_TASK_TYPE=i2v", f"{TEXT}/7?KLING_TASK_TYPE=i2v", "text2video", "no hint"),
        ("7?kling_task_type%zz=i2v", f"{TEXT}/7?kling_task_type%zz=i2v", "text2video", "no hint"),
        ("7?b=%2f+%20&a=?&=", f"{TEXT}/7?b=%2f+%20&a=?&=", "text2video", "no hint"),
        ("my%20task%C3%A9;=+:@", f"{TEXT}/my%20task%C3%A9;=+:@", "text2video", "no hint"),
        (LONGEST, f"{TEXT}/{LONGEST}", "text2video", "no hint"),
        (f"kling-i2v-{LONGEST}", f"{IMAGE}/{LONGEST}", "image2video", "the id begins with kling-i2v-"),
    ],
)
def test_a_retrieve_finds_its_family_by_prefix_then_hint_then_text(target: str, path: str, kind: str, why: str) -> None:
    provider = _kling()
    upstream = _route(provider, f"GET /v1/videos/{target}")

    assert (upstream.method, upstream.target) == ("GET", path)
    assert provider.responseheaders(upstream, 200, ()) == Pass()
    assert upstream.origin == Origin("https", "api-singapore.klingai.com", 443)
    assert upstream.notes[0] == "sent to https://api-singapore.klingai.com: openai/v1/retrievevideo of kling"
    assert upstream.notes[1].startswith(f"{kind}: ")
    assert upstream.notes[1].endswith(why)


@table(
    ("video_id", "says"),
    [
        ("", "empty"),
        ("kling-t2v-", "empty"),
        ("kling-i2v-?kling_task_type=t2v", "empty"),
        (".", "segment"),
        ("%2e%2E", "segment"),
        ("kling-i2v-..", "dot segment"),
        ("kling-t2v-%2e", "dot segment"),
        ("a%2Fb", "slash"),
        ("a%5cb", "slash"),
        ("a%3Fb", "question mark"),
        ("a%23b", "number sign"),
        ("a%0A", "control character"),
        ("a%7f", "control character"),
        ("a%2", "percent-encoding"),
        ("a%zz", "percent-encoding"),
        ("x" + LONGEST, "longer than 256"),
        ("kling-t2v-x" + LONGEST, "longer than 256"),
    ],
)
def test_an_id_that_could_be_read_as_something_else_is_refused(video_id: str, says: str) -> None:
    refusal = _refusal(_kling(), f"GET /v1/videos/{video_id}")

    assert (refusal.status, refusal.code) == (400, "invalid_path")
    assert says in refusal.message


@table("value", ["0", "1", "false", '"x"', '"https://a.test/b.png"', '"iVBOR\\/w0"'])
@table("field", ["image", "image_tail"])
def test_a_create_with_a_picture_of_klings_is_image2video_and_keeps_its_body(field: str, value: str) -> None:
    body = f'{{"prompt":"p", "{field}" : {value}}}'.encode()
    upstream = _create(_kling(), body)

    assert (upstream.target, _kind(upstream), upstream.body) == (IMAGE, "image2video", body)
    assert f"image2video: the body has {field}" in upstream.notes


@table("value", ["null", '""', "[]", "{ }", '" "', "[null]", '[""]'])
@table("field", "image image_tail image_url images last_frame_image".split())
def test_a_create_without_a_picture_is_text2video_whatever_it_says_so_with(field: str, value: str) -> None:
    body = f'{{"prompt":"p", "{field}" : {value} , "n":1.50}}'.encode()
    upstream = _create(_kling(), body)

    assert (upstream.target, _kind(upstream), upstream.body) == (TEXT, "text2video", b'{"prompt":"p", "n":1.50}')
    assert "text2video: the body has no image field" in upstream.notes


@table(
    "body",
    [
        b"{}",
        b' {"prompt":"image"}\n',
        b'{"extra":{"image":"x","model":"m","model_name":"m"}}',
        b'{"image_list":[{"image":"x"}],"Image":1,"imagE_url":1,"image ":1}',
    ],
)
def test_a_create_without_an_image_field_is_text2video_and_keeps_its_body(body: bytes) -> None:
    upstream = _create(_kling(), body)

    assert (upstream.target, _kind(upstream), upstream.body) == (TEXT, "text2video", body)
    assert (upstream.method, upstream.fields) == ("POST", {b"accept-encoding": b"identity"})
    assert "text2video: the body has no image field" in upstream.notes


@table("mapping", [{}, {"model_mapping": MAPPING}])
def test_a_byte_order_mark_before_json_is_left_out(mapping: dict[str, Any]) -> None:
    upstream = _create(_kling(**mapping), b'\xef\xbb\xbf {"prompt":"p", "image":"x"}')

    assert (upstream.target, upstream.body) == (IMAGE, b' {"prompt":"p", "image":"x"}')


def test_an_image_field_may_be_written_with_escapes() -> None:
    assert _create(_kling(), b'{"im\\u0061ge":1}').target == IMAGE


@table(
    ("body", "sent"),
    [
        # model becomes model_name where it stands
        ('{"model":"sora-2"}', '{"model_name":"kling-v3"}'),
        ('{"a":1,"model":"veo-3","b":2}', '{"a":1,"model_name":"kling-v2-6","b":2}'),
        ('{"model":"k\\u006cing"}', '{"model_name":"k\\u006cing"}'),
        ('{"m\\u006fdel":"sora-2"}', '{"model_name":"kling-v3"}'),
        ('{"model":"kept"}', '{"model_name":"kept"}'),
        ('{"model":""}', '{"model_name":""}'),
        # model_name alone is mapped where it stands
        ('{"model_name":"sora-2"}', '{"model_name":"kling-v3"}'),
        ('{ "model\\u005fname" : "sora-2" }', '{ "model\\u005fname" : "kling-v3" }'),
        ('{"model_name":"kling-v2\\u002d1"}', '{"model_name":"kling-v2\\u002d1"}'),
        # model wins over model_name, wherever the two stand
        ('{"model":"sora-2","model_name":"x"}', '{"model_name":"kling-v3"}'),
        ('{"model_name":"x" , "model":"sora-2"}', '{"model_name":"kling-v3"}'),
        ('{"model_name":"x", "a":1,"model":"m", "b":2}', '{"model_name":"m", "a":1,"b":2}'),
        ('{"a":1, "model":"m", "b":2 ,"model_name":"x"}', '{"a":1, "b":2 ,"model_name":"m"}'),
        ('{"model":"kling-v3","model_name":"kling\\u002dv3"}', '{"model_name":"kling\\u002dv3"}'),
        # and nothing else changes
        (
            ' {"cfg":0.50,"n":12345678901234567890,"z":"\\u00e9\\/é","model":"sora-2","x":1E400, "z":[ ] }\n',
            ' {"cfg":0.50,"n":12345678901234567890,"z":"\\u00e9\\/é","model_name":"kling-v3","x":1E400, "z":[ ] }\n',
        ),
    ],
)
def test_a_create_sends_its_model_as_model_name_and_every_other_byte_as_it_was(body: str, sent: str) -> None:
    assert _create(_kling(model_mapping=MAPPING), body.encode()).body == sent.encode()


@table(
    ("body", "notes"),
    [
        (
            '{"model":"sora-2"}',
            ['model sora-2 mapped to kling-v3 by modelMapping "sora-2"', "model sent as model_name"],
        ),
        ('{"model_name":"veo-3"}', ['model veo-3 mapped to kling-v2-6 by modelMapping "veo-*"']),
        ('{"model":"kept"}', ["model sent as model_name"]),
        ('{"model_name":"other"}', []),
    ],
)
def test_each_rewrite_of_a_model_is_noted(body: str, notes: list[str]) -> None:
    assert _create(_kling(model_mapping=MAPPING), body.encode()).notes[2:] == tuple(notes)


@table(
    ("body", "param", "says"),
    [
        (b"", None, "The request body is empty."),
        (b" \n", None, "The request body is empty."),
        (b'{"model":"m"', None, "not valid JSON"),
        (b'{"model":"m"} {}', None, "not valid JSON"),
        (b'["model"]', None, "not a JSON object"),
        (b"null", None, "not a JSON object"),
        (b'{"a":"\xff"}', None, "not UTF-8 (byte 6)"),
        (b"\xef\xbb\xbf", None, "The request body is empty."),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", None, "not valid JSON"),
        *(
            ('{"model":"m"}'.encode(encoding), None, f"The request body is {encoding[:6].upper()}, by its first bytes")
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        ),
        (b'{"a":' + b"[" * 100_000, None, "nested too deeply"),
        (b'{"model":4}', "model", "model is not a string."),
        (b'{"model":null,"model_name":"m"}', "model", "model is not a string."),
        (b'{"model":"m","model_name":[]}', "model_name", "model_name is not a string."),
        (b'{"model":"m","m\\u006fdel":"m"}', "model", "model stands more than once"),
        (b'{"model_name":"m","model_name":"m"}', "model_name", "model_name stands more than once"),
    ],
)
def test_a_create_that_cannot_be_rewritten_with_certainty_is_refused(body: bytes, param: str | None, says: str) -> None:
    refusal = _refusal(_kling(), "POST /v1/videos", body)

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_body", param)
    assert says in refusal.message


@table("target", ["/v1/videos", "/any/prefix/v1/videos?a=1"])
def test_a_create_has_no_path_before_its_body_is_read(target: str) -> None:
    provider = _kling()
    needs = _begin(provider, f"POST {target}")

    assert isinstance(needs, NeedsBody)
    assert needs.origin == provider.origin
    assert needs.notes == ("sent to https://api-singapore.klingai.com: openai/v1/videos of kling",)
    assert isinstance(provider.responseheaders(rewritten(needs, b"{}"), 200, ()), Whole)


@table(
    ("query", "text", "image"),
    [
        ("", "?version=1&text=1", "?version=1"),
        ("?version=1&trace=1", "?version=1&text=1&trace=1", "?version=1&trace=1"),
        ("?trace=1&version=2", "?version=1&text=1&trace=1&version=2", "?version=1&trace=1&version=2"),
        ("?&a=%2f&&", "?version=1&text=1&&a=%2f&&", "?version=1&&a=%2f&&"),
        ("?kling_task_type=i2v", "?version=1&text=1", "?version=1"),
        ("?Version=1&version", "?version=1&text=1&Version=1&version", "?version=1&Version=1&version"),
    ],
)
def test_a_create_merges_the_clients_query_behind_that_of_its_own_path_only(query: str, text: str, image: str) -> None:
    provider = _kling(capabilities=GATEWAY)
    target = f"/v1/videos{query}"

    assert _create(provider, b"{}", target).target == f"/gateway/text2video{text}"
    assert _create(provider, b'{"image":1}', target).target == f"/gateway/image2video{image}"


@table(
    ("target", "path"),
    [
        ("7", "/gateway/tasks/7?kind=text"),
        ("7?kind=text&x=1", "/gateway/tasks/7?kind=text&x=1"),
        ("kling-i2v-7?kind=text", "/gateway/7/image?kind=image&kind=text"),
        ("7?x=1&kling_task_type=i2v", "/gateway/7/image?kind=image&x=1"),
        ("{video_id}", "/gateway/tasks/{video_id}?kind=text"),
    ],
)
def test_a_retrieve_uses_configured_paths(target: str, path: str) -> None:
    assert _route(_kling(capabilities=GATEWAY), f"GET /v1/videos/{target}").target == path


@table("request_line", ["POST /v1/chat/completions", "POST /v1/videos/kling-i2v-7/remix"])
def test_an_api_that_a_gateway_has_besides_has_its_model_mapped_and_is_no_create(request_line: str) -> None:
    added = {"openai/v1/chatcompletions": "/chat?v=1", "openai/v1/videoremix": "/remix/{video_id}?v=1"}
    provider = _kling(capabilities=added, model_mapping=MAPPING)
    needs = _begin(provider, f"{request_line}?a=1")
    path = "/chat" if "chat" in request_line else "/remix/7"

    assert isinstance(needs, NeedsBody)
    sent = rewritten(needs, b'{"model":"sora-2", "image":1}')
    assert (sent.target, sent.body) == (f"{path}?v=1&a=1", b'{"model":"kling-v3", "image":1}')
    assert provider.responseheaders(sent, 200, ()) == Pass()


def test_one_configured_capability_leaves_the_others_unchanged() -> None:
    provider = _kling(capabilities={"kling/v1/image2video": "/pictures"})

    assert _create(provider, b'{"image":1}').target == "/pictures"
    assert _create(provider, b"{}").target == TEXT
    assert _route(provider, "GET /v1/videos/kling-i2v-7").target == f"{IMAGE}/7"


@table(
    ("request_line", "path"),
    [
        ("GET /v1/videos/kling-i2v-7/content?a=1", "/files/7?a=1"),
        ("GET /v1/videos/7/content?kling_task_type=i2v", "/files/7"),
        ("GET /v1/videos?limit=1", "/list?limit=1"),
    ],
)
def test_apis_that_a_gateway_has_besides_can_be_added(request_line: str, path: str) -> None:
    added = {"openai/v1/retrievevideocontent": "/files/{video_id}", "openai/v1/listvideos": "/list"}

    assert _route(_kling(capabilities=added), request_line).target == path


@table(
    ("keys", "text", "native", "other"),
    [
        ({"provider_base_path": "/kling"}, f"/kling{TEXT}", f"/kling{TEXT}/7", "/kling/proxy/x"),
        ({"base_path": "/proxy"}, TEXT, f"{TEXT}/7", "/x"),
        ({"base_path": "/proxy", "provider_base_path": "/kling"}, f"/kling{TEXT}", f"/kling{TEXT}/7", "/kling/x"),
        ({"base_path": "/proxy", "base_path_handling": "prepend"}, f"/proxy{TEXT}", f"/proxy{TEXT}/7", "/proxy/x"),
        (
            {"base_path": "/proxy", "base_path_handling": "prepend", "provider_base_path": "/kling"},
            f"/kling/proxy{TEXT}",
            f"/kling/proxy{TEXT}/7",
            "/kling/proxy/x",
        ),
    ],
)
def test_base_paths_stand_before_every_path(keys: dict[str, Any], text: str, native: str, other: str) -> None:
    provider = _kling(**keys)

    assert _create(provider, b"{}", "/proxy/v1/videos").target == text
    assert _route(provider, "GET /proxy/v1/videos/7").target == f"{text}/7"
    assert _route(provider, f"GET {TEXT}/7").target == native
    assert _route(provider, "GET /proxy/x").target == other


def test_a_base_path_that_is_to_be_prepended_is_not_taken_off_before() -> None:
    assert _route(_kling(base_path="/proxy", base_path_handling="prepend"), "GET /proxy").target == "/proxy"


@table(
    ("target", "path"),
    [
        ("/proxy", "/kling/"),
        ("/proxy?a", "/kling/?a"),
        ("/proxy2/x", "/kling/proxy2/x"),
        ("/kling/x?a=1&a=1", "/kling/x?a=1&a=1"),
        ("/kling", "/kling"),
        ("/klingon", "/kling/klingon"),
        ("/a//b/?", "/kling/a//b/"),
    ],
)
def test_base_paths_count_by_whole_segments_and_never_twice(target: str, path: str) -> None:
    assert _route(_kling(base_path="/proxy", provider_base_path="/kling"), f"GET {target}").target == path


@table(
    ("request_line", "path"),
    [
        ("POST /proxy/v1/videos?kling_task_type=i2v", "/kling/v1/videos?kling_task_type=i2v"),
        ("GET /v1/videos/kling-i2v-7", "/kling/v1/videos/kling-i2v-7"),
        ("GET /v1/videos/a%2Fb?&&", "/kling/v1/videos/a%2Fb?&&"),
        ("POST /v1/chat/completions", "/kling/v1/chat/completions"),
        (f"POST {TEXT}", f"/kling{TEXT}"),
    ],
)
def test_protocol_original_changes_host_and_base_path_only(request_line: str, path: str) -> None:
    provider = _kling(
        protocol="original",
        base_path="/proxy",
        provider_base_path="/kling",
        model_mapping=MAPPING,
        capabilities=GATEWAY,
    )
    upstream = _route(provider, request_line)

    assert (upstream.target, upstream.memo, upstream.fields) == (path, {}, {})
    assert (upstream.holds_small, provider.responseheaders(upstream, 200, ())) == (False, Pass(holds_small=False))
    assert upstream.notes == ("sent to https://api-singapore.klingai.com: protocol original",)


TASK_PATHS = [
    *(
        f"/v1/videos/{family}"
        for family in "text2video image2video omni-video motion-control multi-image2video video-extend lip-sync"
        " advanced-lip-sync avatar/image2video effects multi-elements".split()
    ),
    *(
        f"/v1/images/{family}"
        for family in "generations omni-image multi-image2image editing/expand kolors-virtual-try-on".split()
    ),
    "/v1/audio/text-to-audio",
    "/v1/audio/video-to-audio",
    "/v1/general/ai-multi-shot",
    "/v1/general/advanced-custom-elements",
    "/v1/general/custom-elements",
    "/v1/general/custom-voices",
]
NATIVE = [
    *(f"POST {path}" for path in TASK_PATHS),
    *(f"GET {path}/831234567890123456" for path in TASK_PATHS),
    *(f"GET {path}?pageNum=1&pageSize=30&pageNum=1" for path in TASK_PATHS),
    *(f"POST /v1/videos/multi-elements/{step}-selection" for step in "init add delete clear preview".split()),
    "POST /v1/videos/identify-face",
    "GET /v1/videos/Identify-face",
    "POST /v1/videos/image-recognize",
    "POST /v1/audio/tts",
    *(f"GET /v1/general/{what}" for what in "advanced-presets-elements presets-elements presets-voices".split()),
    *(f"POST /v1/general/delete-{what}" for what in "advanced-elements elements voices".split()),
    "GET /account/costs?start_time=1&end_time=2",
    "POST /account/billing/balance",
    "POST /account/billing/package",
    "POST /text-to-video/kling-3.0",
    "POST /image-to-video/kling-3.0-turbo",
    "POST /omni-video/kling-o1",
    "POST /motion-control/kling-2.6",
    "GET /tasks?task_ids=1,2",
    "POST /tasks",
]


@table("prefix", ["", "/klingai", "/v1/proxy"])
@table("request_line", NATIVE)
def test_klings_own_paths_pass_as_they_are(request_line: str, prefix: str) -> None:
    method, _, target = request_line.partition(" ")
    provider = _kling(model_mapping=MAPPING)
    upstream = _route(provider, f"{method} {prefix}{target}")

    assert provider.detect(method, f"{prefix}{target}".partition("?")[0]) is None
    assert (upstream.method, upstream.target, upstream.fields) == (method, prefix + target, {})
    assert provider.responseheaders(upstream, 200, ()) == Pass()
    assert upstream.notes == ("sent to https://api-singapore.klingai.com: the path is no API that kling translates",)


@table(
    ("method", "path", "api"),
    [
        ("POST", "/v1/videos", "openai/v1/videos"),
        ("GET", "/v1/videos/effects2", "openai/v1/retrievevideo"),
        ("GET", "/v1/videos/text2video%2F7", "openai/v1/retrievevideo"),
        ("GET", "/v1/videos/7/content", "openai/v1/retrievevideocontent"),
        ("POST", "/v1/images/edits", "openai/v1/imageedit"),
        ("POST", "/v1/images/variations", "openai/v1/imagevariation"),
        ("POST", "/v1/audio/speech", "openai/v1/audiospeech"),
    ],
)
def test_openais_paths_beside_klings_own_are_openais(method: str, path: str, api: str) -> None:
    call = _kling().detect(method, path)

    assert call is not None
    assert call.api.name == api


@table(
    ("request_line", "missing"),
    [
        ("POST /v1/chat/completions", "/v1/chat/completions"),
        ("POST /proxy/v1/messages?beta=true", "/v1/messages"),
        ("GET /v1/models", "/v1/models"),
        ("DELETE /v1/videos/kling-t2v-7", "DELETE /v1/videos/{video_id}"),
        ("POST /v1/images/edits", "/v1/images/edits"),
    ],
)
def test_an_api_that_kling_does_not_have_is_refused_with_what_it_has(request_line: str, missing: str) -> None:
    refusal = _refusal(_kling(), request_line)

    assert (refusal.status, refusal.code) == (404, "unsupported_api")
    assert refusal.message.startswith(f"kling has no {missing}. ")
    assert refusal.message.endswith(
        "It has: POST /v1/videos, GET /v1/videos/{video_id}, GET /v1/videos, GET /v1/videos/{video_id}/content, "
        "POST /v1/videos/{video_id}/remix, POST /v1/videos/edits, POST /v1/videos/extensions, "
        "POST /v1/videos/characters, GET /v1/videos/characters/{character_id}, "
        "Kling's own paths (/v1/videos/text2video, /v1/images/generations, ...)."
    )


@table("protocol", ["openai", "original"])
@table("target", ["/kling/../admin", "/a/%2e%2E/b?x", "/a/.%5cb", "/a%0ab", "/v1/videos/text2video/.."])
def test_a_path_that_could_leave_the_base_path_is_refused(target: str, protocol: str) -> None:
    refusal = _refusal(_kling(protocol=protocol), f"GET {target}")

    assert (refusal.status, refusal.code) == (400, "invalid_path")


@table(("kind", "create"), [("t2v", b"{}"), ("i2v", b'{"image":"x"}')])
@table(
    ("answer", "expected"),
    [
        ('{"data":{"task_id":"7"}}', '{"data":{"task_id":"#7"}}'),
        ('{"task_id":"7"}', '{"task_id":"#7"}'),
        (
            '{"task_id" : "7",\n"n":0.50, "data": {"id":"7", "task_id":"8\\u0039","a":{"task_id":"9"}} }\n',
            '{"task_id" : "#7",\n"n":0.50, "data": {"id":"7", "task_id":"#8\\u0039","a":{"task_id":"9"}} }\n',
        ),
        (
            '{"data":{"task\\u005fid":"7","é":12345678901234567890}}',
            '{"data":{"task\\u005fid":"#7","é":12345678901234567890}}',
        ),
        ('{"task_id":"7","data":{"task_id":"kling-i2v-8"}}', '{"task_id":"#7","data":{"task_id":"kling-i2v-8"}}'),
        ('{"task_id":"kling-7"}', '{"task_id":"#kling-7"}'),
        ('{"data":{"task_id": \n"7"},"a":"\\"task_id"}', '{"data":{"task_id": \n"#7"},"a":"\\"task_id"}'),
        ('{"\\"task_id":"6","data":{"task\\u005fid":"7"}}', '{"\\"task_id":"6","data":{"task\\u005fid":"#7"}}'),
        ('{"a":"task_id","data":{"task_id":"7"}}', '{"a":"task_id","data":{"task_id":"#7"}}'),
        ('{"data":{"task_id":"7"},"data":{}}', '{"data":{"task_id":"#7"},"data":{}}'),
        ('{"data":{},"data":{"task_id":"7"}}', '{"data":{},"data":{"task_id":"#7"}}'),
        ('{"data":{"task_id":"7","task_id":"8"}}', '{"data":{"task_id":"#7","task_id":"#8"}}'),
    ],
)
def test_the_answer_to_a_create_has_the_family_before_both_ids(
    answer: str, expected: str, kind: str, create: bytes
) -> None:
    provider = _kling()
    upstream = _create(provider, create)
    rewritten = _answer(provider, upstream, Answer(200, answer.encode()))

    assert rewritten.body.decode() == expected.replace("#", f"kling-{kind}-")
    assert rewritten.notes[-1].startswith(f"task_id prefixed with kling-{kind}-")
    again = Answer(201, rewritten.body)
    assert _answer(provider, upstream, again) is again


@table(
    "answer",
    [
        b"{}",
        b'{"data":null, "x":0.50}',
        b'{"data":[{"task_id":"7"}]}',
        b'{"data":"task_id"}',
        b'{"task_id":7,"data":{"task_id":null}}',
        b'{"task_id":"","data":{"id":"7"}}',
        b'{"task_id":"kling-t2v-7","data":{"task_id":"\\u006bling-i2v-7"}}',
        b'{"result":{"data":{"task_id":"7"}}, "taskId":"7"}',
        b'{"data":{"a":{"task_id":"7"}}}',
        b'{"a":{"task_id":"7"},"data":{"task_status":"submitted"}}',
        b'{"data":{"task_id":"kling-i2v-7"}}',
    ],
)
def test_an_answer_without_an_id_to_prefix_stays_to_the_byte(answer: bytes) -> None:
    provider = _kling()

    unchanged = Answer(200, answer)
    assert _answer(provider, _create(provider, b"{}"), unchanged) is unchanged


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"created",
        b"[]",
        b'{"task_id":"7"',
        b'{"data":{"task_id":"7"}',
        b'{"data":{"task_id":"7"},"a":' + b"[" * 5000,
    ],
    ids=lambda answer: answer[:30],
)
def test_an_answer_that_is_no_json_object_raises_json_error(answer: bytes) -> None:
    provider = _kling()
    with pytest.raises(JSONError):
        _answer(provider, _create(provider, b"{}"), Answer(200, answer))


def test_a_prefixed_answer_leads_back_to_the_family_of_its_create() -> None:
    provider = _kling(provider_base_path="/kling")
    upstream = _create(provider, b'{"image":"x"}')
    answer = Answer(200, b'{"data":{"task_id":"7"}}')
    task_id = json.loads(_answer(provider, upstream, answer).body)["data"]["task_id"]

    assert _route(provider, f"GET /v1/videos/{task_id}").target == f"/kling{IMAGE}/7"


def test_a_key_pair_signs_a_jwt_and_wins_over_tokens() -> None:
    provider = _kling(kling_access_key="access-key", kling_secret_key=Secret("secret-key"))

    assert _authorization(provider, (b"Authorization", b"Bearer client")) == (
        "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        ".eyJpc3MiOiJhY2Nlc3Mta2V5IiwiZXhwIjoxNzEwMDAxODAwLCJuYmYiOjE3MDk5OTk5OTV9"
        ".dOei0bQRPnmPMUnjQRJ654FavsE7U-XDAF8uvHcwgqA"
    )


@table(
    ("refresh_ahead", "elapsed", "signed_at"),
    [(60, 1739, 0), (60, 1740, 1740), (0, 1739, 0), (0, 1740, 1740), (600, 1199, 0), (600, 1200, 1200)],
)
def test_a_jwt_is_kept_until_it_is_to_be_refreshed_where_zero_means_sixty(
    refresh_ahead: int, elapsed: int, signed_at: int
) -> None:
    times = iter([NOW, NOW + elapsed])
    provider = _kling(
        clock=lambda: next(times),
        kling_access_key="a",
        kling_secret_key=Secret("s"),
        kling_token_refresh_ahead=refresh_ahead,
    )
    _authorization(provider)
    token = _authorization(provider).removeprefix("Bearer ")

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims == {"iss": "a", "exp": NOW + signed_at + 1800, "nbf": NOW + signed_at - 5}


def test_without_a_key_pair_a_token_is_sent_and_never_the_clients() -> None:
    provider = _kling(api_tokens=(Secret("one"), Secret("two")))
    sent = {_authorization(provider, (b"Authorization", b"Bearer client")) for _ in range(100)}

    assert sent == {"Bearer one", "Bearer two"}
    assert provider.has_credential
    assert _kling(api_tokens=(), kling_access_key="a", kling_secret_key=Secret("s")).has_credential


def test_a_provider_domain_replaces_klings_host() -> None:
    upstream = _route(_kling(provider_domain=Origin("http", "127.0.0.1", 3000)), "GET /v1/videos/7")

    assert str(upstream.origin) == "http://127.0.0.1:3000"
    assert upstream.notes[0].startswith("sent to http://127.0.0.1:3000: ")
