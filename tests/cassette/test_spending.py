"""Prices of creates, charges in answers, what a whole recording cost, and budgets that hold when two ask at once."""

from __future__ import annotations

import base64
import json
import math
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

import mitm_ai_proxy
from mitm_ai_proxy.cassette import spending
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.cassette.spending import Budget, Spending
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.endpoints import ENDPOINTS
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings

ORIGIN = "https://api-singapore.klingai.com"
TEXT = "/v1/videos/text2video"
IMAGE = "/v1/videos/image2video"
OMNI = "/v1/videos/omni-video"
MOTION = "/v1/videos/motion-control"
PICTURES = "/v1/images/generations"
CHAT = "https://api.openai.com/v1/chat/completions"
JSON: Headers = (("Content-Type", "application/json"),)
URL = "https://a.test/a"
SPOKEN = {"mode": "text2video", "video_id": "1", "text": "a", "voice_id": "AOT", "voice_language": "en"}
FACE = {"face_id": "0", "audio_id": "1", "sound_start_time": 0, "sound_end_time": 2000, "sound_insert_time": 0}
MOVED = {"image_url": URL, "video_url": URL, "mode": "std", "character_orientation": "video"}
TWO_FRAMES = [{"type": "first_frame", "url": URL}, {"type": "prompt", "text": "a"}]
MOVING = [{"type": "image", "url": URL}, {"type": "video", "url": URL}]
NOTHING = Spending(0, 0, 0, 0, 0, 0, 0)


def _ask(path: str, body: Any = None, method: str = "POST") -> Request:
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Request(method, path if "://" in path else ORIGIN + path, JSON, encoded)


def _text(**more: Any) -> Request:
    return _ask(TEXT, {"model_name": "kling-v3", "prompt": "a cat", **more})


def _says(data: Any, status: int = 200, code: int = 0, **more: Any) -> Response:
    body = {"code": code, "message": "SUCCEED", "request_id": "r", "data": data, **more}
    return Response(status, "", JSON, json.dumps(body).encode())


def _task(status: str = "submitted", task_id: str = "7", **more: Any) -> Response:
    return _says({"task_id": task_id, "task_status": status, "task_info": {}, **more})


def _new(status: str, *billing: Any, task_id: str = "7") -> dict[str, Any]:
    return {"id": task_id, "status": status, "outputs": [], "billing": list(billing)}


def _unit(amount: Any, pack: str = "video", **more: Any) -> dict[str, Any]:
    return {"charge_type": "unit", "amount": amount, "package_type": pack, "list_price": "", **more}


def _cash(amount: Any, currency: str = "USD", **more: Any) -> dict[str, Any]:
    return {"charge_type": "cash", "amount": amount, "currency": currency, **more}


def _entry(request: Request, response: Response | None = None) -> Entry:
    return Entry(0, 1, request, response)


def _poll(response: Response, task_id: str = "7", path: str = TEXT) -> Entry:
    return _entry(_ask(f"{path}/{task_id}", method="GET"), response)


CREATE = _text()
"""3 units."""
MADE = _entry(CREATE, _task())
DONE = _task("succeed", final_unit_deduction="3")

