"""What a client gets: of gateways' answers, of answers that nobody can read, by its body, by its id, by the clock."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Caller, Head, NeedsBody, Pass, Upstream, Whole
from mitm_ai_proxy.kling.ids import VideoParameters, add_parameters
from mitm_ai_proxy.kling.job import Job
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from mitm_ai_proxy.wire.header_fields import Fields
from tests.tables import table
from tests.upstream_of import rewritten

NOW = 1795212100
DATE = b"Fri, 20 Nov 2026 22:01:40 GMT"
"""NOW as a Date header field."""
JSON, FORM = Caller("application/json"), Caller("multipart/form-data; boundary=B")
SDK = Caller("application/json", is_openai_sdk=True)
AGAIN = SDK._replace(retries=1)
URL = "https://cdn.example/v.mp4?sign=x"
CREATE = b'{"model":"sora-2","prompt":"p","seconds":"8","size":"1280x720"}'
SORA = VideoParameters("sora-2", "8", "1280x720")
TAIL = add_parameters("", SORA)
OURS = add_parameters("ai-proxy-abcdefghijklmnopqrstuvwxyz-0", SORA)
"""An external_task_id as it is chosen here."""
DUPLICATE = {"code": 1201, "message": "External_task_id x already exists"}


def _provider(response: str = "auto", api: str = "legacy", clock: int = NOW, **keys: Any) -> Kling:
    keys = {"api_tokens": (Secret("token"),), **keys}
    return Kling(KlingKeys("kling", kling_api=api, video_response=response, **keys), lambda: clock)


def _send(provider: Kling, request: str, body: bytes = b"", caller: Caller = SDK) -> Upstream:
    method, _, target = request.partition(" ")
    upstream = provider.requestheaders(Head(method, target, caller))
    upstream = rewritten(upstream, body) if isinstance(upstream, NeedsBody) else upstream
    # A flow that is saved and loaded again.
    return upstream._replace(memo=json.loads(json.dumps(dict(upstream.memo))))


def _answer(provider: Kling, sent: Upstream, answer: Any, status: int = 200, fields: Fields = ()) -> Answer:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handling = provider.responseheaders(sent, status, fields)
    if isinstance(handling, Pass):
        return Answer(status, body)
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, body))


def _ask(provider: Kling, request: str, answer: Any, body: bytes = b"", caller: Caller = SDK, status: int = 200) -> Any:
    """The decoded answer to a request that Kling answers so."""
    return json.loads(_answer(provider, _send(provider, request, body, caller), answer, status).body)


def _good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": data}


def _task(name: str = "", status: str = "succeed", task_id: str = "7") -> dict[str, Any]:
    """A task of the legacy API with this external_task_id."""
    done = {"videos": [{"id": "v", "url": URL, "duration": "8"}]} if status == "succeed" else {}
    info = {"external_task_id": name} if name else {}
    return {"task_id": task_id, "task_status": status, "task_info": info, "task_result": done}


def _new_task(name: str = "", task_id: str = "7") -> dict[str, Any]:
    """A task of v2 with this external_task_id."""
    output = {"type": "video", "id": "v", "url": URL, "duration": "8"}
    return {"id": task_id, "status": "succeeded", "create_time": 1, "external_id": name, "outputs": [output]}


def _new_api(status: str, **members: Any) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": {"id": 9, "task_id": "task_1", "status": status, **members}}


# Gateways


@table(
    "created",
    [
        {"id": "task_1", "task_id": "task_1", "object": "video", "model": "kling-v3", "status": "", "progress": 0},
        {"id": "task_1", "status": "queued"},
        {"task_id": "task_1"},
        {"code": "success", "message": "", "data": {"task_id": "task_1"}},
        {"code": 200, "message": "", "data": {"task_id": "task_1", "task_status": "submitted"}},
    ],
)
def test_a_video_is_made_and_fetched_through_a_gateway(created: dict[str, Any]) -> None:
    provider = _provider(provider_base_path="/kling")
    made = _ask(provider, "POST /v1/videos", created, CREATE)
    video_id = f"kling-t2v-task_1{TAIL}"
    assert (made["id"], made["object"], made["model"]) == (video_id, "video", "sora-2")

    upstream = _send(provider, f"GET /v1/videos/{video_id}")
    assert upstream.target == "/kling/v1/videos/text2video/task_1"
    running = json.loads(_answer(provider, upstream, _new_api("IN_PROGRESS", fail_reason="")).body)
    failed = json.loads(_answer(provider, upstream, _new_api("FAILURE", fail_reason="the picture was refused")).body)
    kling = _good(_task(task_id="8812"))
    done = json.loads(
        _answer(provider, upstream, _new_api("SUCCESS", data=kling, result_url="https://gw.example/")).body
    )
    assert {video["id"] for video in (running, failed, done)} == {video_id}
    assert [video["status"] for video in (running, failed, done)] == ["in_progress", "failed", "completed"]
    assert (failed["error"]["message"], done["seconds"]) == ("the picture was refused", "8")
    # The gateway's members stay beside the Video's.
    assert done["data"]["data"] == kling

    content = _send(provider, f"GET /v1/videos/{video_id}/content")
    for answer, location in [
        (_new_api("SUCCESS", data=kling), URL),
        (_new_api("SUCCESS", result_url="https://gw.example/v.mp4"), "https://gw.example/v.mp4"),
        ({"task_id": "task_1", "status": "completed", "url": URL}, URL),
    ]:
        found = _answer(provider, content, answer)
        assert (found.status, found.headers["location"]) == (302, location)
    assert _answer(provider, content, _new_api("IN_PROGRESS")).status == 404


def test_a_list_of_a_gateway_s_tasks_is_read() -> None:
    page = {"code": "success", "data": [_new_api("SUCCESS", result_url=URL)["data"]]}
    listed = _ask(_provider(), "GET /v1/videos", page)

    assert [(video["id"], video["status"]) for video in listed["data"]] == [("kling-t2v-task_1", "completed")]


@table(
    ("answer", "status"),
    [
        ({"code": "task_failed", "message": "External_task_id ai-proxy-x-0 already exists", "data": None}, 400),
        ({"code": "fail_to_fetch_task", "message": json.dumps(DUPLICATE), "data": None}, 500),
        ({"code": 1200, "message": "External_task_id x already exists"}, 400),
        ({"message": "external_task_id already exists"}, 409),
        ({"error": {"message": "External task id already exists", "code": ""}}, 400),
    ],
)
@table("response", ["auto", "native"])
def test_a_name_that_is_taken_leads_to_the_first_task_whatever_the_code(
    answer: Any, status: int, response: str
) -> None:
    provider = _provider(response)
    provider.error(_send(provider, "POST /v1/videos", CREATE))
    found = _answer(provider, _send(provider, "POST /v1/videos", CREATE, AGAIN), answer, status)

    assert found.status == 303
    assert str(found.headers["location"]).startswith("/v1/videos/kling-t2v-ai-proxy-")


def test_a_client_of_kling_s_gets_a_gateway_s_answer_with_the_prefix_on_its_id() -> None:
    provider = _provider()
    body = b'{ "id":"task_1","task_id": "task_1","object":"video","x":0.50 }'
    upstream = _send(provider, "POST /v1/videos", b'{"model_name":"kling-v3","prompt":"p"}', JSON)

    assert _answer(provider, upstream, body).body == body.replace(b' "task_1"', b' "kling-t2v-task_1"')


# Answers to a create that nobody can read

UNREADABLE: list[Any] = [
    {"result": "ok", "reference": "ab12"},
    {},
    _good(None),
    _good([]),
    _good({"task_status": "submitted"}),
    {"code": "success", "data": None},
    b"",
    b"<html>ok</html>",
    b'{"code":0,"data":{"task_id":"7"',
    b"[]",
    b"null",
    b"\xff\xfe",
]


@table("answer", UNREADABLE)
@table("status", [200, 201, 202])
@table("api", ["legacy", "v2"])
@table("caller", [SDK, JSON])
def test_a_2xx_that_nobody_can_read_is_passed_on_and_not_repeated(
    answer: Any, status: int, api: str, caller: Caller
) -> None:
    provider = _provider(api=api)
    upstream = _send(provider, "POST /v1/videos", CREATE, caller)
    found = _answer(provider, upstream, answer, status)
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    assert (found.status, found.body, found.headers) == (status, body, {"x-should-retry": "false"})
    assert "may have been accepted" in found.notes[0]


@table("response", ["auto", "native"])
def test_a_create_whose_answer_nobody_could_read_may_have_been_accepted(response: str) -> None:
    """A repetition takes its name again, before that of an equal create that was answered later."""
    provider = _provider(response)
    lost, answered = (_send(provider, "POST /v1/videos", CREATE) for _ in range(2))
    _answer(provider, lost, {"result": "ok"})
    _answer(provider, answered, _good(_task(status="submitted")))
    again = _send(provider, "POST /v1/videos", CREATE, AGAIN)

    assert _name(again) == _name(lost) != _name(answered)


def _name(upstream: Upstream) -> str:
    return str(json.loads(upstream.body or b"")["external_task_id"])


@table(
    ("answer", "status", "retry"),
    [
        ({"code": 1303, "message": "m"}, 429, None),
        ({"code": 1201, "message": "m"}, 400, None),
        ({"code": 5000, "message": "m"}, 500, None),
        ({"code": 9999, "message": "m"}, 502, "false"),
        ({"code": "task_failed", "message": "m"}, 502, "false"),
    ],
)
def test_a_2xx_with_an_error_s_code_is_an_error(answer: Any, status: int, retry: str | None) -> None:
    provider = _provider()
    found = _answer(provider, _send(provider, "POST /v1/videos", CREATE), answer)

    assert (found.status, found.headers.get("x-should-retry")) == (status, retry)
    assert json.loads(found.body)["error"]["message"] == "m"


# Sora code without an SDK

FORM_CREATE = b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\np\r\n--B--\r\n'
OPENAIS: list[tuple[bytes, Caller]] = [
    (CREATE, JSON),
    (FORM_CREATE, FORM),
    (b'{"prompt":"p","seconds":"4"}', JSON),
    (b'{"prompt":"p","seconds":4}', JSON),
    (b'{"prompt":"p","s\\u0069ze":"720x1280","model":"kling-v3"}', JSON),
    (b'{"prompt":"p","input_reference":{"image_url":"https://a.test/b.png"}}', JSON),
    (b'{"prompt":"p","model":"sora-2"}', JSON),
    (b'{"prompt":"p","model":"sora-2-pro"}', JSON),
    (b'{"prompt":"p","model":"sora-2-2025-12-08"}', JSON),
]
KLINGS: list[tuple[bytes, Caller]] = [
    (b'{"prompt":"p","model":"kling-v3"}', JSON),
    (b'{"prompt":"p","model_name":"kling-v3","duration":"5"}', JSON),
    (b'{"prompt":"p"}', JSON),
    (b'{"prompt":"p","metadata":{"mode":"pro"}}', JSON),
    (b'{"prompt":"p","image":"https://a.test/b.png"}', JSON),
    (b'{"prompt":"p"}', JSON._replace(idempotency_key="key")),
    (b'{"prompt":"p","model":"sora-mine"}', JSON),
]


@table(("body", "caller"), OPENAIS)
@table("api", ["legacy", "v2"])
def test_a_create_that_can_only_be_openai_s_gets_a_video_and_so_does_its_id(
    body: bytes, caller: Caller, api: str
) -> None:
    provider = _provider(api=api)
    task = _new_task() if api == "v2" else _task(status="submitted")
    made = _ask(provider, "POST /v1/videos", _good(task), body, caller)
    assert (made["object"], made["code"], made["message"]) == ("video", 0, "SUCCEED")
    assert made["data"]["id" if api == "v2" else "task_id"].endswith("7")

    plain = Caller()
    done = _good([_new_task()]) if api == "v2" else _good(_task())
    found = _ask(provider, f"GET /v1/videos/{made['id']}", done, caller=plain)
    assert (found["id"], found["status"], found["model"]) == (made["id"], "completed", made["model"])
    content = _answer(provider, _send(provider, f"GET /v1/videos/{made['id']}/content", caller=plain), done)
    assert (content.status, content.headers["location"]) == (302, URL)
    for request in ("POST /v1/videos", f"GET /v1/videos/{made['id']}"):
        error = _ask(provider, request, {"code": 1303, "message": "m"}, body, caller, 429)
        assert error["error"]["code"] == "concurrency_limit"


@table(("body", "caller"), KLINGS)
def test_a_client_of_kling_s_keeps_kling_s_answers(body: bytes, caller: Caller) -> None:
    provider = _provider()
    for answer, status in ((_good(_task(status="submitted")), 200), ({"code": 1303, "message": "m"}, 429)):
        made = _ask(provider, "POST /v1/videos", answer, body, caller, status)
        assert made.keys() == answer.keys()
    for video_id in ("7", "kling-i2v-7", "kling-i2v-a-obcdefgh2", f"kling-t2v-{OURS}"):
        upstream = _send(provider, f"GET /v1/videos/{video_id}", caller=Caller())
        assert provider.responseheaders(upstream, 200, ()) == Pass()


@table(("body", "caller"), [*OPENAIS, *KLINGS])
def test_native_is_native_for_everybody(body: bytes, caller: Caller) -> None:
    provider = _provider("native")
    for client in (caller, caller._replace(is_openai_sdk=True)):
        assert "object" not in _ask(provider, "POST /v1/videos", _good(_task(status="submitted")), body, client)
    upstream = _send(provider, f"GET /v1/videos/kling-t2v-7{TAIL}", caller=Caller())
    assert provider.responseheaders(upstream, 200, ()) == Pass()


def test_a_sora_name_that_is_mapped_is_a_name_of_the_user_s_own() -> None:
    provider = _provider(model_mapping=ModelMapping({"sora-*": "kling-v2-6"}))
    body = b'{"prompt":"p","model":"sora-2"}'

    assert "object" not in _ask(provider, "POST /v1/videos", _good(_task(status="submitted")), body, JSON)


LINK = base64.urlsafe_b64encode(b"5\nhttps://a.test/v.mp4").decode().rstrip("=")


@table(
    ("request", "body"),
    [
        (f"POST /v1/videos/7/remix?kling_source={LINK}", b'{"prompt":"q"}'),
        (f"POST /v1/videos/edits?kling_source={LINK}", b'{"prompt":"q","video":"7"}'),
        (f"POST /v1/videos/extensions?kling_source={LINK}", b'{"prompt":"q","video":"7"}'),
    ],
)
def test_a_follow_up_is_openai_s_whoever_asks_since_kling_has_none(request: str, body: bytes) -> None:
    provider = _provider()
    made = _ask(provider, request, _good(_task(status="submitted")), body, JSON)
    assert made["object"] == "video"
    assert _ask(provider, f"GET /v1/videos/{made['id']}", _good(_task()), caller=Caller())["id"] == made["id"]
    assert "object" not in _ask(_provider("native"), request, _good(_task(status="submitted")), body, JSON)


BARE = "ai-proxy-abcdefghijklmnopqrstuvwxyz-0"


@table(
    ("name", "is_openai", "is_told", "video_id"),
    [
        (OURS, True, True, OURS + TAIL),
        (OURS, True, False, OURS + TAIL),
        (OURS, False, False, OURS),
        (BARE, True, True, f"{BARE}-{TAIL}"),
        (BARE, True, False, f"{BARE}-{TAIL}"),
        (BARE, False, False, BARE),
        ("mine", True, True, f"mine{TAIL}"),
        ("mine", True, False, "mine"),
        ("mine", False, False, "mine"),
        ("a b-", True, True, f"a%20b-{TAIL}"),
    ],
)
def test_a_repetition_is_led_to_the_name_of_its_first_attempt(
    name: str, is_openai: bool, is_told: bool, video_id: str
) -> None:
    provider = _provider()
    job = Job("create", "text2video", is_openai, SORA, name=name, repeated=True, target="/v1/videos", is_told=is_told)
    upstream = _send(provider, "POST /v1/videos", CREATE)._replace(memo=job.memo)

    found = _answer(provider, upstream, DUPLICATE, 400)
    assert found.headers["location"] == f"/v1/videos/kling-t2v-{video_id}"
    upstream = _send(provider, f"GET {found.headers['location']}", caller=Caller())
    assert upstream.target == f"/v1/videos/text2video/{quote(name, safe='')}"
    handling = provider.responseheaders(upstream, 200, ())
    assert isinstance(handling, Whole) is (video_id != quote(name))


# One id


@table("caller", [SDK, JSON])
@table("asked", ["kling-t2v-7", f"kling-t2v-7{TAIL}", "7", f"kling-t2v-{OURS}", f"kling-t2v-{OURS}{TAIL}"])
def test_create_retrieve_and_list_give_one_id(caller: Caller, asked: str) -> None:
    provider = _provider()
    video_id = f"kling-t2v-7{TAIL}"

    assert _ask(provider, "POST /v1/videos", _good(_task(OURS, "submitted")), CREATE, caller)["id"] == video_id
    found = _ask(provider, f"GET /v1/videos/{asked}", _good(_task(OURS)))
    assert (found["id"], found["model"], found["size"]) == (video_id, "sora-2", "1280x720")
    page = _ask(provider, "GET /v1/videos", _good([_task(OURS), _task("mine", task_id="8")]))
    assert [video["id"] for video in page["data"]] == [video_id, "kling-t2v-8"] == [page["first_id"], "kling-t2v-8"]
    assert (page["data"][0]["model"], page["data"][0]["size"]) == ("sora-2", "1280x720")


@table(
    ("asked", "target"),
    [
        (f"kling-t2v-{OURS}", f"text2video/{OURS}"),
        (f"kling-t2v-{OURS}{TAIL}", f"text2video/{OURS}"),
        (f"kling-i2v-{OURS}", f"image2video/{OURS}"),
        (f"kling-t2v-7{TAIL}", "text2video/7"),
        (f"kling-t2v-mine{TAIL}", "text2video/mine"),
    ],
)
def test_a_name_that_was_chosen_here_is_asked_for_whole(asked: str, target: str) -> None:
    for end in ("", "/content"):
        assert _send(_provider(), f"GET /v1/videos/{asked}{end}").target == f"/v1/videos/{target}"
    body = json.dumps({"prompt": "p", "video": {"id": asked}}).encode()
    assert _send(_provider(), "POST /v1/videos/edits", body).target == f"/v1/videos/{target}"


@table("picture", [b"", b',"image":"https://a.test/b.png"'])
def test_the_new_design_has_one_id_too_though_it_does_not_tell_the_kind(picture: bytes) -> None:
    provider = _provider(api="v2")
    kind = "image2video" if picture else ""
    name = add_parameters(
        "ai-proxy-abcdefghijklmnopqrstuvwxyz-0", SORA._replace(kind=kind, size="" if picture else SORA.size)
    )
    body = CREATE[:-1].replace(b',"size":"1280x720"', b"" if picture else b',"size":"1280x720"') + picture + b"}"
    made = _ask(provider, "POST /v1/videos", _good(_new_task(name)), body)
    prefix = "kling-i2v-" if picture else "kling-t2v-"
    assert made["id"] == prefix + "7" + name[name.rindex("-o") :]

    for asked in (made["id"], "7", f"{prefix}7"):
        assert _ask(provider, f"GET /v1/videos/{asked}", _good([_new_task(name)]))["id"] == made["id"]
    page = _ask(provider, "GET /v1/videos", _good({"result": [_new_task(name), _new_task("mine", "8")]}))
    assert [video["id"] for video in page["data"]] == [made["id"], "8"]
    assert _ask(provider, "GET /v1/videos/8", _good([_new_task("mine", "8")]))["id"] == "8"


@table(("api", "video_id"), [("legacy", "kling-t2v-7"), ("v2", "7")])
@table(("response", "caller"), [("auto", SDK), ("openai", JSON)])
def test_a_name_of_the_client_s_own_holds_no_parameters_so_the_id_has_none(
    api: str, video_id: str, response: str, caller: Caller
) -> None:
    provider = _provider(response, api)
    body = CREATE[:-1] + b',"external_task_id":"mine"}'
    task = _new_task("mine") if api == "v2" else _task("mine")
    made = _ask(provider, "POST /v1/videos", _good(task), body, caller)
    assert (made["id"], made["model"], made["size"]) == (video_id, "sora-2", "1280x720")
    data = {"result": [task]} if api == "v2" else [task]
    assert _ask(provider, "GET /v1/videos", _good(data), caller=caller)["data"][0]["id"] == video_id
    assert _ask(provider, f"GET /v1/videos/{video_id}", _good(task), caller=caller)["id"] == video_id


def test_an_id_keeps_what_tells_that_it_is_openai_s_beside_a_name_of_the_client_s_own() -> None:
    body = CREATE[:-1] + b',"external_task_id":"mine"}'
    made = _ask(_provider(), "POST /v1/videos", _good(_task("mine")), body, JSON)

    assert made["id"] == f"kling-t2v-7{TAIL}"


# Ids that name no kind

MISSING = {"code": 1201, "message": "Task not found by id/external id: 7"}


@table(
    ("answer", "status"),
    [(MISSING, 400), ({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400), (_good(None), 200)],
)
@table("end", ["", "/content"])
def test_an_id_that_names_no_kind_is_told_what_to_add(answer: Any, status: int, end: str) -> None:
    provider = _provider()
    found = _answer(provider, _send(provider, f"GET /v1/videos/7{end}"), answer, status)
    message = json.loads(found.body)["error"]["message"]
    assert found.status == 404
    for word in ("text2video", "kling-i2v-", "kling-omni-", "kling-ext-", "?kling_task_type=image2video"):
        assert word in message

    for known in (f"kling-i2v-7{end}", f"7{end}?kling_task_type=text2video"):
        found = _answer(provider, _send(provider, f"GET /v1/videos/{known}"), answer, status)
        assert (found.status, b"kling_task_type" in found.body) == (404, False)


def test_a_follow_up_of_an_id_that_names_no_kind_is_told_what_to_add() -> None:
    message = _ask(_provider(), "POST /v1/videos/7/remix", MISSING, b'{"prompt":"q"}', status=400)["error"]["message"]

    assert "kling-i2v-" in message
    assert "kling_task_type" not in message


def test_the_new_design_finds_all_kinds_so_nothing_is_to_be_added() -> None:
    assert "kling-i2v-" not in json.dumps(_ask(_provider(api="v2"), "GET /v1/videos/7", _good([])))


@table("video_id", ["\udcff1", "kling-t2v-\udcff1", "%ff", "kling-i2v-%C3", "\udcc3\udc28"])
@table("end", ["", "/content"])
def test_the_new_design_refuses_an_id_that_is_not_utf_8(video_id: str, end: str) -> None:
    try:
        _send(_provider(api="v2"), f"GET /v1/videos/{video_id}{end}")
    except Refusal as refusal:
        assert (refusal.status, refusal.param) == (400, "video_id")  # noqa: PT017
    else:
        raise AssertionError(video_id)


@table(("video_id", "query"), [("\udcc3\udca9", "%C3%A9"), ("%C3%A9", "%C3%A9"), ("a%20b", "a%20b")])
def test_the_new_design_is_asked_for_any_other_id(video_id: str, query: str) -> None:
    assert _send(_provider(api="v2"), f"GET /v1/videos/{video_id}").target == f"/tasks?task_ids={query}"


# Clocks

PAIR: dict[str, Any] = {"kling_access_key": "a", "kling_secret_key": Secret("s")}
AHEAD, BEHIND = "is 60 s ahead of Kling's", "is 3600 s behind Kling's"


@table(
    ("code", "clock", "says"),
    [(1003, NOW + 60, AHEAD), (1004, NOW - 3600, BEHIND), (1003, NOW + 3, ""), (1002, NOW + 60, "")],
)
@table(
    ("request", "body", "caller"),
    [
        ("POST /v1/videos", CREATE, SDK),
        ("POST /v1/videos", CREATE, JSON),
        ("GET /v1/videos/kling-t2v-7", b"", SDK),
        ("GET /v1/videos", b"", SDK),
        ("GET /v1/videos/kling-t2v-7/content", b"", JSON),
        ("POST /v1/videos", b'{"prompt":"p"}', JSON),
        ("POST /v1/videos", b'{"prompt":"p"}', JSON._replace(idempotency_key="key")),
        ("GET /v1/videos/kling-t2v-7", b"", JSON),
        ("GET /v1/videos/text2video/7", b"", JSON),
        ("GET /account/costs", b"", JSON),
    ],
)
def test_a_token_that_was_refused_for_its_time_tells_how_far_the_clocks_differ(
    code: int, clock: int, says: str, request: str, body: bytes, caller: Caller
) -> None:
    refused = json.dumps({"code": code, "message": "Authorization", "request_id": "r"}).encode()
    dated = ((b"date", DATE),)
    provider = _provider(clock=clock, **PAIR)
    found = _answer(provider, _send(provider, request, body, caller), refused, 401, dated)
    assert found.status == 401
    if found.body == refused:
        assert list(found.notes) == ([found.notes[0]] if says else [])
        assert says in " ".join(found.notes)
    else:
        message = json.loads(found.body)["error"]["message"]
        assert message.startswith("Authorization. The clock" if says else "Authorization")
        assert says in message
        assert bool(says) is ("clock" in message)

    # A token that was not signed here, and an answer without a date.
    for other, fields in ((_provider(clock=clock), dated), (provider, ())):
        found = _answer(other, _send(other, request, body, caller), refused, 401, fields)
        assert b"clock" not in found.body
        assert not found.notes
