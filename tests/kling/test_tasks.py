"""Reading of Kling's tasks, in both API versions and in any other shape."""

from __future__ import annotations

from typing import Any

from mitm_ai_proxy.kling import tasks
from mitm_ai_proxy.kling.tasks import Envelope, Task
from tests.tables import table

LEGACY = {
    "task_id": "7",
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": {"external_task_id": "mine"},
    "created_at": 1795212000000,
    "updated_at": 1795212100000,
    "final_unit_deduction": "3",
    "task_result": {"videos": [{"id": "v", "url": "https://a.test/v.mp4", "duration": "5.041"}, {"id": "w"}]},
}
NEW = {
    "id": "7",
    "status": "succeed",
    "message": "",
    "external_id": "mine",
    "create_time": 1795212000000,
    "update_time": 1795212100000,
    "billing": [],
    "outputs": [
        {"type": "image", "url": "no"},
        {"type": "video", "id": "v", "url": "https://a.test/v.mp4", "duration": "5.041"},
    ],
}
TASK = Task("7", "succeed", "", 1795212000000, 1795212100000, "v", "https://a.test/v.mp4", "5.041", "", "mine")
HOSTILE: list[Any] = [None, True, 0, -1, 1.5, 1e308, 10**400, "", "x", "\ud800", [], [None], [[]], [{}], {}, {"a": []}]


@table("data", [LEGACY, [LEGACY], NEW, [NEW], [NEW, "x"]])
def test_both_generations_are_one_task(data: Any) -> None:
    assert tasks.task(data) == TASK


@table("data", [*HOSTILE, {"task_id": ""}, {"task_id": None, "id": "7"}, {"id": ""}, [None, LEGACY]])
def test_what_names_no_task_is_none(data: Any) -> None:
    assert tasks.task(data) is None


def test_a_new_task_is_all_unknown() -> None:
    assert tasks.task({"task_id": "7"}) == Task("7", "")
    assert tasks.task({"id": 7}) == Task("7", "")


@table(
    ("data", "count"),
    [([LEGACY, NEW], 2), ({"result": [NEW]}, 1), ([], 0), ({"result": []}, 0), ([1, LEGACY, None], 1), ({}, 0)],
)
def test_a_list_is_an_array_or_a_result(data: Any, count: int) -> None:
    assert [read for _, read in tasks.tasks(data) or []] == [TASK] * count


@table("whole", [LEGACY, NEW])
def test_no_value_of_any_member_raises(whole: dict[str, Any]) -> None:
    inner = {"videos": HOSTILE, "outputs": HOSTILE, "elements": HOSTILE, "type": "video", "external_task_id": []}
    for name in whole:
        for value in [
            *HOSTILE,
            inner,
            *({key: value} for key in inner for value in HOSTILE),
            *([item] for item in HOSTILE),
        ]:
            found = tasks.task({**whole, name: value})
            assert found is None or isinstance(found.task_id, str)
            for text in (found.status, found.message, found.url, found.duration) if found else ():
                assert isinstance(text, str)


@table(
    ("document", "found"),
    [
        ({"code": 0, "message": "SUCCEED", "request_id": "r", "data": [1]}, Envelope(0, "SUCCEED", "r", [1])),
        ({"code": "0", "message": None, "request_id": 5}, Envelope(None, "", "5", None)),
        *((document, Envelope(None, "", "", None)) for document in HOSTILE),
    ],
)
def test_an_envelope_is_read_from_anything(document: Any, found: Envelope) -> None:
    assert tasks.envelope(document) == found


def _kling(status: str, **members: Any) -> dict[str, Any]:
    """Kling's whole answer to a retrieve, as a gateway keeps it."""
    times = {"created_at": 1795212000000, "updated_at": 1795212060000}
    return {"code": 0, "message": "SUCCEED", "data": {"task_id": "8812", "task_status": status, **times, **members}}


FILE = {"task_result": {"videos": [{"id": "v", "url": "https://cdn.example/k.mp4?sign=x", "duration": "5"}]}}


def _new_api(status: str, data: Any = None, **members: Any) -> dict[str, Any]:
    """New API's answer to a retrieve; `id` is that of a row in its database."""
    task = {"id": 9, "task_id": "task_1", "status": status, "fail_reason": "", "submit_time": 1795212000, **members}
    return {"code": "success", "message": "", "data": {**task, "data": data}}


T, K = 1795212000000, "https://cdn.example/k.mp4?sign=x"
OUTER = "https://gw.example/o.mp4"