# path | body | units
PRICES: list[tuple[str, dict[str, Any], float]] = [
    (TEXT, {"model_name": "kling-v3", "prompt": "a"}, 3),
    (TEXT, {"model_name": "kling-v3", "prompt": "a", "mode": "pro", "duration": "10", "sound": "on"}, 12),
    (TEXT, {"model_name": "kling-v2-5-turbo", "prompt": "a", "duration": 5}, 1.5),
    (TEXT, {"model_name": "kling-v3", "prompt": "a", "mode": "4k", "duration": "15"}, 45),
    (TEXT, {"model_name": "kling-v2-master", "prompt": "a"}, 10),
    (TEXT, {"prompt": "a", "mode": "pro", "duration": "10"}, 7),
    (TEXT, {"model_name": "kling-v3", "prompt": "a", "unknown_field": {"a": [1, None]}}, 3),
    (IMAGE, {"model_name": "kling-v2-6", "image": URL, "mode": "pro", "sound": "on", "duration": "5"}, 5),
    (OMNI, {"prompt": "a", "aspect_ratio": "1:1"}, 4),
    (OMNI, {"prompt": "a", "aspect_ratio": "1:1", "image_list": [{"image_url": URL}], "mode": "std"}, 3),
    ("/v1/videos/multi-image2video", {"prompt": "a", "image_list": [{"image": URL}], "duration": "10"}, 4),
    ("/v1/videos/multi-elements", {"prompt": "a", "session_id": "1", "edit_mode": "removal"}, 3),
    ("/v1/videos/effects", {"effect_scene": "fight_pro", "input": {"images": [URL, URL]}}, 2),
    ("/v1/videos/identify-face", {"video_id": "1"}, 0.05),
    ("/v1/videos/image-recognize", {"image": URL}, 0.1),
    ("/v1/audio/tts", {"text": "a", "voice_id": "AOT"}, 0.05),
    ("/v1/audio/text-to-audio", {"prompt": "a", "duration": 3}, 0.25),
    ("/v1/general/custom-voices", {"voice_name": "a", "voice_url": URL}, 0.05),
    ("/v1/general/custom-elements", {"element_name": "a"}, 0),
    ("/v1/general/ai-multi-shot", {"element_frontal_image": URL}, 20),
    (PICTURES, {"prompt": "a"}, 8),
    (PICTURES, {"model_name": "kling-v2-1", "prompt": "a", "image": URL, "n": 3}, 24),
    ("/v1/images/editing/expand", {"image": URL, "n": 2}, 16),
    ("/v1/images/omni-image", {"prompt": "a", "resolution": "4k"}, 16),
    ("/text-to-video/kling-3.0", {"prompt": "a"}, 3),
    ("/text-to-video/kling-3.0-turbo", {"prompt": "a", "settings": {"duration": 3}}, 2.4),
    ("/image-to-video/kling-2.6", {"contents": TWO_FRAMES, "settings": {"duration": 10}}, 3),
    ("/omni-video/kling-o1", {"contents": TWO_FRAMES, "settings": {"resolution": "1080p"}}, 4),
    # What a source decides is what the longest costs.
    ("/v1/videos/video-extend", {"video_id": "1"}, 3.5),
    ("/v1/videos/avatar/image2video", {"image": URL, "audio_id": "1"}, 120),
    ("/v1/videos/avatar/image2video", {"image": URL, "audio_id": "1", "mode": "pro"}, 240),
    ("/v1/videos/lip-sync", {"input": SPOKEN}, 18),
    ("/v1/videos/advanced-lip-sync", {"session_id": "1", "face_choose": [FACE]}, 18),
    (MOTION, MOVED, 15),
    (MOTION, {**MOVED, "character_orientation": "image"}, 5),
    (MOTION, {**MOVED, "model_name": "kling-v3", "mode": "pro"}, 36),
    (OMNI, {"prompt": "a", "video_list": [{"video_url": URL}]}, 12),
    (OMNI, {"prompt": "a", "model_name": "kling-v3-omni", "video_list": [{"video_url": URL}], "mode": "std"}, 13.5),
    (OMNI, {"prompt": "a", "aspect_ratio": "1:1", "video_list": [{"video_url": URL, "refer_type": "feature"}]}, 6),
    ("/motion-control/kling-2.6", {"contents": MOVING, "settings": {"duration": 15}}, 15),
    ("/motion-control/kling-2.6", {"contents": MOVING, "settings": {"character_orientation": "image"}}, 5),
    (
        "/motion-control/kling-2.6",
        {"contents": MOVING, "settings": {"character_orientation": "image", "duration": 15}},
        7.5,
    ),
    ("/omni-video/kling-o1", {"contents": [{"type": "base_video", "url": URL}]}, 9),
    ("/omni-video/kling-3.0-omni", {"contents": [{"type": "feature_video", "url": URL}]}, 4.5),
    ("/v1/images/omni-image", {"prompt": "a", "result_type": "series", "series_amount": 3}, 24),
    ("/v1/images/omni-image", {"prompt": "a", "result_type": "series", "series_amount": "auto"}, 72),
    ("/v1/images/omni-image", {"prompt": "a", "result_type": "series"}, 72),
    ("/v1/images/omni-image", {"prompt": "a", "result_type": "series", "series_amount": 0}, 72),
    ("/v1/images/omni-image", {"prompt": "a", "result_type": "series", "series_amount": 99}, 72),
    ("/v1/images/omni-image", {"prompt": "a", "series_amount": 3}, 8),
]


@pytest.mark.parametrize("base", ["", "/kling", "/a/v1/videos"])
@pytest.mark.parametrize(("path", "body", "units"), PRICES)
def test_a_create_costs_what_the_list_says_whatever_stands_in_front(
    base: str, path: str, body: dict[str, Any], units: float
) -> None:
    assert spending.expected(_ask(f"{base}{path}", body)) == pytest.approx(units)
    assert spending.expected(_ask(f"{base}{path}?a=/tasks", body)) == pytest.approx(units)


@pytest.mark.parametrize("path", [path for path in ENDPOINTS if "elements" not in path])
def test_no_family_of_kling_is_free(path: str) -> None:
    bodies = [body for listed, body, _ in PRICES if listed == path]
    assert not any(spending.expected(_ask(path, body)) == 0 for body in [{}, *bodies])


