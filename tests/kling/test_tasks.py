"""Reading of Kling's tasks, in both API versions and in any other shape."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy.kling import tasks
from mitm_ai_proxy.kling.tasks import Envelope, Task

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
TASK = Task("7", "succeed", "", 1795212000000, 1795212100000, "v", "https://a.test/v.mp4", "5.041")
HOSTILE: list[Any] = [None, True, 0, -1, 1.5, 1e308, 10**400, "", "x", "\ud800", [], [None], [[]], [{}], {}, {"a": []}]


@pytest.mark.parametrize("data", [LEGACY, [LEGACY], NEW, [NEW], [NEW, "x"]])
def test_both_generations_are_one_task(data: Any) -> None:
    assert tasks.task(data) == TASK


@pytest.mark.parametrize("data", [*HOSTILE, {"task_id": ""}, {"task_id": None, "id": "7"}, {"id": ""}, [None, LEGACY]])
def test_what_names_no_task_is_none(data: Any) -> None:
    assert tasks.task(data) is None


def test_a_new_task_is_all_unknown() -> None:
    assert tasks.task({"task_id": "7"}) == Task("7", "")
    assert tasks.task({"id": 7}) == Task("7", "")


@pytest.mark.parametrize(
    ("data", "count"),
    [([LEGACY, NEW], 2), ({"result": [NEW]}, 1), ([], 0), ({"result": []}, 0), ([1, LEGACY, None], 1), ({}, 0)],
)
def test_a_list_is_an_array_or_a_result(data: Any, count: int) -> None:
    assert [read for _, read in tasks.tasks(data) or []] == [TASK] * count


@pytest.mark.parametrize("whole", [LEGACY, NEW])
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


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"code": 0, "message": "SUCCEED", "request_id": "r", "data": [1]}, Envelope(0, "SUCCEED", "r", [1])),
        ({"code": "0", "message": None, "request_id": 5}, Envelope(None, "", "5", None)),
        *((document, Envelope(None, "", "", None)) for document in HOSTILE),
    ],
)
def test_an_envelope_is_read_from_anything(document: Any, found: Envelope) -> None:
    assert tasks.envelope(document) == found