@table(
    ("document", "found"),
    [
        # Creates.
        ({"id": "t", "task_id": "t", "object": "video", "status": "", "created_at": 1795212000}, Task("t", "", "", T)),
        ({"id": "t", "object": "video", "status": "queued"}, Task("t", "submitted")),
        ({"task_id": "t"}, Task("t", "")),
        ({"task_id": "t", "status": "queued"}, Task("t", "submitted")),
        ({"code": "success", "message": "", "data": {"task_id": "t"}}, Task("t", "")),
        (
            {"code": 0, "message": "", "task_id": "t", "data": {"task_id": "t", "task_status": "submitted"}},
            Task("t", "submitted"),
        ),
        ({"code": 0, "message": "success", "task_id": "t", "data": None}, Task("t", "")),
        ({"code": 200, "data": {"id": "t", "status": "pending"}}, Task("t", "submitted")),
        # New API's retrieve, with and without Kling's answer inside.
        (_new_api("NOT_START"), Task("task_1", "submitted", "", T)),
        (_new_api("SUBMITTED", {}), Task("task_1", "submitted", "", T)),
        (_new_api("QUEUED", []), Task("task_1", "submitted", "", T)),
        (_new_api("IN_PROGRESS", _kling("processing")), Task("task_1", "processing", "", T, T + 60000)),
        (_new_api("UNKNOWN", _kling("processing")), Task("task_1", "processing", "", T, T + 60000)),
        (
            _new_api("SUCCESS", _kling("succeed", **FILE), result_url=OUTER),
            Task("task_1", "succeed", "", T, T + 60000, "v", K, "5"),
        ),
        (
            _new_api("SUCCESS", _kling("succeed"), result_url=OUTER),
            Task("task_1", "succeed", "", T, T + 60000, url=OUTER),
        ),
        (_new_api("SUCCESS", result_url=OUTER), Task("task_1", "succeed", "", T, url=OUTER)),
        (_new_api("SUCCESS", fail_reason=OUTER), Task("task_1", "succeed", "", T, url=OUTER)),
        (_new_api("SUCCESS", finish_time=1795212060), Task("task_1", "succeed", "", T, T + 60000)),
        (_new_api("FAILURE", fail_reason="no", result_url="no"), Task("task_1", "failed", "no", T)),
        (
            _new_api("FAILURE", _kling("failed", task_status_msg="risk")),
            Task("task_1", "failed", "risk", T, T + 60000),
        ),
        (_new_api("FAILURE", {"code": 1201, "message": "why"}), Task("task_1", "failed", "why", T)),
        (
            _new_api("IN_PROGRESS", _kling("processing", task_info={"external_task_id": "mine"})),
            Task("task_1", "processing", "", T, T + 60000, external_task_id="mine"),
        ),
        # New API behind New API; its live answer.
        (
            _new_api("SUCCESS", _new_api("SUCCESS", _kling("succeed", **FILE))),
            Task("task_1", "succeed", "", T, T + 60000, "v", K, "5"),
        ),
        (
            {"code": "success", "data": {"error": None, "status": "succeeded", "task_id": "t", "url": K}},
            Task("t", "succeed", url=K),
        ),
        # Flat.
        (
            {"task_id": "t", "status": "completed", "url": K, "metadata": {"duration": 5}, "error": {"code": 0}},
            Task("t", "succeed", url=K, duration="5"),
        ),
        (
            {"id": "t", "object": "video", "status": "completed", "metadata": {"url": K}, "seconds": "5.041"},
            Task("t", "succeed", url=K, duration="5.041"),
        ),
        ({"id": "t", "status": "failed", "error": {"code": "1", "message": "no"}}, Task("t", "failed", "no")),
        ({"id": "t", "status": "failed", "error": "no"}, Task("t", "failed", "no")),
        ({"task_id": "t", "status": "processing", "url": ""}, Task("t", "processing")),
        ({"task_id": "t", "status": "?"}, Task("t", "?")),
        # Kling's shape with seconds for milliseconds, or with the names of both versions.
        (
            {"code": 0, "data": {"task_id": "t", "task_status": "failed", "created_at": 1795212000}},
            Task("t", "failed", "", T),
        ),
        (
            {"code": 0, "data": {"id": "t", "status": "succeed", **FILE}},
            Task("t", "succeed", "", None, None, "v", K, "5"),
        ),
        ({"data": {"task_id": "7", "task_status": "succeed"}}, Task("7", "succeed")),
        # Nothing.
        *((document, None) for document in HOSTILE),
        ({"result": "ok", "reference": "ab12"}, None),
        ({"code": "success", "data": None}, None),
        ({"code": 0, "data": {"task_status": "submitted"}}, None),
        ({"code": 0, "data": []}, None),
        ({"id": None, "data": {"id": ""}}, None),
        ({"task_id": {}, "id": "t"}, None),
    ],
)
def test_an_answer_of_any_gateway_is_a_task(document: Any, found: Task | None) -> None:
    assert tasks.answered(document) == found


def test_answers_inside_of_answers_are_read_to_some_depth() -> None:
    document: dict[str, Any] = _kling("succeed")
    for _ in range(300):
        document = _new_api("SUCCESS", document)

    assert tasks.answered(document) == Task("task_1", "succeed", "", T)


@table(
    ("document", "code", "message"),
    [
        ({"code": "success", "message": ""}, None, ""),
        ({"code": "SUCCESS"}, None, ""),
        ({"code": 200}, None, ""),
        ({"code": "1201", "message": "m"}, 1201, "m"),
        ({"code": "task_failed", "message": "m", "data": None}, "task_failed", "m"),
        ({"code": "x" * 999}, "x" * 64, ""),
        ({"error": {"code": "", "message": "m", "type": "new_api_error"}}, None, "m"),
        ({"error": "m"}, None, "m"),
        ({"code": 500, "msg": "m"}, 500, "m"),
        ({"code": "", "message": "m"}, None, "m"),
    ],
)
def test_a_gateway_s_envelope_has_a_word_or_a_number(document: Any, code: int | str | None, message: str) -> None:
    found = tasks.envelope(document)

    assert (found.code, found.message) == (code, message)