@pytest.mark.parametrize(
    "request_",
    [
        _ask(f"{TEXT}/7", method="GET"),
        _ask(CHAT, method="HEAD"),
        _ask("https://api.openai.com/v1/videos/1", method="DELETE"),
        _ask("/tasks", {"limit": 5, "filters": []}),
        _ask("/kling/tasks", {"cursor": "1", "start_time": 1, "end_time": 2}),
        _ask("/tasks"),
        _ask("/account/billing/balance"),
        _ask("/account/billing/package", {"cursor": "1"}),
        _ask("/v1/general/delete-voices", {"voice_id": "1"}),
        _ask("/v1/videos/multi-elements/add-selection", {"session_id": "1", "points": []}),
    ],
)
def test_a_read_and_a_deletion_are_free(request_: Request) -> None:
    assert spending.expected(request_) == 0


DEEP = b'{"prompt":' + b"[" * 5000 + b"]" * 5000 + b"}"
DEEPER = DEEP.replace(b"[", b"[" * 100).replace(b"]", b"]" * 100)


@pytest.mark.parametrize(
    "request_",
    [
        # Others.
        _ask(CHAT, {"model": "a", "messages": []}),
        _ask("https://api.openai.com/v1/videos", {"model": "sora-2", "prompt": "a"}),
        _ask(f"https://api.openai.com{PICTURES}", {"model": "gpt-image-1", "prompt": "a"}),
        _ask(f"https://api.openai.com{PICTURES}?from=kling", {"prompt": "a"}),
        _ask("https://ark.test/api/v3/contents/generations/tasks", {"model": "a", "content": []}),
        _ask("https://queue.fal.test/fal-ai/kling-video/v2.1/standard/text-to-video", {"prompt": "a"}),
        _ask(CHAT, {}, "PUT"),
        _ask(TEXT, {"model_name": "kling-v3", "prompt": "a"}, "PATCH"),
        # Kling's, and not understood.
        _text(model_name="kling-v9"),
        _text(mode="ultra"),
        _text(duration="60"),
        _text(sound=["on"]),
        _ask(TEXT, {"model_name": "kling-v3"}),
        _ask(IMAGE, {"model_name": "kling-v3", "prompt": "a"}),
        _ask("/text-to-video/kling-4.0", {"prompt": "a"}),
        _ask("/v1/videos/text3video", {"prompt": "a"}),
        _ask("/v1/videos/multi-elements/init-selection", {"video_id": "1"}),
        _ask(f"{TEXT}/7", {"prompt": "a"}),
        # No JSON object, or none that can be read.
        *(
            _ask(TEXT, body)
            for body in (b"", b"[]", b"null", b'"a"', b"{", b"\xff", b'{"prompt": "\xff"}', DEEP, DEEPER)
        ),
        Request("POST", "http://[::", JSON, b"{}"),
        Request("POST", "", JSON, b"{}"),
    ],
)
def test_what_the_list_does_not_have_has_no_known_price(request_: Request) -> None:
    assert spending.expected(request_) is None


def test_a_path_that_openai_has_too_is_klings_where_the_body_or_the_address_says_so() -> None:
    other = f"https://gateway.test{PICTURES}"
    assert spending.expected(_ask(other, {"model_name": "kling-v3", "prompt": "a"})) == 8
    assert spending.expected(_ask(f"https://gateway.test/kling{PICTURES}", {"prompt": "a"})) == 8
    assert spending.expected(_ask(other, {"prompt": "a"})) is None


@pytest.mark.parametrize(
    "picture",
    [
        base64.b64encode(b"no picture" * 1000).decode(),
        "data:image/png;base64,AAAA",
        "[scrubbed]",
        f"{URL}?sign=scrubbed",
        f"{URL}?{'a' * 5000}",
    ],
)
def test_a_file_is_not_looked_into(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: Any, **__: Any) -> bytes:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(base64, "b64decode", decode)
    assert spending.expected(_ask(IMAGE, {"model_name": "kling-v3", "image": picture, "prompt": picture})) == 3


def test_no_body_makes_it_fail() -> None:
    draw = random.Random(5)
    values: list[Any] = [
        None,
        True,
        0,
        -1,
        5,
        2**70,
        1e400,
        "",
        "5",
        "std",
        "on",
        [],
        {},
        [{}],
        [[]],
        [None],
        {"a": []},
    ]
    names = "model_name mode duration sound n settings contents video_list image_list input multi_prompt voice_list"
    known = [
        *names.split(),
        "result_type",
        "series_amount",
        "multi_shot",
        "shot_type",
        "image",
        "options",
        "resolution",
    ]
    bodies = [body for _, body, _ in PRICES]
    for path in [path for path, _, _ in PRICES]:
        for _ in range(200):
            body = {
                **draw.choice(bodies),
                **{draw.choice(known): draw.choice(values) for _ in range(draw.randrange(4))},
            }
            units = spending.expected(_ask(path, body))
            assert units is None or 0 <= units < math.inf


