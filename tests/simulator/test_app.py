"""The simulator over WSGI, with a clock that the test sets: endpoints, envelope, results, faults, the account."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jwt
import pytest
from werkzeug.test import Client, TestResponse

from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.chat.views import CUT
from mitm_ai_proxy.simulator.endpoints import ENDPOINTS
from mitm_ai_proxy.simulator.kling_error import CODES
from mitm_ai_proxy.simulator.media import png
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PICTURE = _base64(png.make(400, 600, ["A"], "a"))
LINK = "https://example.com/a.mp4"
TEXT = {"model_name": "kling-v3", "prompt": "a cat", "duration": "3"}


class Kling:
    """A simulator, a client of its account, and their clock."""

    def __init__(self, **settings: Any) -> None:
        self.time = 1_795_212_000.0
        self.simulator = Simulator(SimulatorSettings(**{"speed": 1.0, **settings}), lambda: self.time)
        self._client = Client(self.simulator)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, single: bool = False
    ) -> TestResponse:
        claims = {"iss": ACCESS_KEY, "exp": int(self.time) + 1800, "nbf": int(self.time) - 5}
        token = API_KEY if single else jwt.encode(claims, SECRET_KEY, "HS256")
        given = {"Authorization": f"Bearer {token}", **(headers or {})}
        return self._client.open(path, method=method, json=body, headers=given)

    def data(self, method: str, path: str, body: Any = None, *, single: bool = False) -> Any:
        """`data` of an answer, which has to be a success."""
        answer = self.ask(method, path, body, single=single)
        assert answer.status_code == 200, answer.text
        envelope = json.loads(answer.data)
        assert list(envelope) == ["code", "message", "request_id", "data"]
        assert (envelope["code"], envelope["message"]) == (0, "SUCCEED")
        assert UUID.fullmatch(envelope["request_id"])
        return envelope["data"]

    def error(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, int, str]:
        """HTTP status, code and message of an answer, which has to be an error."""
        answer = self.ask(method, path, body, **more)
        envelope = json.loads(answer.data)
        assert list(envelope) == ["code", "message", "request_id"]
        return answer.status_code, envelope["code"], envelope["message"]

    def file(self, link: str, **headers: str) -> TestResponse:
        """A result, without a credential."""
        return self._client.get(link.partition("localhost")[2], headers=headers)


@pytest.fixture
def kling() -> Kling:
    return Kling()


@pytest.fixture
def other() -> Kling:
    """Another account."""
    return Kling()


@pytest.fixture
def retired() -> Kling:
    """One that still has the models that are retired."""
    return Kling(serve_retired=True)


M4A = b"\0\0\0\x18ftypM4A "
TIMES = {"sound_start_time": 0, "sound_end_time": 900, "sound_insert_time": 0}
FACE = {"face_id": "0", "audio_id": "1", **TIMES}
VOICE = {"voice_id": "AOT", "voice_language": "en"}
# A body that each endpoint takes, and where its result has a link.
CREATES: dict[str, dict[str, Any]] = {
    "/v1/videos/text2video": TEXT,
    "/v1/videos/image2video": {"model_name": "kling-v3", "image": PICTURE},
    "/v1/videos/omni-video": {"prompt": "a", "aspect_ratio": "1:1"},
    "/v1/videos/motion-control": {
        "image_url": LINK,
        "video_url": LINK,
        "character_orientation": "image",
        "mode": "std",
    },
    "/v1/videos/multi-image2video": {"prompt": "a", "image_list": [{"image": PICTURE}]},
    "/v1/videos/multi-elements": {"prompt": "a", "session_id": "1", "edit_mode": "removal"},
    "/v1/videos/video-extend": {},
    "/v1/videos/lip-sync": {"input": {"mode": "text2video", "video_url": LINK, "text": "a", **VOICE}},
    "/v1/videos/advanced-lip-sync": {"session_id": "1", "face_choose": [FACE]},
    "/v1/videos/avatar/image2video": {"image": PICTURE, "audio_id": "1"},
    "/v1/videos/effects": {"effect_scene": "pet_skateboard", "input": {"images": [PICTURE, PICTURE]}},
    "/v1/images/generations": {"prompt": "a", "n": 2},
    "/v1/images/omni-image": {"prompt": "a", "aspect_ratio": "auto"},
    "/v1/images/multi-image2image": {"subject_image_list": [{"subject_image": PICTURE}]},
    "/v1/images/editing/expand": {"image": PICTURE, "up_expansion_ratio": 0.5},
    "/v1/images/kolors-virtual-try-on": {"human_image": PICTURE, "cloth_image": PICTURE},
    "/v1/general/ai-multi-shot": {"element_frontal_image": PICTURE},
    "/v1/audio/text-to-audio": {"prompt": "rain", "duration": 3.0},
    "/v1/audio/video-to-audio": {"video_url": LINK},
    "/v1/general/advanced-custom-elements": {"element_name": "Cat"},
    "/v1/general/custom-elements": {"element_name": "Cat"},
    "/v1/general/custom-voices": {"voice_name": "Bob", "voice_url": LINK},
}
KINDS = {"mp4": "video/mp4", "png": "image/png", "mp3": "audio/mpeg", "wav": "audio/wav"}


def _links(value: Any) -> list[str]:
    """Every link in an answer."""
    if isinstance(value, dict | list):
        return [link for item in (value.values() if isinstance(value, dict) else value) for link in _links(item)]
    return [value] if isinstance(value, str) and "/simulated/" in value else []


def test_every_endpoint_is_tried() -> None:
    assert set(CREATES) == set(ENDPOINTS)


@table("path", CREATES)
def test_a_task_is_created_retrieved_listed_and_its_results_served(retired: Kling, path: str) -> None:
    kling, name = retired, f"mine {path}"
    body = dict(CREATES[path])
    if path == "/v1/videos/video-extend":
        source = kling.data("POST", "/v1/videos/text2video", {"model_name": "kling-v1", "prompt": "a"})["task_id"]
        kling.time += 1000
        made = kling.data("GET", f"/v1/videos/text2video/{source}")["task_result"]["videos"][0]
        body["video_id"] = made["id"]
    created = kling.data("POST", path, {**body, "external_task_id": name})
    task_id = created["task_id"]
    assert created == {
        "task_id": task_id,
        "task_status": "submitted",
        "task_info": created["task_info"],
        "created_at": int(kling.time * 1000),
        "updated_at": int(kling.time * 1000),
    }
    assert created["task_info"]["external_task_id"] == name
    assert kling.data("GET", f"{path}/{task_id}")["task_status"] == "submitted"
    kling.time += 1000

    task = kling.data("GET", f"{path}/{task_id}")
    assert (task["task_status"], task["task_status_msg"]) == ("succeed", "")
    assert isinstance(task["final_unit_deduction"], str)
    assert isinstance(task["updated_at"], int)
    assert task["created_at"] < task["updated_at"] <= kling.time * 1000
    assert kling.data("GET", path)[0] == task
    links = _links(task["task_result"])
    assert links or "element" in path
    for link in links:
        answer = kling.file(link)
        end = link.partition("?")[0].rpartition(".")[2]
        assert (answer.status_code, answer.mimetype) == (200, KINDS[end])
        assert len(answer.data) > 100


def test_a_task_is_found_by_the_client_s_name_and_by_its_own_family_only(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", {**TEXT, "external_task_id": "a b"})["task_id"]

    assert kling.data("GET", "/v1/videos/text2video/a b")["task_id"] == task_id
    for wanted in ("image2video/" + task_id, "text2video/nothing"):
        status, code, message = kling.error("GET", f"/v1/videos/{wanted}")
        assert (status, code) == (400, 1201)
        assert message.startswith("Task not found by id/external id:")


def test_the_states_of_a_task_are_kling_s(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"]
    seen = []
    for seconds in (0, 5, 1000):
        kling.time += seconds
        task = kling.data("GET", f"/v1/videos/text2video/{task_id}")
        seen.append((task["task_status"], sorted(task["task_result"])))

    assert seen == [("submitted", []), ("processing", []), ("succeed", ["videos"])]
    assert task["task_result"]["videos"][0]["duration"] == "3.041"
    assert task["task_result"]["videos"][0]["id"] != task_id
    assert task["final_unit_deduction"] == "1.8"
    assert "watermark_info" not in task


def test_a_failed_task_says_so_in_its_own_message_only(kling: Kling) -> None:
    small = _base64(png.make(200, 400, ["A"], "a"))
    task_id = kling.data("POST", "/v1/videos/image2video", {"model_name": "kling-v3", "image": small})["task_id"]
    kling.time += 2
    task = kling.data("GET", f"/v1/videos/image2video/{task_id}")

    assert (task["task_status"], task["task_status_msg"]) == ("failed", "Image pixel is invalid")
    assert (task["task_result"], task["final_unit_deduction"]) == ({}, "0")
    assert task["updated_at"] - task["created_at"] == 1600


def test_a_watermark_is_made_when_asked_for(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", {**TEXT, "watermark_info": {"enabled": True}})["task_id"]
    kling.time += 1000
    task = kling.data("GET", f"/v1/videos/text2video/{task_id}")

    assert task["watermark_info"] == {"enabled": True}
    assert kling.file(task["task_result"]["videos"][0]["watermark_url"]).status_code == 200


def test_lists_have_pages_newest_first() -> None:
    kling = Kling(concurrency=100)
    ids = [kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"] for _ in range(35)][::-1]
    kling.data("POST", "/v1/videos/image2video", CREATES["/v1/videos/image2video"])

    def page(query: str) -> list[str]:
        return [task["task_id"] for task in kling.data("GET", f"/v1/videos/text2video?{query}")]

    assert page("") == ids[:30]
    assert page("pageNum=2") == ids[30:]
    assert page("pageNum=3&pageSize=10") == ids[20:30]
    assert page("pageNum=1000&pageSize=500") == []
    for query in ("pageNum=0", "pageNum=1001", "pageSize=0", "pageSize=501", "pageNum=x", "pageSize=-1"):
        name, _, value = query.partition("=")
        assert kling.error("GET", f"/v1/videos/text2video?{query}") == (400, 1201, f"{name} value '{value}' is invalid")


@table(
    ("path", "model", "legacy"),
    [
        ("/text-to-video/kling-3.0", "text-to-video", {"prompt": "a"}),
        (
            "/image-to-video/kling-3.0",
            "image-to-video",
            {"contents": [{"type": "first_frame", "url": PICTURE}, {"type": "prompt", "text": "a"}]},
        ),
        ("/omni-video/kling-3.0-omni", "omni-video", {"contents": [{"type": "prompt", "text": "a"}]}),
        (
            "/motion-control/kling-2.6",
            "motion-control",
            {"contents": [{"type": "image", "url": PICTURE}, {"type": "video", "url": LINK}]},
        ),
    ],
)
def test_the_new_design_stands_beside_the_legacy_one(path: str, model: str, legacy: dict[str, Any]) -> None:
    kling = Kling()
    created = kling.data("POST", path, {**legacy, "options": {"external_task_id": "mine"}}, single=True)
    assert created == {
        "id": created["id"],
        "status": "submitted",
        "message": "",
        "create_time": int(kling.time * 1000),
        "update_time": int(kling.time * 1000),
        "external_id": "mine",
    }
    kling.time += 1000

    for query in (f"task_ids={created['id']}", "external_task_ids=mine", f"task_ids=nothing,{created['id']},"):
        (task,) = kling.data("GET", f"/tasks?{query}", single=True)
        assert (task["status"], task["message"], task["outputs"][0]["type"]) == ("succeeded", "", "video")
        assert task["billing"][0]["charge_type"] == "unit"
    assert kling.file(task["outputs"][0]["url"]).mimetype == "video/mp4"


def test_tasks_of_the_legacy_design_are_seen_by_the_new_one(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"]
    (task,) = kling.data("GET", f"/tasks?task_ids={task_id}", single=True)

    assert (task["id"], task["status"]) == (task_id, "submitted")


def test_the_new_design_refuses_in_kling_s_words(kling: Kling) -> None:
    ids = ",".join(str(number) for number in range(21))
    assert kling.error("GET", f"/tasks?task_ids={ids}", single=True)[1:] == (1201, "task_ids cannot exceed 20 in total")
    required = "task_ids or external_task_ids is required"
    assert kling.error("GET", "/tasks", single=True) == (400, 1201, required)
    assert kling.data("GET", "/tasks?task_ids=unknown", single=True) == []
    assert kling.error("POST", "/text-to-video/kling-9", {"prompt": "a"}, single=True)[:2] == (404, 1203)
    status, code, message = kling.error("POST", "/text-to-video/kling-3.0", {"prompt": "a"})
    assert (status, code) == (401, 1002)
    assert "kling.ai/dev/api-key" in message


def test_the_new_list_has_a_cursor_and_filters() -> None:
    kling = Kling(concurrency=100)
    ids = [kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"] for _ in range(5)][::-1]
    first = kling.data("POST", "/tasks", {"limit": 3}, single=True)
    second = kling.data("POST", "/tasks", {"limit": 3, "cursor": first["next_cursor"]}, single=True)
    done = kling.data("POST", "/tasks", {"filters": [{"key": "status", "values": ["succeeded"]}]}, single=True)

    assert [task["id"] for task in first["result"] + second["result"]] == ids
    assert (first["count"], first["has_more"], second["count"], second["has_more"]) == (3, True, 2, False)
    assert (done["result"], kling.data("POST", "/tasks", {"end_time": 5}, single=True)["result"]) == ([], [])
    odd: list[Any] = [5, [5], [{}], [{"key": "status", "values": 5}], [{"key": "other", "values": []}]]
    for ignored in odd:
        assert kling.data("POST", "/tasks", {"filters": ignored}, single=True)["count"] == 5
    for body in ({"limit": 0}, {"limit": "x"}, {"cursor": "x"}, {"start_time": "x"}):
        assert kling.error("POST", "/tasks", body, single=True)[:2] == (400, 1201)


def test_retired_and_unknown_models_are_refused(kling: Kling) -> None:
    for name in (None, "kling-v1", "kling-v1-6", "kling-v2-master"):
        body = {"prompt": "a", **({"model_name": name} if name else {})}
        status, code, message = kling.error("POST", "/v1/videos/text2video", body)
        assert (status, code) == (404, 1203)
        assert "discontinued and is no longer available" in message
    for odd in ("kling-v3-0", "kling-v2-5", 5, ["kling-v3"]):
        assert kling.error("POST", "/v1/videos/text2video", {"prompt": "a", "model_name": odd}) == (
            400,
            1201,
            "model is not supported",
        )
    assert Kling(serve_retired=True).data("POST", "/v1/videos/text2video", {"prompt": "a"})["task_id"]


def test_a_video_must_be_there_before_something_is_made_of_it(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"]
    for wanted in (task_id, "nothing", "1", str(int(task_id) + 4)):
        answer = kling.error("POST", "/v1/videos/video-extend", {"video_id": wanted})
        assert answer == (400, 1201, f"From video not found by id: {wanted}")
    kling.time += 1000
    status, code, message = kling.error("POST", "/v1/videos/video-extend", {"video_id": str(int(task_id) + 4)})
    assert (status, code, message) == (400, 1201, "video-extend is not supported by the model of the video")


LIP_SYNC = {"mode": "text2video", "video_url": LINK, "text": "a", **VOICE}


@table(
    ("path", "body", "message"),
    [
        ("lip-sync", {"input": {**LIP_SYNC, "voice_id": None}}, "Voice language not found"),
        ("lip-sync", {"input": {**LIP_SYNC, "voice_language": None}}, "Voice language not found"),
        ("lip-sync", {"input": {**LIP_SYNC, "text": ""}}, "input.text can not be null"),
        ("lip-sync", {"input": {**LIP_SYNC, "video_url": None}}, "input.video_id or input.video_url can not be null"),
        (
            "lip-sync",
            {"input": {**LIP_SYNC, "video_id": "1"}},
            "Only one of input.video_id and input.video_url can be used",
        ),
        (
            "lip-sync",
            {"input": {"mode": "audio2video", "video_url": LINK}},
            "input.audio_file or input.audio_url can not be null",
        ),
        (
            "advanced-lip-sync",
            {"session_id": "1", "face_choose": [{**FACE, "sound_end_time": None}]},
            "face_choose[0].sound_end_time can not be null",
        ),
        (
            "advanced-lip-sync",
            {"session_id": "1", "face_choose": [{**FACE, "audio_id": None}]},
            "face_choose[0].audio_id or face_choose[0].sound_file can not be null",
        ),
        ("lip-sync", {"input": {**LIP_SYNC, "video_url": None, "video_id": "1"}}, "From video not found by id: 1"),
        ("lip-sync", {"input": {**LIP_SYNC, "voice_id": "oversea_female1"}}, "Voice id not found"),
        ("avatar/image2video", {"image": PICTURE, "sound_file": _base64(M4A)}, "Audio format is invalid"),
        ("avatar/image2video", {"image": PICTURE, "sound_file": _base64(b"\xff\xf1AAC")}, "Audio format is invalid"),
        ("avatar/image2video", {"image": PICTURE, "sound_file": "data:,"}, "File is not in a valid base64 format"),
    ],
)
def test_a_lip_sync_needs_a_video_a_voice_and_its_times(
    kling: Kling, path: str, body: dict[str, Any], message: str
) -> None:
    assert kling.error("POST", f"/v1/videos/{path}", body) == (400, 1201, message)


@table(("model", "mode", "units"), [("kling-v1", "std", "1"), ("kling-v1", "pro", "3.5"), ("kling-v1-6", "std", "2")])
def test_an_extension_costs_what_the_model_of_its_video_does(model: str, mode: str, units: str) -> None:
    kling = Kling(serve_retired=True)
    body = {"model_name": model, "mode": mode, "prompt": "a"}
    source = kling.data("POST", "/v1/videos/text2video", body)["task_id"]
    kling.time += 1000
    video = kling.data("GET", f"/v1/videos/text2video/{source}")["task_result"]["videos"][0]
    extended = kling.data("POST", "/v1/videos/video-extend", {"video_id": video["id"]})
    kling.time += 1000

    assert extended["task_info"]["parent_video"] == video
    found = kling.data("GET", f"/v1/videos/video-extend/{extended['task_id']}")
    assert found["final_unit_deduction"] == units


@table(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, 1203),
        ("GET", "/v1/tasks/7", 404, 1203),
        ("PUT", "/v1/videos/text2video", 404, 1202),
        ("DELETE", "/v1/videos/text2video/7", 404, 1202),
        ("GET", "/v1/audio/tts", 404, 1202),
    ],
)
def test_other_paths_and_methods_are_not_found(kling: Kling, method: str, path: str, status: int, code: int) -> None:
    assert kling.error(method, path)[:2] == (status, code)


@table("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":1}x'])
def test_a_body_that_is_no_object_is_refused(kling: Kling, body: bytes) -> None:
    answer = kling._client.post(
        "/v1/videos/text2video",
        data=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {API_KEY}"},
    )

    assert (answer.status_code, json.loads(answer.data)["code"]) == (400, 1200)


def test_a_body_of_another_type_is_refused(kling: Kling) -> None:
    answer = kling._client.post(
        "/v1/videos/text2video", data=json.dumps(TEXT), headers={"Authorization": f"Bearer {API_KEY}"}
    )

    assert (answer.status_code, json.loads(answer.data)["message"]) == (400, "Content-Type must be application/json")


@table("code", CODES)
def test_any_error_can_be_asked_for_in_three_ways(kling: Kling, other: Kling, code: int) -> None:
    other.simulator.use(SimulatorSettings(speed=1.0, fault=str(code)))
    marked = {**TEXT, "prompt": f"a cat [simulate: {code}] on a mat"}
    for answer in (
        kling.error("POST", "/v1/videos/text2video", TEXT, headers={"x-simulate": str(code)}),
        kling.error("POST", "/v1/videos/text2video", marked),
        other.error("POST", "/v1/videos/text2video", TEXT),
    ):
        assert answer == (CODES[code].status, code, CODES[code].message)
    assert kling.data("GET", "/v1/videos/text2video") == []
    assert other.data("GET", "/v1/videos/text2video") == []


def test_a_create_can_be_carried_out_and_answered_with_an_error(kling: Kling) -> None:
    body = {**TEXT, "prompt": "[simulate:accepted=5002]", "external_task_id": "mine"}

    assert kling.error("POST", "/v1/videos/text2video", body)[:2] == (504, 5002)
    assert kling.data("GET", "/v1/videos/text2video/mine")["task_status"] == "submitted"


def test_several_pictures_are_several_results_and_slots() -> None:
    kling = Kling(concurrency=3)
    path = "/v1/images/editing/expand"
    task_id = kling.data("POST", path, {"image": PICTURE, "n": 3})["task_id"]
    assert kling.error("POST", path, {"image": PICTURE})[1] == 1303
    kling.time += 1000
    task = kling.data("GET", f"{path}/{task_id}")

    assert ([image["index"] for image in task["task_result"]["images"]], task["final_unit_deduction"]) == (
        [0, 1, 2],
        "24",
    )


def test_a_fault_can_hold_for_the_first_requests_only(kling: Kling) -> None:
    marked = {**TEXT, "prompt": "[simulate:1303*2]"}
    answers = [kling.ask("POST", "/v1/videos/text2video", marked).status_code for _ in range(4)]
    other = kling.ask("POST", "/v1/videos/text2video", {**marked, "duration": "4"}).status_code

    assert (answers, other) == ([429, 429, 200, 200], 429)


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_the_server_is_asked_to_cut_the_connection_of_a_carried_out_request(kling: Kling, fault: str) -> None:
    cuts: list[str] = []
    answer = kling._client.post(
        "/v1/videos/text2video",
        json=TEXT,
        headers={"Authorization": f"Bearer {API_KEY}", "x-simulate": fault},
        environ_overrides={CUT: cuts},
    )

    assert (answer.status_code, cuts) == (200, [fault])
    assert len(kling.data("GET", "/v1/videos/text2video")) == 1


def test_garbage_is_no_json_and_the_task_is_there(kling: Kling) -> None:
    answer = kling.ask("POST", "/v1/videos/text2video", TEXT, {"x-simulate": "garbage"})

    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert len(kling.data("GET", "/v1/videos/text2video")) == 1


def test_the_content_of_a_task_can_be_gone(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", {**TEXT, "prompt": "[simulate:gone]"})["task_id"]
    kling.time += 1000
    link = kling.data("GET", f"/v1/videos/text2video/{task_id}")["task_result"]["videos"][0]["url"]

    assert kling.file(link).status_code == 403


def test_an_unknown_fault_is_refused(kling: Kling) -> None:
    status, code, message = kling.error("GET", "/v1/videos/text2video", headers={"x-simulate": "odd"})
    assert (status, code) == (400, 1201)
    assert message.startswith("x-simulate: unknown fault (known: CODE, ")
    marked = {**TEXT, "prompt": "[simulate:odd]"}
    assert kling.error("POST", "/v1/videos/text2video", marked)[2].startswith("prompt: unknown fault")


def test_a_link_holds_until_it_expires_and_only_as_it_was_signed(kling: Kling) -> None:
    task_id = kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"]
    kling.time += 1000
    task = kling.data("GET", f"/v1/videos/text2video/{task_id}")
    link = task["task_result"]["videos"][0]["url"]
    whole = kling.file(link)
    part = kling.file(link, Range="bytes=4-7")

    assert (part.status_code, part.data) == (206, b"ftyp")
    assert part.headers["Content-Range"] == f"bytes 4-7/{len(whole.data)}"
    assert kling.file(link, Range=f"bytes={len(whole.data)}-").status_code == 416
    expires = int(link.partition("expires=")[2].partition("&")[0])
    assert abs(expires - (task["updated_at"] / 1000 + 30 * 86400)) <= 2
    for wrong in (
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link.replace(f"expires={expires}", f"expires={expires + 1}"),
        link.replace("/0.mp4", "/1.mp4"),
        link.partition("&")[0],
        link.partition("?")[0],
        link.replace("sign=", "sign=é"),
    ):
        answer = kling.file(wrong)
        assert (answer.status_code, answer.mimetype) == (403, "text/xml")
    kling.time = expires - 1
    assert kling.file(link).status_code == 200
    kling.time = expires
    assert kling.file(link).status_code == 403


def test_the_account_shows_its_packs_once_a_second(kling: Kling) -> None:
    costs = "/account/costs?start_time=1&end_time=2"
    kling.data("POST", "/v1/videos/text2video", TEXT)
    kling.time += 1000
    data = kling.data("GET", costs)
    video, image = data["resource_pack_subscribe_infos"]

    assert (data["code"], data["msg"]) == (0, "SUCCEED")
    assert (video["total_quantity"], video["remaining_quantity"], video["status"]) == (1000, 998.2, "online")
    assert image["remaining_quantity"] == 10_000
    assert kling.error("GET", costs)[:2] == (429, 1302)
    kling.time += 1
    assert kling.ask("GET", costs).status_code == 200
    for query in ("", "?start_time=1", "?startTime=1&endTime=2"):
        assert kling.error("GET", f"/account/costs{query}") == (400, 1200, "Missing Request Parameter")
    assert kling.error("GET", "/account/costs?start_time=x&end_time=2")[:2] == (400, 1201)


def test_the_ledger_has_what_was_paid(kling: Kling) -> None:
    kling.data("POST", "/v1/videos/text2video", TEXT)
    kling.time += 1000
    for name in ("balance", "package"):
        (row,) = kling.data("POST", f"/account/billing/{name}", {})["result"]
        assert (row["model_name"], row["duration"], row["amount"]) == ("kling-v3", "3.041", "1.8")


def test_an_empty_pack_refuses_and_pays_for_its_own_kind_only() -> None:
    kling = Kling(units=0)

    assert kling.error("POST", "/v1/videos/text2video", TEXT) == (429, 1102, "Account balance not enough")
    assert kling.data("POST", "/v1/images/generations", {"prompt": "a"})["task_id"]


def test_more_tasks_than_the_pack_allows_are_refused() -> None:
    kling = Kling(concurrency=1)
    kling.data("POST", "/v1/videos/text2video", TEXT)

    answer = kling.error("POST", "/v1/videos/text2video", TEXT)
    assert answer == (429, 1303, "parallel task over resource pack limit")


SPEECH = {"text": "hello there", "voice_id": "AOT"}


def test_calls_that_make_no_task_answer_at_once(kling: Kling) -> None:
    speech = kling.data("POST", "/v1/audio/tts", SPEECH)["task_result"]["audios"][0]
    faces = kling.data("POST", "/v1/videos/identify-face", {"video_url": LINK})
    images = kling.data("POST", "/v1/videos/image-recognize", {"image": PICTURE})["task_result"]["images"]
    begun = kling.data("POST", "/v1/videos/multi-elements/init-selection", {"video_url": LINK})
    added = kling.data("POST", "/v1/videos/multi-elements/add-selection", {"session_id": begun["session_id"]})

    assert kling.file(speech["url"]).mimetype == "audio/mpeg"
    assert faces["face_data"][0]["end_time"] == 5000
    assert [image["type"] for image in images] == ["object_seg", "head_seg", "face_seg", "cloth_seg"]
    assert kling.file(begun["normalized_video"]).mimetype == "video/mp4"
    assert (added["status"], added["session_id"]) == (0, begun["session_id"])
    assert kling.simulator.store.remaining("video") == 999.8


@table(
    ("path", "body"),
    [
        ("/v1/audio/tts", {}),
        ("/v1/audio/tts", {**SPEECH, "text": "a" * 1001}),
        ("/v1/audio/tts", {**SPEECH, "voice_language": "de"}),
        ("/v1/audio/tts", {**SPEECH, "text": 5}),
        ("/v1/audio/tts", {**SPEECH, "voice_id": "829826751244537879"}),
        ("/v1/audio/tts", {**SPEECH, "voice_speed": 3}),
        ("/v1/videos/identify-face", {}),
        ("/v1/videos/identify-face", {"video_id": "1", "video_url": LINK}),
        ("/v1/videos/identify-face", {"video_id": "1"}),
        ("/v1/videos/image-recognize", {}),
        ("/v1/videos/image-recognize", {"image": "data:image/png;base64,AAAA"}),
        ("/v1/videos/multi-elements/init-selection", {}),
        ("/v1/videos/multi-elements/clear-selection", {"session_id": "1"}),
        ("/v1/general/delete-voices", {}),
        ("/v1/general/delete-voices", {"voice_id": "1"}),
    ],
)
def test_calls_that_make_no_task_are_refused_for_what_is_wrong(kling: Kling, path: str, body: dict[str, Any]) -> None:
    assert kling.error("POST", path, body)[:2] == (400, 1201)


def test_an_element_is_deleted_once(kling: Kling) -> None:
    path = "/v1/general/advanced-custom-elements"
    task_id = kling.data("POST", path, {"element_name": "Cat"})["task_id"]
    kling.time += 100
    (element,) = kling.data("GET", f"{path}/{task_id}")["task_result"]["elements"]
    wanted = {"element_id": element["element_id"]}
    kling.data("POST", "/v1/general/delete-elements", wanted)

    status, code, message = kling.error("POST", "/v1/general/delete-advanced-elements", wanted)
    assert (status, code) == (400, 1201)
    assert "already be deleted" in message
    for name in ("advanced-presets-elements", "presets-elements", "presets-voices"):
        assert kling.data("GET", f"/v1/general/{name}") == []


def test_an_exception_is_error_5000_and_quotes_nothing(
    kling: Kling, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret-text")

    monkeypatch.setattr(kling.simulator.store, "create", broken)

    assert kling.error("POST", "/v1/videos/text2video", TEXT)[:2] == (500, 5000)
    assert "ZeroDivisionError in test_app.py" in caplog.text
    assert "secret-text" not in caplog.text


def test_a_call_that_makes_no_task_names_its_field_as_kling_does(kling: Kling) -> None:
    answer = kling.error("POST", "/v1/audio/tts", {**SPEECH, "text": "a" * 1001})
    assert answer == (400, 1201, "text: size must be between 1 and 1000")


def test_links_have_the_public_address_where_one_is_set() -> None:
    kling = Kling(public_url=Origin("https", "videos.test", 443))
    task_id = kling.data("POST", "/v1/videos/text2video", TEXT)["task_id"]
    kling.time += 1000
    url = kling.data("GET", f"/v1/videos/text2video/{task_id}")["task_result"]["videos"][0]["url"]

    assert url.startswith("https://videos.test/simulated/")
