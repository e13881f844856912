"""Kling's prices: of creates by the price list, of tasks by what answers say, and that the simulator agrees."""

from __future__ import annotations

import base64
import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mitm_ai_proxy.cassette import spending
from mitm_ai_proxy.cassette.entry import Request, Response
from mitm_ai_proxy.kling import prices
from mitm_ai_proxy.kling.models import MODELS
from mitm_ai_proxy.kling.recorded_api import CODES, RECORDED_API
from mitm_ai_proxy.simulator import kling_error, new_design
from mitm_ai_proxy.simulator.endpoints import ENDPOINTS
from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.rules import Order
from tests.cassette.charges import (
    CHAT,
    CREATE,
    DONE,
    IMAGE,
    PICTURES,
    TEXT,
    URL,
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
from tests.cassette.exchanges import JSON, ORIGIN
from tests.tables import table

OMNI = "/v1/videos/omni-video"
MOTION = "/v1/videos/motion-control"
SPOKEN = {"mode": "text2video", "video_id": "1", "text": "a", "voice_id": "AOT", "voice_language": "en"}
FACE = {"face_id": "0", "audio_id": "1", "sound_start_time": 0, "sound_end_time": 2000, "sound_insert_time": 0}
MOVED = {"image_url": URL, "video_url": URL, "mode": "std", "character_orientation": "video"}
TWO_FRAMES = [{"type": "first_frame", "url": URL}, {"type": "prompt", "text": "a"}]
MOVING = [{"type": "image", "url": URL}, {"type": "video", "url": URL}]
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


@table("base", ["", "/kling", "/a/v1/videos"])
@table(("path", "body", "units"), PRICES)
def test_a_create_costs_what_the_list_says_whatever_stands_in_front(
    base: str, path: str, body: dict[str, Any], units: float
) -> None:
    assert expected_units(create_request(f"{base}{path}", body)) == pytest.approx(units)
    assert expected_units(create_request(f"{base}{path}?a=/tasks", body)) == pytest.approx(units)


@table("path", [path for path in ENDPOINTS if "elements" not in path])
def test_no_family_of_kling_is_free(path: str) -> None:
    bodies = [body for listed, body, _ in PRICES if listed == path]
    assert not any(expected_units(create_request(path, body)) == 0 for body in [{}, *bodies])


@table(
    "request_",
    [
        create_request(f"{TEXT}/7", method="GET"),
        create_request(CHAT, method="HEAD"),
        create_request("https://api.openai.com/v1/videos/1", method="DELETE"),
        create_request("/tasks", {"limit": 5, "filters": []}),
        create_request("/kling/tasks", {"cursor": "1", "start_time": 1, "end_time": 2}),
        create_request("/tasks"),
        create_request("/account/billing/balance"),
        create_request("/account/billing/package", {"cursor": "1"}),
        create_request("/v1/general/delete-voices", {"voice_id": "1"}),
        create_request("/v1/videos/multi-elements/add-selection", {"session_id": "1", "points": []}),
    ],
)
def test_a_read_and_a_deletion_are_free(request_: Request) -> None:
    assert expected_units(request_) == 0


DEEP = b'{"prompt":' + b"[" * 5000 + b"]" * 5000 + b"}"
DEEPER = DEEP.replace(b"[", b"[" * 100).replace(b"]", b"]" * 100)


@table(
    "request_",
    [
        # Others.
        create_request(CHAT, {"model": "a", "messages": []}),
        create_request("https://api.openai.com/v1/videos", {"model": "sora-2", "prompt": "a"}),
        create_request(f"https://api.openai.com{PICTURES}", {"model": "gpt-image-1", "prompt": "a"}),
        create_request(f"https://api.openai.com{PICTURES}?from=kling", {"prompt": "a"}),
        create_request("https://ark.test/api/v3/contents/generations/tasks", {"model": "a", "content": []}),
        create_request("https://queue.fal.test/fal-ai/kling-video/v2.1/standard/text-to-video", {"prompt": "a"}),
        create_request(CHAT, {}, "PUT"),
        create_request(TEXT, {"model_name": "kling-v3", "prompt": "a"}, "PATCH"),
        # Kling's, and not understood.
        text_request(model_name="kling-v9"),
        text_request(mode="ultra"),
        text_request(duration="60"),
        text_request(sound=["on"]),
        create_request(TEXT, {"model_name": "kling-v3"}),
        create_request(IMAGE, {"model_name": "kling-v3", "prompt": "a"}),
        create_request(IMAGE, {"model_name": "kling-v3", "image": "no picture"}),
        create_request(IMAGE, {"model_name": "kling-v3", "image": base64.b64encode(b"no picture").decode()}),
        create_request("/text-to-video/kling-4.0", {"prompt": "a"}),
        create_request("/v1/videos/text3video", {"prompt": "a"}),
        create_request("/v1/videos/multi-elements/init-selection", {"video_id": "1"}),
        create_request(f"{TEXT}/7", {"prompt": "a"}),
        # No JSON object, or none that can be read.
        *(
            create_request(TEXT, body)
            for body in (b"", b"[]", b"null", b'"a"', b"{", b"\xff", b'{"prompt": "\xff"}', DEEP, DEEPER)
        ),
        *(
            create_request("/v1/videos/video-extend", {"video_id": "1", **wrong})
            for wrong in ({"video_id": ""}, {"prompt": "x" * 2501}, {"negative_prompt": "x" * 2501}, {"cfg_scale": 2})
        ),
        Request("POST", "http://[::", JSON, b"{}"),
        Request("POST", "", JSON, b"{}"),
    ],
)
def test_what_the_list_does_not_have_has_no_known_price(request_: Request) -> None:
    assert expected_units(request_) is None


def test_a_path_that_openai_has_too_is_klings_where_the_body_or_the_address_says_so() -> None:
    other = f"https://gateway.test{PICTURES}"
    assert expected_units(create_request(other, {"model_name": "kling-v3", "prompt": "a"})) == 8
    assert expected_units(create_request(f"https://gateway.test/kling{PICTURES}", {"prompt": "a"})) == 8
    assert expected_units(create_request(other, {"prompt": "a"})) is None


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
    assert expected_units(create_request(IMAGE, {"model_name": "kling-v3", "image": picture, "prompt": picture})) == 3


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
            units = expected_units(create_request(path, body))
            assert units is None or 0 <= units < math.inf


def test_what_a_unit_is_worth_depends_on_its_pack() -> None:
    assert prices.dollars(3, ORIGIN + TEXT) == 0.42
    assert prices.dollars(12, f"{ORIGIN}/text-to-video/kling-3.0") == 1.68
    assert prices.dollars(0.05, f"{ORIGIN}/v1/audio/tts") == 0.007
    assert prices.dollars(8, f"{ORIGIN}/kling{PICTURES}/7?pageNum=1") == 0.028
    assert prices.dollars(20, f"{ORIGIN}/v1/general/ai-multi-shot") == 0.07
    assert prices.dollars(1, f"{ORIGIN}/v1/videos/image-recognize?a=/v1/images/") == 0.14
    assert prices.dollars(1, "http://[::") == 0.14


@table(("path", "body", "units"), PRICES)
def test_a_path_has_the_pack_of_its_rule(path: str, body: dict[str, Any], units: float) -> None:
    pack = ENDPOINTS[path].rule(body).pack if path in ENDPOINTS else "video"
    assert prices.dollars(1, ORIGIN + path) == prices.DOLLARS[pack]


# answer | units | dollars
CHARGES: list[tuple[Response | None, float | None, float | None]] = [
    (DONE, 3, 0.42),
    (legacy_task("succeed", final_unit_deduction="4.4"), 4.4, 0.616),
    (legacy_task("succeed", final_unit_deduction=3), 3, 0.42),
    (legacy_task("succeed", final_unit_deduction="0"), 0, 0),
    (legacy_task("failed", final_unit_deduction="3"), 3, 0.42),
    (legacy_task("failed", task_status_msg="Image pixel is invalid"), 0, 0),
    (legacy_task("failed", final_unit_deduction="", final_balance_deduction={}), 0, 0),
    (legacy_task("succeed", final_balance_deduction={"quota": "0.3", "list_price": "0.45"}), None, 0.45),
    (legacy_task("succeed", final_unit_deduction="0", final_balance_deduction={"list_price": "0.45"}), 0, 0.45),
    (legacy_task("succeed", final_balance_deduction={"list_price": "0"}), None, 0),
    (legacy_task("succeed", final_unit_deduction="3", final_balance_deduction={"list_price": "0"}), 3, 0.42),
    (says({"session_id": "1", "face_data": [], "final_unit_deduction": "0.05"}), 0.05, 0.007),
    (says([new_task("succeeded", unit_bill("3"))]), 3, 0.42),
    (says([new_task("succeeded", unit_bill("8", "image"))]), 8, 0.028),
    (says([new_task("succeeded", unit_bill("8", "audio"))]), 8, None),
    (says([new_task("succeeded", unit_bill("3", list_price="0.5", currency="USD"))]), 3, 0.5),
    (says([new_task("succeeded", unit_bill("3", list_price="3.5", currency="CNY"))]), 3, 0.42),
    (says([new_task("succeeded", unit_bill("3"), unit_bill("0.5"))]), 3.5, 0.49),
    (says([new_task("succeeded", unit_bill("3"), cash_bill("0.1"))]), 3, 0.52),
    (says([new_task("succeeded", unit_bill("3"), cash_bill("0.1", "CNY"))]), 3, None),
    (says([new_task("succeeded", cash_bill("0.3"))]), None, 0.3),
    (says([new_task("succeeded", cash_bill("0.3", list_price="0.42"))]), None, 0.42),
    (says([new_task("failed")]), 0, 0),
    (says([new_task("failed", unit_bill("3"))]), 3, 0.42),
    (says(new_task("succeeded", unit_bill("3"))), 3, 0.42),
    # Nothing is said.
    (legacy_task(), None, None),
    (legacy_task("processing", final_unit_deduction="3"), None, None),
    (legacy_task("99", final_unit_deduction="3"), None, None),
    (legacy_task("succeed"), None, None),
    (legacy_task("succeed", final_unit_deduction=""), None, None),
    *(
        (legacy_task("succeed", final_unit_deduction=bad), None, None)
        for bad in ("-3", "nan", "1e999", "a", True, [3], None)
    ),
    (says([new_task("processing", unit_bill("3"))]), None, None),
    (says([new_task("succeeded")]), None, None),
    (says([new_task("succeeded", unit_bill("3"), unit_bill("a"))]), None, None),
    (says([new_task("succeeded", unit_bill("3"), "a")]), None, None),
    (says([new_task("failed", "a")]), None, None),
    (says([new_task("succeeded", cash_bill("3", "CNY"))]), None, None),
    (says([new_task("succeeded", unit_bill("3")), new_task("succeeded", unit_bill("3"))]), None, None),
    (says([{"task_id": "7", "task_status": "succeed", "final_unit_deduction": "3"}]), None, None),
    (says({"result": [new_task("succeeded", unit_bill("3"))], "count": 1}), None, None),
    (says(None, 400, 1201, final_unit_deduction="3"), None, None),
    (replace(DONE, status=500), None, None),
    (says({"id": "1", "status": "failed"}), None, None),
    (Response(200, "", JSON, b'{"id": "chatcmpl-1", "choices": [], "usage": {"total_tokens": 9}}'), None, None),
    *(
        (Response(200, "", (), body), None, None)
        for body in (b"", b"{", b"[]", b"\0\0\0\x18ftyp", b'{"data":5}', DEEP, DEEPER)
    ),
]


@table(("response", "units", "dollars"), CHARGES)
def test_an_answer_says_what_its_task_cost(response: Response, units: float | None, dollars: float | None) -> None:
    entry = replace(poll_entry(response), units=1.0, price=1.0)
    said = units is not None or dollars is not None
    assert spending.priced(entry, RECORDED_API) == (replace(entry, units=units, price=dollars) if said else entry)


def test_units_for_pictures_have_the_price_of_their_pack() -> None:
    answer = legacy_task("succeed", final_unit_deduction="8")
    assert spending.priced(poll_entry(answer, path=PICTURES), RECORDED_API).price == 0.028
    assert spending.priced(poll_entry(answer, path=TEXT), RECORDED_API).price == 1.12


def test_an_entry_without_an_answer_has_no_price() -> None:
    assert spending.priced(entry_of(CREATE), RECORDED_API) == entry_of(CREATE)


# The simulator as a witness

FAMILIES: dict[str, dict[str, Any]] = {
    TEXT: {"prompt": "a"},
    IMAGE: {"prompt": "a", "image": URL},
    OMNI: {"prompt": "a", "aspect_ratio": "1:1"},
    MOTION: MOVED,
    "/v1/videos/multi-image2video": {"prompt": "a", "image_list": [{"image": URL}]},
    "/v1/videos/multi-elements": {"prompt": "a", "session_id": "1", "edit_mode": "removal"},
    PICTURES: {"prompt": "a"},
    "/v1/images/multi-image2image": {"subject_image_list": [{"subject_image": URL}]},
    "/v1/images/omni-image": {"prompt": "a"},
}
VOICES = {"sound": "on", "voice_list": [{"voice_id": "1"}]}
ELEMENTS = {"element_list": [{"element_id": 1}]}
FEATURES: list[dict[str, Any]] = [
    {},
    {"prompt": None},
    {"sound": "on"},
    {"sound": "loud"},
    VOICES,
    {**VOICES, "sound": "off"},
    {**VOICES, **ELEMENTS},
    ELEMENTS,
    {"image_tail": URL},
    {"image_tail": URL, "image": None},
    {"image_tail": URL, "sound": "on"},
    {"static_mask": URL},
    {"static_mask": URL, "image_tail": URL},
    {"camera_control": {"type": "down_back"}},
    {"camera_control": {"type": "simple", "config": {"pan": 5}}},
    {"camera_control": {"type": "simple", "config": {"pan": 5, "tilt": 5}}},
    {"multi_shot": True, "shot_type": "intelligence"},
    {"multi_shot": True, "shot_type": "customize", "multi_prompt": [{"prompt": "a", "duration": "5"}]},
    {"multi_shot": False, "shot_type": "intelligence"},
    {"image_list": [{"image_url": URL, "type": "first_frame"}], "aspect_ratio": None},
    {"video_list": [{"video_url": URL, "refer_type": "feature"}]},
    {"aspect_ratio": None},
]
OTHER_FEATURES: list[dict[str, Any]] = [
    {},
    {"image": URL},
    ELEMENTS,
    {"character_orientation": "image"},
    {"character_orientation": "image", **ELEMENTS},
    {"resolution": "2k", "n": 3},
    {"resolution": "4k"},
]
NAMES = [
    *MODELS,
    *("kling-v3-omni", "kling-video-o1", "kling-v2", "kling-v2-new", "kling-image-o1", "kling-v9"),
    None,
]
ITEMS: list[list[dict[str, Any]]] = [
    TWO_FRAMES,
    [*TWO_FRAMES, {"type": "last_frame", "url": URL}],
    [*TWO_FRAMES, {"type": "voice", "voice_id": "1"}],
    [*TWO_FRAMES, *[{"type": "voice", "voice_id": "1"}] * 3],
    [*TWO_FRAMES, *[{"type": "element", "element_id": 1}] * 2],
    [*TWO_FRAMES, {"type": "feature_video", "url": URL}],
    [{"type": "prompt", "text": "a"}],
    [{"type": "riddle"}],
    MOVING,
    [],
]


def _simulated(path: str, body: dict[str, Any]) -> Order | None:
    """What the simulator takes a create for; None where it refuses it."""
    try:
        if path in ENDPOINTS:
            return ENDPOINTS[path].rule(body)
        _, kind, model = path.split("/")
        return new_design.order(kind, model, body)
    except KlingError:
        return None


SECONDS = (None, "3", "10", 15)


def _combinations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, base in FAMILIES.items():
        features = FEATURES if path in (TEXT, IMAGE, OMNI) else OTHER_FEATURES
        every = itertools.product(NAMES, (None, "std", "pro", "4k", "ultra"), features)
        for number, (model, mode, feature) in enumerate(every):
            # All lengths of what has no feature; of all else, one after the other.
            for seconds in SECONDS if feature == {} else (SECONDS[number % 4],):
                chosen = {"model_name": model, "mode": mode, "duration": seconds, **feature}
                known = {name: value for name, value in chosen.items() if value is not None or name in base}
                yield path, {**base, **known}
    names = ("kling-3.0", "kling-3.0-turbo", "kling-2.6", "kling-2.5-turbo", "kling-3.0-omni", "kling-o1", "kling-4.0")
    resolutions, audios = (None, "1080p", "4k", "8k"), (None, "native", "original", "loud")
    of_new_design = itertools.product(new_design.MODELS, names, resolutions, audios, ITEMS)
    for number, (kind, model, resolution, audio, contents) in enumerate(of_new_design):
        settings = {"resolution": resolution, "duration": (None, 3, 10, "5")[number % 4], "audio": audio}
        yield f"/{kind}/{model}", {"prompt": "a", "contents": contents, "settings": settings}


def test_the_simulator_takes_for_each_create_what_the_list_says() -> None:
    odd: list[object] = []
    priced, refused = Counter[str](), Counter[str]()
    for path, body in _combinations():
        family = path if path in FAMILIES else path.split("/")[1]
        order = _simulated(path, body)
        units = order.units if order else None
        if order and units and family in (MOTION, "motion-control"):
            # The list does not know how long the motion is, which the simulator takes for short.
            longest = 10 if body.get("character_orientation") == "image" else 30
            units = units / order.seconds * longest
        cost = RECORDED_API.expected("POST", ORIGIN + path, body)
        (refused if order is None else priced)[family] += 1
        expected = None if units is None else (round(units, 4), prices.dollars(round(units, 4), path))
        if cost != expected:
            odd.append((path, body, expected, cost))
    assert odd == []
    assert {*priced} == {*refused} == {*FAMILIES, *new_design.MODELS}


def test_the_simulator_has_the_same_error_codes() -> None:
    assert CODES == kling_error.CODES