def test_what_a_unit_is_worth_depends_on_its_pack() -> None:
    assert spending.worth(3, ORIGIN + TEXT) == 0.42
    assert spending.worth(12, f"{ORIGIN}/text-to-video/kling-3.0") == 1.68
    assert spending.worth(0.05, f"{ORIGIN}/v1/audio/tts") == 0.007
    assert spending.worth(8, f"{ORIGIN}/kling{PICTURES}/7?pageNum=1") == 0.028
    assert spending.worth(20, f"{ORIGIN}/v1/general/ai-multi-shot") == 0.07
    assert spending.worth(1, f"{ORIGIN}/v1/videos/image-recognize?a=/v1/images/") == 0.14
    assert spending.worth(1, "http://[::") == 0.14


@pytest.mark.parametrize(("path", "body", "_"), PRICES)
def test_a_path_has_the_pack_of_its_rule(path: str, body: dict[str, Any], _: float) -> None:
    pack = ENDPOINTS[path].rule(body).pack if path in ENDPOINTS else "video"
    assert spending.worth(1, ORIGIN + path) == spending.UNIT_PRICES[pack]


# answer | units | dollars
CHARGES: list[tuple[Response | None, float | None, float | None]] = [
    (DONE, 3, 0.42),
    (_task("succeed", final_unit_deduction="4.4"), 4.4, 0.616),
    (_task("succeed", final_unit_deduction=3), 3, 0.42),
    (_task("succeed", final_unit_deduction="0"), 0, 0),
    (_task("failed", final_unit_deduction="3"), 3, 0.42),
    (_task("failed", task_status_msg="Image pixel is invalid"), 0, 0),
    (_task("failed", final_unit_deduction="", final_balance_deduction={}), 0, 0),
    (_task("succeed", final_balance_deduction={"quota": "0.3", "list_price": "0.45"}), None, 0.45),
    (_task("succeed", final_unit_deduction="0", final_balance_deduction={"list_price": "0.45"}), 0, 0.45),
    (_task("succeed", final_balance_deduction={"list_price": "0"}), None, 0),
    (_task("succeed", final_unit_deduction="3", final_balance_deduction={"list_price": "0"}), 3, 0.42),
    (_says({"session_id": "1", "face_data": [], "final_unit_deduction": "0.05"}), 0.05, 0.007),
    (_says([_new("succeeded", _unit("3"))]), 3, 0.42),
    (_says([_new("succeeded", _unit("8", "image"))]), 8, 0.028),
    (_says([_new("succeeded", _unit("8", "audio"))]), 8, None),
    (_says([_new("succeeded", _unit("3", list_price="0.5", currency="USD"))]), 3, 0.5),
    (_says([_new("succeeded", _unit("3", list_price="3.5", currency="CNY"))]), 3, 0.42),
    (_says([_new("succeeded", _unit("3"), _unit("0.5"))]), 3.5, 0.49),
    (_says([_new("succeeded", _unit("3"), _cash("0.1"))]), 3, 0.52),
    (_says([_new("succeeded", _unit("3"), _cash("0.1", "CNY"))]), 3, None),
    (_says([_new("succeeded", _cash("0.3"))]), None, 0.3),
    (_says([_new("succeeded", _cash("0.3", list_price="0.42"))]), None, 0.42),
    (_says([_new("failed")]), 0, 0),
    (_says([_new("failed", _unit("3"))]), 3, 0.42),
    (_says(_new("succeeded", _unit("3"))), 3, 0.42),
    # Nothing is said.
    (_task(), None, None),
    (_task("processing", final_unit_deduction="3"), None, None),
    (_task("99", final_unit_deduction="3"), None, None),
    (_task("succeed"), None, None),
    (_task("succeed", final_unit_deduction=""), None, None),
    *((_task("succeed", final_unit_deduction=bad), None, None) for bad in ("-3", "nan", "1e999", "a", True, [3], None)),
    (_says([_new("processing", _unit("3"))]), None, None),
    (_says([_new("succeeded")]), None, None),
    (_says([_new("succeeded", _unit("3"), _unit("a"))]), None, None),
    (_says([_new("succeeded", _unit("3"), "a")]), None, None),
    (_says([_new("failed", "a")]), None, None),
    (_says([_new("succeeded", _cash("3", "CNY"))]), None, None),
    (_says([_new("succeeded", _unit("3")), _new("succeeded", _unit("3"))]), None, None),
    (_says([{"task_id": "7", "task_status": "succeed", "final_unit_deduction": "3"}]), None, None),
    (_says({"result": [_new("succeeded", _unit("3"))], "count": 1}), None, None),
    (_says(None, 400, 1201, final_unit_deduction="3"), None, None),
    (replace(DONE, status=500), None, None),
    (_says({"id": "1", "status": "failed"}), None, None),
    (Response(200, "", JSON, b'{"id": "chatcmpl-1", "choices": [], "usage": {"total_tokens": 9}}'), None, None),
    *(
        (Response(200, "", (), body), None, None)
        for body in (b"", b"{", b"[]", b"\0\0\0\x18ftyp", b'{"data":5}', DEEP, DEEPER)
    ),
]


