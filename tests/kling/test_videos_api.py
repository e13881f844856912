"""OpenAI's Videos API through a whole Kling provider, on literal requests and answers.

Details of creates are tested in test_create.py, those of the newer API in test_api_versions.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Caller, Head, NeedsBody, Pass, Upstream, Whole
from mitm_ai_proxy.kling.ids import VideoParameters, add_parameters, split_parameters
from mitm_ai_proxy.kling.job import Job
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from mitm_ai_proxy.wire.json_edit import JSONError
from tests.tables import table
from tests.upstream_of import rewritten

NOW = 1795212100
URL = "https://v1-kling.klingai.com/v.mp4?sign=a%2Fb"
JSON, FORM = "application/json", "multipart/form-data; boundary=B"
APIS, RESPONSES = ("legacy", "v2"), ("auto", "openai", "native")
KEYS = (
    "id object model status progress created_at completed_at expires_at prompt size seconds remixed_from_video_id error"
).split()
DEEP = b'{"data":' + b"[" * 100_000
GARBAGE = [b"", b"null", b"5", b"[]", b'"x"', b"<html>", b"{", b"\xff", b'{"code":0,"message":"\xff"}', DEEP]


def _any(*values: Any) -> tuple[Any, ...]:
    """Values of all types, for a table."""
    return values


def _kling(api: str = "legacy", response: str = "auto", **keys: Any) -> Kling:
    made = KlingKeys(
        "kling", **{"api_tokens": (Secret("token"),), "kling_api": api, "video_response": response, **keys}
    )
    return Kling(made, lambda: NOW)


def _sdk(retries: int = 0, content_type: str = JSON, key: str = "") -> Caller:
    return Caller(content_type, is_openai_sdk=True, retries=retries, idempotency_key=key)


def _send(provider: Kling, request: str, body: bytes = b"", caller: Caller | None = None) -> tuple[Upstream, bytes]:
    """A request, written as `METHOD target`, as it goes to Kling, and its body; by default of an OpenAI SDK."""
    method, _, target = request.partition(" ")
    upstream = provider.requestheaders(Head(method, target, _sdk() if caller is None else caller))
    if isinstance(upstream, NeedsBody):
        assert upstream.origin == provider.origin
        upstream = rewritten(upstream, body)
    assert upstream.origin == provider.origin
    upstream.target.encode("ascii")
    # A flow that is saved and loaded again.
    upstream = upstream._replace(memo=json.loads(json.dumps(dict(upstream.memo))))
    return upstream, body if upstream.body is None else upstream.body


def _answer(provider: Kling, upstream: Upstream, answer: Any, status: int = 200) -> Answer:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handling = provider.responseheaders(upstream, status, ())
    if handling == Pass():
        return Answer(status, body)
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, body))


def _task(api: str = "legacy", status: str = "submitted", url: str = URL, task_id: str = "7") -> dict[str, Any]:
    done = [{"type": "video", "id": "v7", "url": url, "duration": "5"}] if status.startswith("succeed") else []
    if api == "v2":
        return {
            "id": task_id,
            "status": status,
            "create_time": (NOW - 9) * 1000,
            "update_time": NOW * 1000,
            "outputs": done,
        }
    return {
        "task_id": task_id,
        "task_status": status,
        "created_at": (NOW - 9) * 1000,
        "updated_at": NOW * 1000,
        "task_result": {"videos": done},
    }


def _named(task: dict[str, Any], name: str) -> dict[str, Any]:
    """The task with an external_task_id, as its API version returns it."""
    return {**task, "external_id": name} if "id" in task else {**task, "task_info": {"external_task_id": name}}


def _good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data}


def _form(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), v) for n, v in parts)
        + b"--B--\r\n"
    )


CREATE = b'{"model":"sora-2","prompt":"p","seconds":"8","size":"1280x720"}'
FORM_CREATE = _form(("model", b"sora-2"), ("prompt", b"p"), ("seconds", b"8"), ("size", b"1280x720"))


@table("response", RESPONSES)
@table("api", APIS)
@table(("body", "content_type"), [(CREATE, JSON), (FORM_CREATE, FORM)], ids=["json", "form"])
def test_a_create_in_json_or_as_a_form_is_the_same(api: str, response: str, body: bytes, content_type: str) -> None:
    provider = _kling(api, response)
    upstream, sent = _send(provider, "POST /v1/videos?a=1", body, _sdk(content_type=content_type))
    fields = json.loads(sent)

    assert upstream.method == "POST"
    assert list(upstream.fields.items()) == [(b"accept-encoding", b"identity"), (b"content-type", JSON.encode())]
    if api == "v2":
        assert upstream.target == "/text-to-video/kling-3.0?a=1"
        name = fields.pop("options")["external_task_id"]
        settings = {"resolution": "720p", "aspect_ratio": "16:9", "duration": 8, "audio": "off", "multi_shot": False}
        assert fields == {"prompt": "p", "settings": settings}
    else:
        assert upstream.target == "/v1/videos/text2video?a=1"
        name = fields.pop("external_task_id")
        assert fields == {
            "model_name": "kling-v3",
            "prompt": "p",
            "duration": "8",
            "aspect_ratio": "16:9",
            "mode": "std",
        }
    assert name.startswith("ai-proxy-")

    answer = _answer(provider, upstream, _good(_task(api)))
    got = json.loads(answer.body)
    if response == "native":
        assert "object" not in got
        return
    video_id = "kling-t2v-" + add_parameters("7", VideoParameters("sora-2", "8", "1280x720"))
    assert list(got)[:13] == KEYS
    assert (got["id"], got["status"], got["prompt"]) == (video_id, "queued", "p")
    assert (answer.headers["openai-poll-after-ms"], answer.headers["x-request-id"]) == ("5000", "r-1")

    upstream, _ = _send(provider, f"GET /v1/videos/{video_id}")
    assert upstream.target == ("/tasks?task_ids=7" if api == "v2" else "/v1/videos/text2video/7")
    task = _task(api, "succeeded" if api == "v2" else "succeed")
    got = json.loads(_answer(provider, upstream, _good([task] if api == "v2" else task)).body)
    assert (got["status"], got["model"], got["size"], got["seconds"]) == ("completed", "sora-2", "1280x720", "8")
    assert got["prompt"] is None


def test_kling_s_envelope_stays_to_the_byte_beside_the_video() -> None:
    provider = _kling()
    upstream, _ = _send(provider, "GET /v1/videos/kling-t2v-7")
    body = b' {"code" : 0,"data":{ "task_id":"7" ,"x":1.50,"y":"\\u00e9\\/"},"message":"SUCCEED" }\n'

    assert _answer(provider, upstream, body).body.endswith(body.lstrip()[1:])


def test_a_member_of_a_gateway_s_envelope_does_not_overrule_one_of_the_video() -> None:
    provider = _kling()
    upstream, _ = _send(provider, "GET /v1/videos/kling-t2v-7")
    clash = {"id": "other", "status": 200, "error": None, "created_at": 1, **_good(_task(status="processing"))}
    got = json.loads(_answer(provider, upstream, clash).body)

    assert (got["id"], got["status"], got["created_at"]) == ("kling-t2v-7", "in_progress", NOW - 9)


def test_a_client_of_kling_s_gets_kling_s_answer_and_its_create_is_not_touched() -> None:
    provider = _kling()
    curl = Caller(JSON)
    body = b'{ "model_name":"kling-v3", "prompt":"p" }'
    upstream, sent = _send(provider, "POST /v1/videos", body, curl)
    answer = b'{"code":0, "data":{"task_id":"7"}}'

    assert sent == body
    assert _answer(provider, upstream, answer).body == b'{"code":0, "data":{"task_id":"kling-t2v-7"}}'
    assert provider.responseheaders(_send(provider, "GET /v1/videos/7", caller=curl)[0], 200, ()) == Pass()


@table(
    ("status", "code", "answered"),
    [(200, 1303, 429), (200, 1201, 400), (429, 1102, 429), (404, 1203, 404), (500, 5000, 500)],
)
@table("request_line", ["POST /v1/videos", "GET /v1/videos/7", "GET /v1/videos", "GET /v1/videos/7/content"])
def test_a_code_that_is_not_0_is_an_error_whatever_the_status(
    request_line: str, status: int, code: int, answered: int
) -> None:
    provider = _kling()
    upstream, _ = _send(provider, request_line, CREATE)
    answer = _answer(provider, upstream, {"code": code, "message": "why", "request_id": "r"}, status)
    error = json.loads(answer.body)["error"]

    assert (answer.status, error["message"], error["kling_code"]) == (answered, "why", code)
    assert (type(error["code"]), answer.headers["x-request-id"]) == (str, "r")


REQUESTS = [
    ("POST /v1/videos", CREATE),
    ("GET /v1/videos/kling-i2v-7", b""),
    ("GET /v1/videos?limit=2", b""),
    ("GET /v1/videos/7/content", b""),
    ("POST /v1/videos/kling-t2v-7/remix", b'{"prompt":"p"}'),
    ("POST /v1/videos/edits", b'{"prompt":"p","video":{"id":"kling-t2v-7"}}'),
    ("GET /v1/videos/characters/7", b""),
    ("POST /v1/videos/characters", b'{"name":"n","video":"https://a.test/v.mp4"}'),
]


@table("api", APIS)
@table(("request_line", "body"), REQUESTS)
@table("garbage", GARBAGE, ids=[repr(garbage[:12]) for garbage in GARBAGE])
def test_a_garbled_answer_becomes_an_error_of_openai_s_or_is_passed_on_if_something_was_bought(
    api: str, request_line: str, body: bytes, garbage: bytes
) -> None:
    for status in (200, 404, 502):
        provider = _kling(api, "openai")
        upstream, _ = _send(provider, request_line, body)
        answer = _answer(provider, upstream, garbage, status)
        if status == 200 and request_line == "POST /v1/videos":
            assert (answer.status, answer.body, answer.headers) == (200, garbage, {"x-should-retry": "false"})
            continue
        assert answer.status == (502 if status == 200 else status)
        assert isinstance(json.loads(answer.body)["error"]["code"], str)


@pytest.mark.parametrize("garbage", [*GARBAGE, b'{"data":{"task_id":"\xff"}}'], ids=lambda garbage: repr(garbage[:22]))
def test_a_garbled_answer_for_kling_s_clients_passes_or_is_said_to_be_no_json(garbage: bytes) -> None:
    provider = _kling("legacy", "native")
    upstream, _ = _send(provider, "POST /v1/videos", b'{"prompt":"p"}', Caller(JSON))
    try:
        assert _answer(provider, upstream, garbage).body == garbage
    except JSONError:
        return


ODD: list[Any] = [
    None,
    True,
    0,
    "",
    "x",
    5,
    [],
    [None],
    [[]],
    [5, {}],
    {},
    {"result": [5]},
    {"result": 5},
    {"task_id": []},
]


@table("api", APIS)
@table(("request_line", "body"), REQUESTS)
def test_an_answer_of_an_odd_shape_raises_nothing(api: str, request_line: str, body: bytes) -> None:
    items: list[Any] = [_good(data) for data in ODD]
    items += [_good([item, _task(api)]) for item in ODD] + [_good({"result": [item, _task(api)]}) for item in ODD]
    for answer in [{}, {"code": 0}, *items, {"code": 10**30}]:
        provider = _kling(api, "openai")
        upstream, _ = _send(provider, request_line, body)
        json.loads(_answer(provider, upstream, answer).body or b"{}")


def test_a_list_goes_through_both_of_kling_s_lists_and_ends() -> None:
    provider = _kling()
    pages = {"text2video?pageNum=1": ["1", "2"], "text2video?pageNum=2": ["3"], "image2video?pageNum=1": ["4"]}
    seen, after = [], ""
    for _ in range(4):
        upstream, _ = _send(provider, f"GET /v1/videos?limit=2{after}")
        key = upstream.target.removeprefix("/v1/videos/").removesuffix("&pageSize=2")
        answer = _answer(provider, upstream, _good([_task(task_id=task) for task in pages[key]]))
        page = json.loads(answer.body)
        assert page["object"] == "list"
        assert (page["code"], page["message"], page["request_id"]) == (0, "SUCCEED", "r-1")
        assert answer.headers == {"x-request-id": "r-1"}
        assert all(list(video)[:13] == KEYS for video in page["data"])
        assert page["first_id"] == page["data"][0]["id"]
        seen += [video["id"] for video in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"

    assert seen == ["kling-t2v-1", "kling-t2v-2", "kling-t2v-3", "kling-i2v-4"]
    assert page["last_id"] == "kling-i2v-4"


def test_an_empty_page_sends_the_client_to_the_next_list_and_the_last_is_empty() -> None:
    provider = _kling()
    upstream, _ = _send(provider, "GET /p/v1/videos?limit=2&x=1")
    answer = _answer(provider, upstream, _good([]))
    assert (answer.status, answer.headers["location"]) == (302, "/p/v1/videos?limit=2&x=1&after=page-i2v-1")

    upstream, _ = _send(provider, f"GET {answer.headers['location']}")
    assert upstream.target == "/v1/videos/image2video?pageNum=1&pageSize=2"
    page = json.loads(_answer(provider, upstream, _good([])).body)
    assert {name: page[name] for name in ("object", "data", "first_id", "last_id", "has_more")} == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_the_new_design_s_list_goes_by_kling_s_cursor_however_long() -> None:
    provider = _kling("v2")
    upstream, sent = _send(provider, "GET /v1/videos?limit=2")
    assert (upstream.target, upstream.method, json.loads(sent)) == ("/tasks", "POST", {"limit": 2})
    assert list(upstream.fields.items()) == [(b"accept-encoding", b"identity"), (b"content-type", JSON.encode())]

    for cursor in ("c/é", "x" * 300):
        data = {"result": [_task("v2")], "has_more": True, "next_cursor": cursor}
        page = json.loads(_answer(provider, upstream, _good(data)).body)
        assert page["data"][0]["id"] == "7"
        _, sent = _send(provider, f"GET /v1/videos?limit=2&after={page['last_id']}")
        assert json.loads(sent) == {"limit": 2, "cursor": cursor}


@table("response", RESPONSES)
@table("api", APIS)
@table(
    ("status", "url", "answered"),
    [
        ("succeed", URL, 302),
        ("succeed", "", 404),
        ("succeed", "javascript:x", 404),
        ("succeed", "https://a.test/\r\nx: y", 404),
        ("processing", URL, 404),
        ("failed", URL, 404),
        ("?", URL, 404),
    ],
)
def test_a_file_is_a_redirect_or_404(api: str, response: str, status: str, url: str, answered: int) -> None:
    provider = _kling(api, response)
    upstream, _ = _send(provider, "GET /v1/videos/kling-t2v-7/content?variant=video", caller=Caller())
    task = _task(api, status, url)
    answer = _answer(provider, upstream, _good([task] if api == "v2" else task))

    assert answer.status == answered
    assert answer.headers.get("location") == (URL if answered == 302 else None)
    assert answered == 302 or json.loads(answer.body)["error"]["code"] == "not_found"


def _refused(provider: Kling, request: str, body: bytes = b"", caller: Caller | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        _send(provider, request, body, caller)
    assert len(caught.value.message) < 300
    return caught.value


@table("variant", ["thumbnail", "spritesheet", "x" * 5000])
def test_other_variants_of_a_file_are_refused(variant: str) -> None:
    assert _refused(_kling(), f"GET /v1/videos/7/content?variant={variant}").param == "variant"


@table("api", APIS)
@table("after", ["page-tasks-a", "page-tasks-77777777", "page-t2v-0", "page-t2v-x", "7"])
def test_a_made_up_cursor_is_refused(api: str, after: str) -> None:
    assert _refused(_kling(api), f"GET /v1/videos?after={after}").param == "after"


FOLLOW_UPS = [
    ("POST /v1/videos/kling-i2v-7/remix?a=1", b'{"prompt":"q"}', JSON),
    ("POST /v1/videos/edits?a=1", b'{"prompt":"q","video":{"id":"kling-i2v-7"}}', JSON),
    ("POST /v1/videos/edits?a=1", b'{"prompt":"q","video":"kling-i2v-7"}', JSON),
    ("POST /v1/videos/edits?a=1", b'\xef\xbb\xbf{"prompt":"q","video":"kling-i2v-7"}', JSON),
    ("POST /v1/videos/edits?a=1", _form(("prompt", b"q"), ("video[id]", b"kling-i2v-7")), FORM),
]


@table("response", RESPONSES)
@table("api", APIS)
@table(("request_line", "body", "content_type"), FOLLOW_UPS)
def test_a_remix_or_an_edit_asks_for_its_source_and_is_then_made(
    api: str, response: str, request_line: str, body: bytes, content_type: str
) -> None:
    provider, caller = _kling(api, response), _sdk(content_type=content_type)
    upstream, sent = _send(provider, request_line, body, caller)
    assert (upstream.method, sent, upstream.fields) == ("GET", b"", {b"accept-encoding": b"identity"})
    assert upstream.target == ("/tasks?task_ids=7" if api == "v2" else "/v1/videos/image2video/7")

    task = _task(api, "succeed")
    answer = _answer(provider, upstream, _good([task] if api == "v2" else task))
    location = str(answer.headers["location"])
    assert answer.status == 307
    assert location.startswith(f"{request_line.removeprefix('POST ')}&kling_source=")

    upstream, sent = _send(provider, f"POST {location}", body, caller)
    fields = json.loads(sent)
    if api == "v2":
        assert upstream.target == "/omni-video/kling-3.0-omni?a=1"
        assert fields["contents"][1] == {"type": "base_video", "url": URL}
    else:
        assert upstream.target == "/v1/videos/omni-video?a=1"
        assert fields["video_list"] == [{"video_url": URL, "refer_type": "base"}]
    answer = _answer(provider, upstream, _good(_task(api, task_id="8")))
    if response != "native":
        assert json.loads(answer.body)["id"].startswith("kling-omni-8-o")


def test_an_extension_is_made_of_kling_s_id_of_the_video() -> None:
    provider = _kling()
    body = b'{"prompt":"q","video":{"id":"kling-t2v-7"},"seconds":"4"}'
    upstream, _ = _send(provider, "POST /v1/videos/extensions", body)
    location = _answer(provider, upstream, _good(_task(status="succeed"))).headers["location"]
    upstream, sent = _send(provider, f"POST {location}", body)

    assert upstream.target == "/v1/videos/video-extend"
    assert json.loads(sent) == {"prompt": "q", "video_id": "v7"}
    assert json.loads(_answer(provider, upstream, _good(_task())).body)["id"].startswith("kling-ext-7")


FROM_LINK = [f"POST /v1/videos/{path}?kling_source=NQp2Nw" for path in ("kling-t2v-7/remix", "edits", "extensions")]


@table("request_line", FROM_LINK)
def test_a_video_of_another_video_takes_no_first_or_last_picture(request_line: str) -> None:
    provider, prompt = _kling(), {"prompt": "q"}
    for name in ("image", "input_reference", "images", "lastFrame", "input_references"):
        body = json.dumps({**prompt, name: "https://a.test/b.png"}).encode()
        assert _refused(provider, request_line, body).param == name
        _, sent = _send(provider, request_line, json.dumps({**prompt, name: None}).encode())
        assert name not in json.loads(sent)
    form = b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nq\r\n--B\r\nContent-Disposition: form-data; '
    form += b'name="x[y]"; filename="a"\r\n\r\n.\r\n--B--\r\n'
    assert _refused(provider, request_line, form, _sdk(content_type=FORM)).param == "x[y]"


@table("request_line", FROM_LINK[:2])
def test_pictures_beside_the_video_are_plain_base64(request_line: str) -> None:
    body = b'{"prompt":"q","image_list":[{"image_url":"data:;base64,QUJD"}]}'
    _, sent = _send(_kling(), request_line, body)

    assert json.loads(sent)["image_list"] == [{"image_url": "QUJD"}]


@table("seconds", [4, 4.0, "4", "5.0"])
def test_an_extension_has_a_whole_number_of_seconds(seconds: Any) -> None:
    provider, request_line = _kling(), FROM_LINK[-1]
    _, sent = _send(provider, request_line, json.dumps({"prompt": "q", "seconds": seconds}).encode())

    assert "seconds" not in json.loads(sent)
    for wrong in (4.5, 6.0, "4.5", True, "x"):
        body = json.dumps({"prompt": "q", "seconds": wrong}).encode()
        assert _refused(provider, request_line, body).param == "seconds"


@table("first", [1, 2])
def test_an_extension_whose_first_step_was_repeated_is_made(first: int) -> None:
    # An SDK counts the repetitions of the first step, and sends the same count to where it is redirected.
    provider = _kling()
    body = b'{"prompt":"q","video":{"id":"kling-t2v-7"}}'
    upstream, _ = _send(provider, "POST /v1/videos/extensions", body, _sdk(first))
    location = _answer(provider, upstream, _good(_task(status="succeed"))).headers["location"]

    assert _send(provider, f"POST {location}", body, _sdk(first))[0].target == "/v1/videos/video-extend"


def _extension(provider: Kling, retries: int) -> Upstream:
    body = b'{"prompt":"q","video":{"id":"kling-t2v-7"}}'
    if retries:
        # A program that builds its body again may write it in another way.
        body = b'{"video": {"id":"kling-t2v-7"},"prompt":"\\u0071"}'
    upstream, _ = _send(provider, "POST /v1/videos/extensions", body)
    location = _answer(provider, upstream, _good(_task(status="succeed"))).headers["location"]
    return _send(provider, f"POST {location}", body, _sdk(retries))[0]


@table(
    ("status", "answer", "bought"),
    [
        (400, {"code": 1201, "message": "no", "request_id": "r"}, False),
        (200, {"code": 1303, "message": "full", "request_id": "r"}, False),
        (500, {"code": 5000, "message": "?", "request_id": "r"}, True),
        (200, {"code": 5000, "message": "?", "request_id": "r"}, True),
        (200, b"<html>", True),
        (200, _good(_task()), True),
    ],
)
def test_an_extension_is_repeated_only_where_kling_surely_refused_it(status: int, answer: Any, bought: bool) -> None:
    provider = _kling()
    _answer(provider, _extension(provider, 0), answer, status)
    try:
        repeated = _extension(provider, 1).target
    except Refusal:
        repeated = ""

    assert (repeated == "") == bought


@table(
    ("mapping", "asked", "model"),
    [
        ({}, "", "kling-v3-omni"),
        ({}, "sora-2", "kling-v3-omni"),
        ({}, "kling-video-o1", "kling-video-o1"),
        ({}, "kling-v2-6", "kling-v3-omni"),
        ({"*": "kling-v2-6"}, "", "kling-v3-omni"),
        ({"*": "kling-v2-6"}, "sora-2", "kling-v3-omni"),
        ({"sora-*": "kling-video-o1"}, "sora-2", "kling-video-o1"),
    ],
)
def test_an_edit_is_made_by_a_model_that_edits(mapping: dict[str, str], asked: str, model: str) -> None:
    provider = _kling(model_mapping=ModelMapping(mapping))
    body = json.dumps({"prompt": "q", "video": {"id": "7"}, **({"model": asked} if asked else {})}).encode()
    upstream, _ = _send(provider, "POST /v1/videos/edits", body)
    location = _answer(provider, upstream, _good(_task(status="succeed"))).headers["location"]

    upstream, sent = _send(provider, f"POST {location}", body)
    assert json.loads(sent)["model_name"] == model
    assert any(model in note for note in upstream.notes)


@table("request_line", ["POST /v1/videos/7/remix", "POST /v1/videos/extensions"])
@table(("status", "url"), [("processing", URL), ("failed", URL), ("succeed", ""), ("?", URL)])
def test_nothing_is_made_of_a_video_that_is_not_ready(request_line: str, status: str, url: str) -> None:
    provider = _kling()
    upstream, _ = _send(provider, request_line, b'{"prompt":"q","video":"kling-t2v-7"}')
    task = _task(status=status, url=url)
    if not url:
        task["task_result"] = {}

    assert _answer(provider, upstream, _good(task)).status == 404


def test_a_length_that_is_no_number_does_not_stop_the_second_step() -> None:
    provider = _kling()
    task = _task(status="succeed")
    task["task_result"]["videos"][0]["duration"] = "5s"
    upstream, _ = _send(provider, "POST /v1/videos/7/remix", b'{"prompt":"q"}')
    location = _answer(provider, upstream, _good(task)).headers["location"]

    assert _send(provider, f"POST {location}", b'{"prompt":"q"}')[0].target == "/v1/videos/omni-video"


@table("api", APIS)
@table("what", ["remix", "edits", "extensions"])
@table("text", [b"", b"x", b"\xff\n\xff", b"inf\nhttps://a.test", b"nan\nv", b"1e999\nv", b"x\nv", b"\n"])
def test_a_made_up_source_is_refused_or_used_and_raises_nothing_else(api: str, what: str, text: bytes) -> None:
    path = "7/remix" if what == "remix" else what
    for link in (base64.urlsafe_b64encode(text).decode(), "a", "%C3%A9", "%ff", "a" * 5):
        try:
            _send(_kling(api), f"POST /v1/videos/{path}?kling_source={link}", b'{"prompt":"q","video":"7"}')
        except Refusal as refusal:
            assert refusal.status == 400  # noqa: PT017


@table("video", ["a b", "٣", "é", "\ud800", "7 HTTP/1.1", "7?x=1", "a/b", "..", "", "x" * 300, "a\n"])
@table("api", APIS)
def test_an_id_in_a_body_goes_into_a_path_encoded_or_not_at_all(api: str, video: str) -> None:
    body = json.dumps({"prompt": "q", "video": {"id": video}}).encode()
    try:
        upstream, _ = _send(_kling(api), "POST /v1/videos/edits", body)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017
    else:
        assert " " not in upstream.target
        assert upstream.target.isascii()


DUPLICATE = {"code": 1201, "message": "External_task_id ai-proxy-x-0 already exists", "request_id": "r"}


@table("api", APIS)
@table("response", RESPONSES)
def test_a_repetition_of_a_create_that_was_accepted_is_sent_to_its_task(api: str, response: str) -> None:
    provider = _kling(api, response)
    upstream, _ = _send(provider, "POST /base/v1/videos?a=1", CREATE)
    provider.error(upstream)
    upstream, _ = _send(provider, "POST /base/v1/videos?a=1", CREATE, _sdk(1))
    answer = _answer(provider, upstream, DUPLICATE, 400)
    prefix, _, video_id = str(answer.headers["location"]).rpartition("/")

    assert (answer.status, prefix) == (303, "/base/v1/videos")
    upstream, _ = _send(provider, f"GET {answer.headers['location']}")
    name = "ai-proxy-"
    assert name in video_id
    assert upstream.target.startswith(
        f"/tasks?external_task_ids={name}" if api == "v2" else f"/v1/videos/text2video/{name}"
    )
    parameters = VideoParameters("sora-2", "8", "1280x720")
    task = _named(_task(api), add_parameters("ai-proxy-x-0", parameters))
    got = json.loads(_answer(provider, upstream, _good([task] if api == "v2" else task)).body)
    if response != "native":
        assert (got["model"], got["seconds"], got["size"]) == parameters[:3]
        assert got["id"] == f"kling-t2v-{add_parameters('7', parameters)}"


def test_a_first_attempt_whose_id_is_in_use_gets_409_and_then_a_random_id() -> None:
    provider = _kling()
    upstream, first = _send(provider, "POST /v1/videos", CREATE)
    answer = _answer(provider, upstream, DUPLICATE, 400)
    assert (answer.status, answer.headers["x-should-retry"]) == (409, "true")
    assert "error" in json.loads(answer.body)

    upstream, second = _send(provider, "POST /v1/videos", CREATE, _sdk(1))
    assert json.loads(first)["external_task_id"] != json.loads(second)["external_task_id"]
    assert _answer(provider, upstream, _good(_task())).status == 200


def test_an_idempotency_key_leads_any_client_to_the_first_task() -> None:
    provider, caller = _kling(), Caller(JSON, idempotency_key="secret-key")
    upstream, sent = _send(provider, "POST /v1/videos", b'{"prompt":"p"}', caller)
    answer = _answer(provider, upstream, DUPLICATE, 400)

    assert answer.status == 303
    assert b"secret-key" not in sent
    assert "secret-key" not in f"{answer.headers} {upstream.notes} {answer.notes} {upstream.memo}"


def _name(sent: bytes) -> str:
    fields = json.loads(sent)
    return str(fields["external_task_id"] if "external_task_id" in fields else fields["options"]["external_task_id"])


BASIC = '{"model":"sora-2","prompt":"café /","seconds":"4"}'
SPELLINGS = [
    '{"seconds":"4","prompt":"café /","model":"sora-2"}',
    ' {\n"prompt" : "caf\\u00e9 \\/","model":"sora-2","seconds":\t"4" } ',
    '{"model":"sora-2","prompt":"café /","seconds":4}',
    '{"model":"sora-2","prompt":"café /","duration":4}',
    '{"model":"sora-2","prompt":"café /","duration":"4"}',
    '{"prompt":"café /","seconds":"4"}',
    '{"model":"sora-2","prompt":"café /"}',
    '{"model":"sora-2","prompt":"café /","seconds":"4","size":"720x1280"}',
    '{"\\u006dodel":"sora-2","prompt":"café /","metadata":{},"seconds":"4"}',
]
DETAILS = '{"model":"kling-v1","image":"https://a.test/b.png","cfg_scale":1,"static_mask":"m",'
CAMERA = '"camera_control":{"type":"simple","config":{"pan":1,"zoom":0}}}'
DETAIL_SPELLINGS = [
    '{"model":"kling-v1","static_mask":"m","image":"https:\\/\\/a.test/b.png","cfg_scale":1.0,' + CAMERA,
    DETAILS.replace(":1,", ':"1",') + '"camera_control":{"config":{"zoom":"0","pan":"1"},"type":"simple"}}',
    DETAILS + '"camera_control": {"config": {"zoom": 0.0, "pan": 1e0}, "type": "simpl\\u0065"}}',
]


@table(
    ("first", "again"),
    [
        *((BASIC, again) for again in SPELLINGS),
        *((again, BASIC) for again in SPELLINGS),
        *((DETAILS + CAMERA, again) for again in DETAIL_SPELLINGS),
    ],
)
def test_a_repetition_in_another_spelling_has_the_same_name(first: str, again: str) -> None:
    for api in APIS if first.startswith('{"model":"sora') else APIS[:1]:
        for retries in (0, 1):
            provider = _kling(api)
            upstream, sent = _send(provider, "POST /v1/videos", first.encode())
            _answer(provider, upstream, {"code": 5002, "message": "time-out"}, 504)
            upstream, repeated = _send(provider, "POST /v1/videos", again.encode(), _sdk(retries))

            assert _name(repeated) == _name(sent)
            assert _answer(provider, upstream, DUPLICATE, 400).status == 303


def test_a_form_and_json_with_the_same_content_have_one_name() -> None:
    form = _form(("duration", b"5"), ("prompt", b"p"), ("cfg_scale", b"1"), ("model", b"kling-v1-6"))
    body = b'{"model":"kling-v1-6","prompt":"p","duration":5,"cfg_scale":1.0}'

    assert _name(_send(_kling(), "POST /v1/videos", form, _sdk(content_type=FORM))[1]) == _name(
        _send(_kling(), "POST /v1/videos", body)[1]
    )


IN_DOUBT: list[tuple[int, Any]] = [
    (504, {"code": 5002, "message": "time-out"}),
    (500, {"code": 5000, "message": "error"}),
    (503, {"code": 5001, "message": "down"}),
    (200, {"code": 5000, "message": "error"}),
    (502, b"<html>"),
    (408, b""),
    (200, b"<html>"),
    (200, {"code": 0, "data": {}}),
    (200, {"code": 0, "data": None}),
    (200, []),
]
CERTAIN: list[tuple[int, Any]] = [
    (429, {"code": 1303, "message": "parallel task over resource pack limit"}),
    (429, {"code": 1302, "message": "too fast"}),
    (429, {"code": 1102, "message": "balance"}),
    (400, {"code": 1301, "message": "policy"}),
    (401, {"code": 1002, "message": "no"}),
    (200, {"code": 1303, "message": "parallel task over resource pack limit"}),
    (403, b"<html>"),
    (200, {"code": 0, "data": {"task_id": "7", "task_status": "submitted"}}),
]


@table(
    ("status", "answer", "is_in_doubt"),
    [*((*row, True) for row in IN_DOUBT), *((*row, False) for row in CERTAIN), (0, None, True)],
)
def test_a_repetition_without_count_finds_a_create_that_is_in_doubt(
    status: int, answer: Any, is_in_doubt: bool
) -> None:
    for response in RESPONSES:
        provider = _kling(response=response)
        upstream, sent = _send(provider, "POST /v1/videos", CREATE)
        if answer is None:
            provider.error(upstream)
        else:
            # Raised for what the gateway passes on as it is.
            with contextlib.suppress(JSONError):
                _answer(provider, upstream, answer, status)
        upstream, again = _send(provider, "POST /v1/videos", CREATE)

        assert (_name(again) == _name(sent)) == is_in_doubt
        assert _answer(provider, upstream, DUPLICATE, 400).status == (303 if is_in_doubt else 409)


def test_a_program_without_an_sdk_that_gets_videos_is_protected_and_never_meets_an_older_name() -> None:
    caller = Caller(JSON)
    provider = _kling(response="openai")
    upstream, sent = _send(provider, "POST /v1/videos", CREATE, caller)
    provider.error(upstream)
    upstream, again = _send(provider, "POST /v1/videos", CREATE, caller)

    assert _name(again) == _name(sent)
    assert _answer(provider, upstream, DUPLICATE, 400).status == 303
    assert _name(_send(_kling(response="openai"), "POST /v1/videos", CREATE, caller)[1]) != _name(sent)
    own = b'{"model_name":"kling-v3","prompt":"p"}'
    assert b"external_task_id" not in _send(_kling(), "POST /v1/videos", own, caller)[1]


@table("api", APIS)
def test_the_parameters_travel_in_the_name_and_through_a_redirect(api: str) -> None:
    provider = _kling(api)
    upstream, sent = _send(provider, "POST /v1/videos", CREATE)
    asked = VideoParameters("sora-2", "8", "1280x720")
    assert split_parameters(_name(sent))[1] == asked
    provider.error(upstream)
    upstream, _ = _send(provider, "POST /v1/videos", CREATE)
    location = _answer(provider, upstream, DUPLICATE, 400).headers["location"]
    assert location == f"/v1/videos/kling-t2v-{add_parameters(_name(sent), asked)}"

    # Without the parameters of the id: Kling is asked for the whole name.
    target = _send(provider, f"GET {location}")[0].target
    assert target.endswith(("=" if api == "v2" else "/") + _name(sent))


def test_an_idempotency_key_with_another_body_is_sent_to_the_first_task_with_its_parameters() -> None:
    provider = _kling()
    _, first = _send(provider, "POST /v1/videos", CREATE, _sdk(key="k"))
    upstream, second = _send(provider, "POST /v1/videos", CREATE.replace(b'"8"', b'"4"'), _sdk(key="k"))
    location = str(_answer(provider, upstream, DUPLICATE, 400).headers["location"])

    assert _name(second) == _name(first)
    assert split_parameters(location)[1] == VideoParameters("sora-2", "8", "1280x720")


@table("api", APIS)
def test_edits_of_different_videos_are_different_creates(api: str) -> None:
    names = set()
    for link in ("https://a.test/1.mp4", "https://a.test/2.mp4"):
        body = json.dumps({"prompt": "q", "video": link}).encode()
        names.add(split_parameters(_name(_send(_kling(api), "POST /v1/videos/edits", body)[1]))[0])

    assert len(names) == 2


def test_a_repetition_of_a_create_that_was_refused_is_no_repetition_for_kling() -> None:
    # Kling's "already exists" then means an older create of somebody else, whose video it must not get.
    provider = _kling()
    upstream, sent = _send(provider, "POST /v1/videos", CREATE)
    _answer(provider, upstream, {"code": 1303, "message": "full"}, 429)
    upstream, again = _send(provider, "POST /v1/videos", CREATE, _sdk(1))

    assert _name(again) == _name(sent)
    assert _answer(provider, upstream, DUPLICATE, 400).status == 409


def test_a_create_keeps_an_external_task_id_of_the_client_s_and_gets_kling_s_400() -> None:
    provider = _kling()
    upstream, sent = _send(provider, "POST /v1/videos", b'{"prompt":"p","external_task_id":"mine"}')

    assert json.loads(sent)["external_task_id"] == "mine"
    assert _answer(provider, upstream, DUPLICATE, 400).status == 400


@table("name", ["\\ud800", "é", "a\\u0000b", "\\u2028", ""])
def test_an_odd_external_task_id_of_the_client_s_does_not_break_the_answer(name: str) -> None:
    provider = _kling()
    body = b'{"model":"sora-2","prompt":"p","external_task_id":"%s"}' % name.encode()
    upstream, _ = _send(provider, "POST /v1/videos", body)

    assert _answer(provider, upstream, DUPLICATE, 400).status == 400
    upstream, _ = _send(provider, "POST /v1/videos", body)
    assert json.loads(_answer(provider, upstream, _good(_task())).body)["status"] == "queued"


def test_a_lone_surrogate_of_a_client_s_does_not_stop_a_flow_from_being_saved() -> None:
    body = b'{"model":"sora-2\\ud800","prompt":"p\\ud800"}'
    upstream, _ = _send(_kling(), "POST /v1/videos", body)

    json.dumps(upstream.memo, ensure_ascii=False).encode()
    job = Job.of(upstream.memo)
    assert job
    assert (job.prompt, job.asked.model) == ("p?", "sora-2?")


@table("part", ["x=1", "x=\udcff\udc80", "x=é", "x=%FF"])
def test_the_client_s_own_target_is_kept_in_what_can_be_saved_and_is_the_same_in_a_redirect(part: str) -> None:
    provider = _kling()
    upstream, _ = _send(provider, f"GET /v1/videos?limit=2&{part}")

    json.dumps(dict(upstream.memo), ensure_ascii=False).encode()
    location = _answer(provider, upstream, _good([])).headers["location"]
    assert location == f"/v1/videos?limit=2&{part}&after=page-i2v-1"


@table("model", ["\ud800", "a\nb", "é", "x" * 500])
def test_an_odd_name_of_a_model_does_not_break_the_answer(model: str) -> None:
    provider = _kling()
    upstream, sent = _send(provider, "POST /v1/videos", json.dumps({"prompt": "p", "model": model}).encode())
    sent.decode()
    video_id = json.loads(_answer(provider, upstream, _good(_task())).body)["id"]

    assert _send(provider, f"GET /v1/videos/{video_id}")[0].target == "/v1/videos/text2video/7"


def test_an_id_with_made_up_parameters_does_not_break_the_answer() -> None:
    provider = _kling()
    for seconds in ("²", "٣", "9" * 80, "-1", "x"):
        upstream, _ = _send(
            provider, f"GET /v1/videos/kling-t2v-{add_parameters('7', VideoParameters('m', seconds, ''))}"
        )
        assert _answer(provider, upstream, _good(_task(status="processing"))).status == 200


def test_a_lone_surrogate_in_kling_s_answer_does_not_hide_a_paid_task() -> None:
    provider = _kling()
    upstream, _ = _send(provider, "POST /v1/videos", CREATE)
    body = b'{"code":0,"message":"\\ud83c","data":{"task_id":"7","task_status":"submitted"}}'

    assert _answer(provider, upstream, body).status == 200


NUMBERS = [
    "9" * 5000,
    "[" + "9" * 5000 + "]",
    "1e400",
    '"' + "9" * 5000 + '"',
    '"000001' + "9" * 5000 + '"',
    '"²"',
    '"\\ud800"',
]


@table("api", APIS)
@table("field", "model seconds size duration cfg_scale metadata element_list prompt image user".split())
def test_no_number_and_no_text_in_a_create_raises_anything_but_a_refusal(api: str, field: str) -> None:
    for value in NUMBERS:
        for body in (
            f'{{"model":"other","{field}":{value}}}',
            f'{{"prompt":"p","metadata":{{"{field}":{value}}}}}',
        ):
            try:
                sent = _send(_kling(api), "POST /v1/videos", body.encode())[1]
            except Refusal as refusal:
                assert len(refusal.message) < 300  # noqa: PT017
            else:
                sent.decode()
                assert b"Infinity" not in sent


def test_the_new_design_extends_nothing() -> None:
    link = base64.urlsafe_b64encode(b"5\nv7").decode()
    for request in ("POST /v1/videos/extensions", f"POST /v1/videos/extensions?kling_source={link}"):
        for extra in ("", ',"element_list":true'):
            _refused(_kling("v2"), request, b'{"prompt":"q","video":"7"%s}' % extra.encode())


@table(
    ("fields", "param"),
    [
        *(({"name": name}, "name") for name in _any(None, "", "x" * 21, 5, [])),
        *(
            ({"video": video}, "video")
            for video in _any(None, "", "kling-t2v-7", {"id": "7"}, 5, [], "data:,", "ftp://a.test")
        ),
    ],
)
def test_a_character_that_kling_cannot_make_is_refused(fields: dict[str, Any], param: str) -> None:
    body = json.dumps({"name": "n", "video": "https://a.test/v.mp4", **fields}).encode()

    assert _refused(_kling(), "POST /v1/videos/characters", body).param == param


def test_a_character_is_an_element() -> None:
    provider = _kling()
    body = b'{"name":"n","video":"https://a.test/v.mp4"}'
    upstream, sent = _send(provider, "POST /v1/videos/characters", body)
    assert upstream.target == "/v1/general/advanced-custom-elements"
    assert list(upstream.fields.items()) == [(b"accept-encoding", b"identity"), (b"content-type", JSON.encode())]
    assert json.loads(sent)["element_video_list"] == {"refer_videos": [{"video_url": "https://a.test/v.mp4"}]}

    upstream, _ = _send(provider, "GET /v1/videos/characters/7")
    assert upstream.target == "/v1/general/advanced-custom-elements/7"
    task = {**_task(), "task_result": {"elements": [{"element_id": 5, "element_name": "n"}]}}
    got = json.loads(_answer(provider, upstream, _good(task)).body)
    assert (got["id"], got["name"], got["created_at"]) == ("7", "n", NOW - 9)


@table("target", ["//other.test/v1/videos", "///other.test/v1/videos"])
def test_a_redirect_names_no_other_host(target: str) -> None:
    provider = _kling()
    upstream, _ = _send(provider, f"GET {target}?limit=2")
    location = _answer(provider, upstream, _good([])).headers["location"]

    assert location is not None
    assert location.startswith("/other.test/v1/videos?")
