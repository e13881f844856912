"""The cost of whole recordings: each job once, by the latest answer about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from werkzeug.test import Client

from mitm_ai_proxy.cassette import spending
from mitm_ai_proxy.cassette.entry import Entry, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.cassette.spending import Spending
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings
from tests.cassette.charges import (
    CHAT,
    CREATE,
    DONE,
    DOUBTS,
    MADE,
    TEXT,
    cash_bill,
    create_request,
    entry_of,
    expected_units,
    legacy_task,
    new_task,
    poll_entry,
    says,
    text_request,
    unit_bill,
)
from tests.cassette.exchanges import JSON
from tests.tables import table

NOTHING = Spending(0, 0, 0, 0, 0, 0, 0)


def _spent(entries: Sequence[Entry]) -> Spending:
    return spending.spent(entries, RECORDED_API)


def test_a_job_counts_once_however_often_it_is_polled() -> None:
    polls = [poll_entry(legacy_task("processing"))] * 39
    assert _spent([MADE, *polls, *[poll_entry(DONE)] * 40]) == Spending(3, 0.42, 1, 0, 0, 0, 0)
    assert _spent([MADE, poll_entry(DONE), *polls]) == Spending(3, 0.42, 1, 0, 0, 0, 0)


def test_an_id_may_be_a_number() -> None:
    made = says({"task_id": 7, "task_status": "submitted"})
    done = says({"task_id": 7, "task_status": "succeed", "final_unit_deduction": "3.5"})
    assert _spent([entry_of(CREATE, made), poll_entry(done)]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_jobs_are_told_apart_by_their_ids() -> None:
    entries = [
        entry_of(CREATE, legacy_task(task_id="7")),
        entry_of(CREATE, legacy_task(task_id="8")),
        poll_entry(legacy_task("succeed", "8", final_unit_deduction="3.1"), "8"),
        poll_entry(legacy_task("succeed", "7", final_unit_deduction="3"), "7"),
        poll_entry(legacy_task("succeed", "9", final_unit_deduction="50"), "9"),
    ]
    assert _spent(entries) == Spending(6.1, 0.854, 2, 0, 0, 0, 0)


def test_a_job_whose_end_was_not_recorded_counts_with_what_it_was_expected_to_cost() -> None:
    entries = [
        MADE,
        poll_entry(legacy_task("processing")),
        entry_of(text_request(mode="pro"), legacy_task(task_id="8")),
    ]
    entries.append(poll_entry(legacy_task("succeed", "8", final_unit_deduction="4"), "8"))
    assert _spent(entries) == Spending(7, 0.98, 2, 1, 0, 0, 3)


def test_a_failed_job_costs_nothing_unless_it_says_so() -> None:
    assert _spent([MADE, poll_entry(legacy_task("failed"))]) == Spending(0, 0, 1, 0, 0, 0, 0)
    assert _spent([MADE, poll_entry(legacy_task("failed", final_unit_deduction="3"))]).units == 3


def test_a_job_of_unknown_price_is_counted_apart() -> None:
    create = create_request("https://api.test/v1/videos", {"prompt": "a"})
    answer = Response(200, "", JSON, b'{"id": "video_1", "status": "queued"}')
    assert _spent([entry_of(create, answer), MADE]) == Spending(3, 0.42, 2, 1, 1, 0, 3)


@table(
    "entry",
    [
        entry_of(create_request(CHAT, {"model": "a"}), Response(200, "", JSON, b'{"id": "chatcmpl-1", "choices": []}')),
        entry_of(create_request(CHAT, {"model": "a"})),
        entry_of(create_request(CHAT, {"model": "a"}), Response(500)),
        entry_of(CREATE, says(None, 400, 1201)),
        entry_of(CREATE, says(None, 429, 1303)),
        entry_of(CREATE, says(None, 200, 1303)),
        entry_of(CREATE, Response(302)),
        entry_of(create_request("/v1/general/delete-voices", {"voice_id": "1"}), legacy_task("succeed")),
        entry_of(create_request("/v1/general/custom-elements", {"element_name": "a"}), legacy_task()),
        entry_of(create_request("/tasks", {}), says({"result": [new_task("succeeded", unit_bill("3"))]})),
        poll_entry(DONE),
    ],
)
def test_what_is_no_paid_job_costs_nothing(entry: Entry) -> None:
    assert _spent([entry]) == NOTHING


@table("response", DOUBTS)
def test_a_create_that_may_have_been_carried_out_is_told_apart(response: Response | None) -> None:
    assert _spent([entry_of(CREATE, response)]) == Spending(3, 0.42, 0, 0, 0, 1, 3)


def test_a_job_that_is_found_by_its_own_name_is_no_doubt_any_more() -> None:
    create = text_request(external_task_id="mine")
    found = legacy_task("processing", task_info={"external_task_id": "mine"})
    done = legacy_task("succeed", final_unit_deduction="3.5")
    assert _spent([entry_of(create)]) == Spending(3, 0.42, 0, 0, 0, 1, 3)
    assert _spent([entry_of(create), poll_entry(found, "mine")]) == Spending(3, 0.42, 1, 1, 0, 0, 3)
    assert _spent([entry_of(create), poll_entry(found, "mine"), poll_entry(done)]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_a_create_that_is_sent_again_under_its_name_makes_one_job() -> None:
    lost, again = entry_of(text_request(external_task_id="mine")), text_request(external_task_id="mine", mode="pro")
    assert _spent([lost, lost]) == Spending(3, 0.42, 0, 0, 0, 1, 3)
    assert _spent([lost, entry_of(again, legacy_task()), lost]) == Spending(4, 0.56, 1, 1, 0, 0, 4)
    other = create_request("/text-to-video/kling-3.0", {"prompt": "a", "options": {"external_task_id": "mine"}})
    assert _spent([entry_of(other), lost]).doubtful == 1
    found = poll_entry(says([new_task("succeeded", unit_bill("3.5")) | {"external_id": "mine"}]))
    assert _spent([entry_of(other), found]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_jobs_that_were_made_under_one_name_are_as_many_as_their_ids() -> None:
    create = text_request(external_task_id="mine")
    assert _spent([entry_of(create, legacy_task(task_id=name)) for name in "789"]).jobs == 3


def test_lost_creates_that_are_alike_are_not_taken_for_one_another() -> None:
    mine, yours = text_request(external_task_id="mine"), text_request(external_task_id="yours")
    found = legacy_task("succeed", "9", final_unit_deduction="5", task_info={"external_task_id": "mine"})
    entries = [entry_of(mine), entry_of(yours), entry_of(yours, legacy_task()), poll_entry(found, "mine")]
    assert _spent(entries) == Spending(8, 1.12, 2, 1, 0, 0, 3)


@table("name", [5, ["a"], {"a": 1}, None, ""])
def test_a_name_that_is_no_text_names_nothing(name: Any) -> None:
    lost = entry_of(text_request(external_task_id=name))
    units = expected_units(lost.request)
    assert _spent([lost, lost]).doubtful == (2 if units else 0)


def test_a_list_says_what_each_of_its_jobs_cost() -> None:
    both = [entry_of(CREATE, legacy_task(task_id=name)) for name in ("7", "8")]
    listed = [
        new_task("succeeded", unit_bill("3")),
        new_task("failed", task_id="8"),
        new_task("succeeded", unit_bill("9"), task_id="9"),
    ]
    asked = entry_of(create_request("/tasks?task_ids=7,8,9", method="GET"), says(listed))
    searched = entry_of(create_request("/tasks", {}), says({"result": listed, "count": 3}))
    legacy = [{"task_id": name, "task_status": "succeed", "final_unit_deduction": "2"} for name in ("7", "8", "9")]

    assert _spent([*both, asked]) == Spending(3, 0.42, 2, 0, 0, 0, 0)
    assert _spent([*both, searched]) == Spending(3, 0.42, 2, 0, 0, 0, 0)
    assert _spent([*both, poll_entry(says(legacy), "?pageSize=3")]) == Spending(4, 0.56, 2, 0, 0, 0, 0)


def test_a_call_that_is_answered_at_once_is_paid_for() -> None:
    spoken = legacy_task("succeed", final_unit_deduction="0.05")
    seen = says({"session_id": "1", "face_data": [], "final_unit_deduction": "0.05"})
    entries = [
        entry_of(create_request("/v1/audio/tts", {}), spoken),
        entry_of(create_request("/v1/videos/identify-face", {}), seen),
    ]
    assert _spent(entries) == Spending(0.1, 0.014, 1, 0, 0, 0, 0)


def test_money_that_was_charged_instead_of_units_is_summed() -> None:
    paid = poll_entry(says([new_task("succeeded", cash_bill("0.45"))]))
    assert _spent([MADE, paid]) == Spending(0, 0.45, 1, 0, 0, 0, 0)


@table("design", ["legacy", "new"])
def test_a_simulated_recording_costs_what_the_simulator_took(design: str) -> None:
    time = 1_795_212_000.0
    simulator = Simulator(SimulatorSettings(speed=1.0), lambda: time)
    client, scrubber = Client(simulator), Scrubber((), (API_KEY,))
    entries: list[Entry] = []

    def ask(path: str, body: Any = None) -> Any:
        request = create_request(path, body, "GET" if body is None else "POST")
        request = replace(request, headers=(*JSON, ("Authorization", f"Bearer {API_KEY}")))
        sent = client.open(path, method=request.method, data=request.body, headers=list(request.headers))
        response = Response(sent.status_code, "OK", tuple(sent.headers.items()), sent.data)
        entries.append(scrubber.entry(Entry(time, 1.0, request, response)))
        return json.loads(sent.data).get("data")

    made = []
    for prompt, mode in (("a", "std"), ("a", "pro"), ("a [simulate: failed]", "std"), ("a [simulate: 1301]", "std")):
        resolution = {"std": "720p", "pro": "1080p"}[mode]
        if design == "new":
            made.append(ask("/text-to-video/kling-3.0", {"prompt": prompt, "settings": {"resolution": resolution}}))
        else:
            made.append(ask(TEXT, {"model_name": "kling-v3", "prompt": prompt, "mode": mode}))
    expectation = _spent(entries)
    for _ in range(3):
        time += 300
        for task in filter(None, made):
            ask(f"/tasks?task_ids={task['id']}" if design == "new" else f"{TEXT}/{task['task_id']}")

    taken = SimulatorSettings().units - simulator.store.remaining("video")
    assert expectation == Spending(10, 1.4, 3, 3, 0, 0, 10)
    assert _spent(entries) == Spending(taken, 0.98, 3, 0, 0, 0, 0)
    assert taken == 7


@table(
    ("units", "dollars", "text"),
    [
        (3, 0.42, "3 units, about $0.42"),
        (1, 0.14, "1 unit, about $0.14"),
        (1.5, 0.21, "1.5 units, about $0.21"),
        (0.05, 0.007, "0.05 units, less than $0.01"),
        (0, 0, "0 units"),
        (30_000, 4200, "30,000 units, about $4,200.00"),
        (0.1 + 0.2, None, "0.3 units"),
        (None, 0.42, "about $0.42"),
        (None, 0, "nothing"),
        (None, None, "an unknown price"),
    ],
)
def test_money_is_written_for_a_person(units: float | None, dollars: float | None, text: str) -> None:
    assert spending.money_text(units, dollars) == text