@pytest.mark.parametrize(("response", "units", "dollars"), CHARGES)
def test_an_answer_says_what_its_task_cost(response: Response, units: float | None, dollars: float | None) -> None:
    assert spending.charged(response) == units
    assert spending.price_charged(response, ORIGIN + TEXT) == dollars
    entry = replace(_poll(response), units=1.0, price=1.0)
    said = units is not None or dollars is not None
    assert spending.priced(entry) == (replace(entry, units=units, price=dollars) if said else entry)


def test_units_for_pictures_have_the_price_of_their_pack() -> None:
    answer = _task("succeed", final_unit_deduction="8")
    assert spending.priced(_poll(answer, path=PICTURES)).price == 0.028
    assert spending.priced(_poll(answer, path=TEXT)).price == 1.12


def test_an_entry_without_an_answer_has_no_price() -> None:
    assert spending.priced(_entry(CREATE)) == _entry(CREATE)


def test_a_job_counts_once_however_often_it_is_polled() -> None:
    polls = [_poll(_task("processing"))] * 39
    assert spending.spent([MADE, *polls, *[_poll(DONE)] * 40]) == Spending(3, 0.42, 1, 0, 0, 0, 0)
    assert spending.spent([MADE, _poll(DONE), *polls]) == Spending(3, 0.42, 1, 0, 0, 0, 0)


def test_an_id_may_be_a_number() -> None:
    made = _says({"task_id": 7, "task_status": "submitted"})
    done = _says({"task_id": 7, "task_status": "succeed", "final_unit_deduction": "3.5"})
    assert spending.spent([_entry(CREATE, made), _poll(done)]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_jobs_are_told_apart_by_their_ids() -> None:
    entries = [
        _entry(CREATE, _task(task_id="7")),
        _entry(CREATE, _task(task_id="8")),
        _poll(_task("succeed", "8", final_unit_deduction="3.1"), "8"),
        _poll(_task("succeed", "7", final_unit_deduction="3"), "7"),
        _poll(_task("succeed", "9", final_unit_deduction="50"), "9"),
    ]
    assert spending.spent(entries) == Spending(6.1, 0.854, 2, 0, 0, 0, 0)


def test_a_job_whose_end_was_not_recorded_counts_with_what_it_was_expected_to_cost() -> None:
    entries = [MADE, _poll(_task("processing")), _entry(_text(mode="pro"), _task(task_id="8"))]
    entries.append(_poll(_task("succeed", "8", final_unit_deduction="4"), "8"))
    assert spending.spent(entries) == Spending(7, 0.98, 2, 1, 0, 0, 3)


def test_a_failed_job_costs_nothing_unless_it_says_so() -> None:
    assert spending.spent([MADE, _poll(_task("failed"))]) == Spending(0, 0, 1, 0, 0, 0, 0)
    assert spending.spent([MADE, _poll(_task("failed", final_unit_deduction="3"))]).units == 3


def test_a_job_of_unknown_price_is_counted_apart() -> None:
    create = _ask("https://api.test/v1/videos", {"prompt": "a"})
    answer = Response(200, "", JSON, b'{"id": "video_1", "status": "queued"}')
    assert spending.spent([_entry(create, answer), MADE]) == Spending(3, 0.42, 2, 1, 1, 0, 3)


@pytest.mark.parametrize(
    "entry",
    [
        _entry(_ask(CHAT, {"model": "a"}), Response(200, "", JSON, b'{"id": "chatcmpl-1", "choices": []}')),
        _entry(_ask(CHAT, {"model": "a"})),
        _entry(_ask(CHAT, {"model": "a"}), Response(500)),
        _entry(CREATE, _says(None, 400, 1201)),
        _entry(CREATE, _says(None, 429, 1303)),
        _entry(CREATE, _says(None, 200, 1303)),
        _entry(CREATE, Response(302)),
        _entry(_ask("/v1/general/delete-voices", {"voice_id": "1"}), _task("succeed")),
        _entry(_ask("/v1/general/custom-elements", {"element_name": "a"}), _task()),
        _entry(_ask("/tasks", {}), _says({"result": [_new("succeeded", _unit("3"))]})),
        _poll(DONE),
    ],
)
def test_what_is_no_paid_job_costs_nothing(entry: Entry) -> None:
    assert spending.spent([entry]) == NOTHING


DOUBTS = [None, Response(500), Response(502, "", (), b"<html>"), _says(None, 504, 5002), _says(None, 200, 5000)]
DOUBTS.append(Response(200, "", JSON, b"<html>"))


@pytest.mark.parametrize("response", DOUBTS)
def test_a_create_that_may_have_been_carried_out_is_told_apart(response: Response | None) -> None:
    assert spending.spent([_entry(CREATE, response)]) == Spending(3, 0.42, 0, 0, 0, 1, 3)


def test_a_job_that_is_found_by_its_own_name_is_no_doubt_any_more() -> None:
    create = _text(external_task_id="mine")
    found = _task("processing", task_info={"external_task_id": "mine"})
    done = _task("succeed", final_unit_deduction="3.5")
    assert spending.spent([_entry(create)]) == Spending(3, 0.42, 0, 0, 0, 1, 3)
    assert spending.spent([_entry(create), _poll(found, "mine")]) == Spending(3, 0.42, 1, 1, 0, 0, 3)
    assert spending.spent([_entry(create), _poll(found, "mine"), _poll(done)]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_a_create_that_is_sent_again_under_its_name_makes_one_job() -> None:
    lost, again = _entry(_text(external_task_id="mine")), _text(external_task_id="mine", mode="pro")
    assert spending.spent([lost, lost]) == Spending(3, 0.42, 0, 0, 0, 1, 3)
    assert spending.spent([lost, _entry(again, _task()), lost]) == Spending(4, 0.56, 1, 1, 0, 0, 4)
    other = _ask("/text-to-video/kling-3.0", {"prompt": "a", "options": {"external_task_id": "mine"}})
    assert spending.spent([_entry(other), lost]).doubtful == 1
    found = _poll(_says([_new("succeeded", _unit("3.5")) | {"external_id": "mine"}]))
    assert spending.spent([_entry(other), found]) == Spending(3.5, 0.49, 1, 0, 0, 0, 0)


def test_jobs_that_were_made_under_one_name_are_as_many_as_their_ids() -> None:
    create = _text(external_task_id="mine")
    assert spending.spent([_entry(create, _task(task_id=name)) for name in "789"]).jobs == 3


def test_lost_creates_that_are_alike_are_not_taken_for_one_another() -> None:
    mine, yours = _text(external_task_id="mine"), _text(external_task_id="yours")
    found = _task("succeed", "9", final_unit_deduction="5", task_info={"external_task_id": "mine"})
    entries = [_entry(mine), _entry(yours), _entry(yours, _task()), _poll(found, "mine")]
    assert spending.spent(entries) == Spending(8, 1.12, 2, 1, 0, 0, 3)


@pytest.mark.parametrize("name", [5, ["a"], {"a": 1}, None, ""])
def test_a_name_that_is_no_text_names_nothing(name: Any) -> None:
    lost = _entry(_text(external_task_id=name))
    units = spending.expected(lost.request)
    assert spending.spent([lost, lost]).doubtful == (2 if units else 0)


def test_a_list_says_what_each_of_its_jobs_cost() -> None:
    both = [_entry(CREATE, _task(task_id=name)) for name in ("7", "8")]
    listed = [_new("succeeded", _unit("3")), _new("failed", task_id="8"), _new("succeeded", _unit("9"), task_id="9")]
    asked = _entry(_ask("/tasks?task_ids=7,8,9", method="GET"), _says(listed))
    searched = _entry(_ask("/tasks", {}), _says({"result": listed, "count": 3}))
    legacy = [{"task_id": name, "task_status": "succeed", "final_unit_deduction": "2"} for name in ("7", "8", "9")]

    assert spending.spent([*both, asked]) == Spending(3, 0.42, 2, 0, 0, 0, 0)
    assert spending.spent([*both, searched]) == Spending(3, 0.42, 2, 0, 0, 0, 0)
    assert spending.spent([*both, _poll(_says(legacy), "?pageSize=3")]) == Spending(4, 0.56, 2, 0, 0, 0, 0)


def test_a_call_that_is_answered_at_once_is_paid_for() -> None:
    spoken = _task("succeed", final_unit_deduction="0.05")
    seen = _says({"session_id": "1", "face_data": [], "final_unit_deduction": "0.05"})
    entries = [_entry(_ask("/v1/audio/tts", {}), spoken), _entry(_ask("/v1/videos/identify-face", {}), seen)]
    assert spending.spent(entries) == Spending(0.1, 0.014, 1, 0, 0, 0, 0)


def test_money_that_was_charged_instead_of_units_is_summed() -> None:
    paid = _poll(_says([_new("succeeded", _cash("0.45"))]))
    assert spending.spent([MADE, paid]) == Spending(0, 0.45, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("design", ["legacy", "new"])
def test_a_simulated_recording_costs_what_the_simulator_took(design: str) -> None:
    time = 1_795_212_000.0
    simulator = Simulator(SimulatorSettings(speed=1.0), lambda: time)
    client, scrubber = Client(simulator), Scrubber((), (API_KEY,))
    entries: list[Entry] = []

    def ask(path: str, body: Any = None) -> Any:
        request = _ask(path, body, "GET" if body is None else "POST")
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
    expectation = spending.spent(entries)
    for _ in range(3):
        time += 300
        for task in filter(None, made):
            ask(f"/tasks?task_ids={task['id']}" if design == "new" else f"{TEXT}/{task['task_id']}")

    taken = SimulatorSettings().units - simulator.store.remaining("video")
    assert expectation == Spending(10, 1.4, 3, 3, 0, 0, 10)
    assert spending.spent(entries) == Spending(taken, 0.98, 3, 0, 0, 0, 0)
    assert taken == 7


@pytest.mark.parametrize(
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


# Budgets


def _lets(budget: Budget, *requests: Request) -> list[bool]:
    return [budget.refuse(request) is None for request in requests]


UNKNOWN = _ask(CHAT, {"model": "a"})
FREE = _ask(f"{TEXT}/7", method="GET")


def test_what_fits_goes_out_and_the_next_does_not() -> None:
    budget = Budget(10)
    assert _lets(budget, CREATE, CREATE, CREATE, CREATE, FREE) == [True, True, True, False, True]
    assert _lets(budget, _text(model_name="kling-v1"), _text(model_name="kling-v1")) == [True, False]


def test_a_budget_can_be_used_up_to_the_last_unit() -> None:
    tenths = _text(model_name="kling-v3", duration="3")
    assert spending.expected(tenths) == 1.8
    assert _lets(Budget(5.4), *[tenths] * 4) == [True, True, True, False]
    assert _lets(Budget(0.15), *[_ask("/v1/audio/tts", {})] * 4) == [True, True, True, False]


def test_the_refusal_names_the_budget_what_is_gone_and_the_price() -> None:
    budget = Budget(10)
    budget.refuse(_text(mode="pro", sound="on"))
    budget.settle(MADE)
    text = budget.refuse(CREATE)
    assert text == (
        "The request was not sent: it can cost 3 units, about $0.42."
        " The budget is 10 units; spent or reserved: 9 units. It can be sent with a higher budget."
    )
    assert budget.refuse(UNKNOWN) == (
        "The request was not sent: its price is not known. The budget is 10 units; spent or reserved: 9 units."
        " It can only be sent without a budget."
    )
    assert Budget(1, unknown=2).refuse(UNKNOWN) == (
        "The request was not sent: its price is not known, and it counts as 2 units."
        " The budget is 1 unit; spent or reserved: 0 units. It can be sent with a higher budget."
    )


def test_a_refusal_quotes_nothing_of_the_request() -> None:
    secret = "s3cr3t"
    for request in (_text(mode=secret), _ask(f"/{secret}?token={secret}", {"a": secret}), _text(prompt=secret)):
        text = Budget(0).refuse(request)
        assert text
        assert secret not in text


@pytest.mark.parametrize("unknown", [None, 0.5])
def test_a_budget_of_nothing_lets_out_only_what_is_known_to_be_free(unknown: float | None) -> None:
    paid = [_ask(path, body) for path, body, units in PRICES if units]
    refused = [*paid, UNKNOWN, _text(model_name="kling-v9"), _ask(TEXT, b"\xff"), _ask(CHAT, {}, "PUT")]
    assert not any(_lets(Budget(0, unknown), *refused))
    assert all(_lets(Budget(0, unknown), FREE, _ask("/tasks", {}), _ask(CHAT, method="DELETE")))


def test_an_unknown_price_is_refused_unless_it_counts_as_something() -> None:
    assert _lets(Budget(1000), UNKNOWN) == [False]
    budget = Budget(2, unknown=1)
    assert _lets(budget, UNKNOWN, UNKNOWN, UNKNOWN) == [True, True, False]
    budget.settle(_entry(UNKNOWN, Response(200, "", JSON, b'{"id": "chatcmpl-1"}')))
    assert _lets(budget, UNKNOWN) == [False]
    budget.settle(_entry(UNKNOWN, Response(429)))
    assert _lets(budget, UNKNOWN, UNKNOWN) == [True, False]


@pytest.mark.parametrize("response", [_says(None, 400, 1201), _says(None, 429, 1303), _says(None, 200, 1102)])
def test_a_create_that_the_provider_refuses_gives_back_what_was_reserved(response: Response) -> None:
    budget = Budget(3)
    assert _lets(budget, CREATE, CREATE) == [True, False]
    budget.settle(_entry(CREATE, response))
    assert _lets(budget, CREATE, CREATE) == [True, False]


def test_a_create_that_was_not_sent_gives_back_what_was_reserved() -> None:
    budget = Budget(3, unknown=3)
    for request in (CREATE, UNKNOWN):
        assert _lets(budget, request, CREATE) == [True, False]
        budget.release(request)
        budget.release(request)
    assert _lets(budget, CREATE, CREATE) == [True, False]


@pytest.mark.parametrize("response", DOUBTS)
def test_a_create_that_may_have_been_carried_out_keeps_what_was_reserved(response: Response | None) -> None:
    budget = Budget(3)
    budget.refuse(CREATE)
    budget.settle(_entry(CREATE, response))
    assert _lets(budget, CREATE) == [False]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (_task("processing"), 7),
        (DONE, 7),
        (_task("succeed", final_unit_deduction="1"), 9),
        (_task("succeed", final_unit_deduction="9.5"), 0.5),
        (_task("succeed", final_unit_deduction="99"), 0),
        (_task("failed"), 10),
        (_task("succeed", final_balance_deduction={"list_price": "0.28"}), 8),
        (_task("succeed", final_unit_deduction="0", final_balance_deduction={"list_price": "0.28"}), 8),
    ],
)
def test_a_charge_takes_the_place_of_what_was_expected(answer: Response, left: float) -> None:
    budget = Budget(10)
    budget.refuse(CREATE)
    budget.settle(MADE)
    for _ in range(3):
        budget.settle(_poll(answer))
    assert _lets(budget, FREE) == [True]
    fitting = _ask("/v1/audio/tts", {})
    assert sum(_lets(budget, *[fitting] * 250)) == pytest.approx(left / 0.05)


def test_a_scrubbed_exchange_settles_what_the_unscrubbed_one_reserved() -> None:
    scrubber = Scrubber(("prompts", "image", "external_task_id"), ("s3cr3t-of-the-user",))
    body = {"model_name": "kling-v3", "prompt": "s3cr3t-of-the-user", "image": "AAAA", "external_task_id": "mine"}
    create = replace(_ask(IMAGE, {**body, "image": URL}), headers=(("Authorization", "Bearer a-long-token"),))
    budget = Budget(3)
    assert _lets(budget, create) == [True]
    scrubbed = scrubber.entry(_entry(create, _says(None, 400, 1301)))
    assert scrubbed.request != create
    budget.settle(scrubbed)
    assert _lets(budget, create, create) == [True, False]


def test_two_creates_at_once_do_not_both_get_the_last_units(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(3)
    answers: list[str | None] = []
    second = threading.Thread(target=lambda: answers.append(budget.refuse(CREATE)))
    is_there = threading.Event()

    class Lock:
        """Tells when somebody has to wait for it."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            if not self.lock.acquire(blocking=False):
                is_there.set()
                self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    class Ledger(spending._Ledger):
        """Lets the second create come while the first one sums up."""

        def units(self, unknown: float) -> Iterator[float]:
            if second.ident is None:
                second.start()
                assert is_there.wait(60)
            is_there.set()
            return super().units(unknown)

    monkeypatch.setattr(budget, "_lock", Lock())
    monkeypatch.setattr(budget, "_ledger", Ledger())
    answers.append(budget.refuse(CREATE))
    second.join()
    assert sorted(answer is None for answer in answers) == [False, True]


def test_many_threads_spend_no_more_than_the_budget() -> None:
    budget = Budget(60)
    kept: list[int] = []

    def run() -> None:
        for number in range(20):
            if budget.refuse(CREATE) is None:
                if number % 2:
                    budget.release(CREATE)
                else:
                    kept.append(number)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(_lets(budget, *[CREATE] * 30)) == 20 - len(kept)


@pytest.mark.parametrize(("units", "unknown"), [(-1, None), (math.nan, None), (1, 0), (1, -1), (1, math.nan)])
def test_a_budget_that_makes_no_sense_is_refused(units: float, unknown: float | None) -> None:
    with pytest.raises(ValueError, match="has to be"):
        Budget(units, unknown)


def test_it_needs_no_web_server() -> None:
    folder = Path(mitm_ai_proxy.__file__).parent.parent
    code = "import sys, mitm_ai_proxy.cassette.spending; print({'flask', 'werkzeug', 'mitmproxy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
