"""Translation of OpenAI's creates to Kling's fields: each rule, each refusal with its field, no other exception."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from mitm_ai_proxy.chat.dialects import DIALECTS, OPENAI
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling import create
from mitm_ai_proxy.kling.create import Created
from mitm_ai_proxy.kling.document import Document
from mitm_ai_proxy.kling.ids import VideoParameters
from mitm_ai_proxy.kling.models import MODELS, RESTRICTED
from mitm_ai_proxy.wire import json_edit
from mitm_ai_proxy.wire.multipart import File
from tests.tables import table


def _any(*values: Any) -> tuple[Any, ...]:
    """Values of all types, for a table."""
    return values


def _png(width: int = 300, height: int = 300) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PICTURE = base64.b64encode(_png()).decode()
URL = "https://a.test/b.png"
DATA = f"data:image/png;base64,{PICTURE}"
SORA = {"model_name": "kling-v3", "mode": "std", "duration": "4"}
PORTRAIT = {**SORA, "aspect_ratio": "9:16"}


def _run(body: str, model: str | None = None) -> tuple[dict[str, Any], Created, bytes]:
    raw = body.encode("utf-8", "surrogatepass")
    document = Document.from_json(raw, json_edit.members(raw))
    asked = document.text("model") or document.text("model_name") or ""
    created = create.translate(document, asked, model)
    sent = document.body()
    return json.loads(sent), created, sent


def _sent(fields: dict[str, Any], model: str | None = None) -> dict[str, Any]:
    return _run(json.dumps({"prompt": "p", **fields}), model)[0]


def _refusal(fields: dict[str, Any], model: str | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        _run(json.dumps({"prompt": "p", **fields}), model)
    return caught.value


@table(
    ("fields", "sent"),
    [
        # Sora's defaults
        ({}, PORTRAIT),
        ({"model": None}, PORTRAIT),
        ({"model": ""}, PORTRAIT),
        ({"model": "sora-2"}, PORTRAIT),
        ({"model": "sora-2-2025-12-08"}, PORTRAIT),
        ({"model": "sora-2-pro"}, {**PORTRAIT, "mode": "pro"}),
        ({"model_name": "sora-2"}, PORTRAIT),
        # Others go as they are, with Kling's own defaults
        ({"model": "kling-v2-6"}, {"model_name": "kling-v2-6"}),
        ({"model": "kling-v9"}, {"model_name": "kling-v9"}),
        ({"model": "a", "model_name": "b"}, {"model_name": "a"}),
        # seconds
        ({"seconds": "8"}, {**PORTRAIT, "duration": "8"}),
        ({"seconds": 12}, {**PORTRAIT, "duration": "12"}),
        ({"seconds": " 15 "}, {**PORTRAIT, "duration": "15"}),
        ({"seconds": "1"}, {**PORTRAIT, "duration": "3"}),
        ({"seconds": None}, PORTRAIT),
        ({"model": "kling-v2-6", "seconds": "4"}, {"model_name": "kling-v2-6", "duration": "5"}),
        ({"model": "kling-v2-6", "seconds": "8"}, {"model_name": "kling-v2-6", "duration": "10"}),
        ({"model": "kling-v9", "seconds": "77"}, {"model_name": "kling-v9", "duration": "77"}),
        ({"duration": 10}, {**PORTRAIT, "duration": "10"}),
        ({"seconds": 8.0}, {**PORTRAIT, "duration": "8"}),
        ({"seconds": "8.0"}, {**PORTRAIT, "duration": "8"}),
        ({"seconds": 1e1}, {**PORTRAIT, "duration": "10"}),
        ({"duration": 10.0}, {**PORTRAIT, "duration": "10"}),
        ({"duration": "10.00"}, {**PORTRAIT, "duration": "10"}),
        # size
        ({"size": "1280x720"}, {**PORTRAIT, "aspect_ratio": "16:9"}),
        ({"size": "1792x1024"}, {**PORTRAIT, "aspect_ratio": "16:9", "mode": "pro"}),
        ({"size": "1024x1792"}, {**PORTRAIT, "mode": "pro"}),
        ({"size": "3840x2160"}, {**PORTRAIT, "aspect_ratio": "16:9", "mode": "4k"}),
        ({"size": "720x720"}, {**PORTRAIT, "aspect_ratio": "1:1"}),
        ({"size": None}, PORTRAIT),
        ({"model": "sora-2-pro", "size": "1280x720"}, {**PORTRAIT, "aspect_ratio": "16:9", "mode": "pro"}),
        ({"model": "sora-2-pro", "size": "3840x2160"}, {**PORTRAIT, "aspect_ratio": "16:9", "mode": "4k"}),
        ({"size": "1792x1024", "mode": "std"}, {**PORTRAIT, "aspect_ratio": "16:9"}),
        (
            {"model": "sora-2", "aspect_ratio": "1:1"},
            {"model_name": "kling-v3", "aspect_ratio": "1:1", "duration": "4", "mode": "std"},
        ),
        ({"model": "kling-v2-master", "size": "1280x720"}, {"model_name": "kling-v2-master", "aspect_ratio": "16:9"}),
        # the picture
        ({"model": "sora-2", "input_reference": URL}, {**SORA, "image": URL}),
        ({"model": "sora-2", "input_reference": DATA}, {**SORA, "image": PICTURE}),
        ({"model": "sora-2", "input_reference": {"image_url": URL}}, {**SORA, "image": URL}),
        ({"model": "sora-2", "input_reference": {"image_url": DATA}}, {**SORA, "image": PICTURE}),
        ({"model": "sora-2", "input_reference": PICTURE}, {**SORA, "image": PICTURE}),
        ({"input_reference": None}, PORTRAIT),
        ({"input_reference": URL, "size": "1792x1024"}, {**SORA, "image": URL, "mode": "pro"}),
        ({"model": "sora-2", "image": URL, "aspect_ratio": "16:9"}, {**SORA, "image": URL}),
        ({"model": "sora-2", "input_reference": URL, "prompt": None}, {**SORA, "image": URL, "prompt": None}),
        # Kling's own fields, flat or in metadata
        ({"metadata": {"negative_prompt": "n", "sound": "true"}}, {**PORTRAIT, "negative_prompt": "n", "sound": "on"}),
        ({"metadata": {}}, PORTRAIT),
        ({"metadata": None}, PORTRAIT),
        ({"metadata": '{"negative_prompt": "n"}'}, {**PORTRAIT, "negative_prompt": "n"}),
        ({"cfg_scale": "0.5"}, PORTRAIT),
        ({"model": "kling-v1", "cfg_scale": "0.5"}, {"model_name": "kling-v1", "cfg_scale": 0.5}),
        ({"watermark_info": {"enabled": "false"}}, {**PORTRAIT, "watermark_info": {"enabled": False}}),
        ({"watermark_info": {"enabled": 1}}, {**PORTRAIT, "watermark_info": {"enabled": True}}),
        ({"duration": None}, PORTRAIT),
        ({"duration": None, "seconds": "8"}, {**PORTRAIT, "duration": "8"}),
        ({"nobody_knows": [1]}, {**PORTRAIT, "nobody_knows": [1]}),
    ],
)
def test_a_create_is_translated_to_kling_s_fields(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    got = _sent(fields)

    assert got == {"prompt": "p", **sent}
    assert all(type(got[name]) is type(value) for name, value in sent.items())
    assert json.dumps(got.get("watermark_info")) == json.dumps(sent.get("watermark_info"))


@table(
    ("model", "sent"),
    [
        ("kling-v2-6", {"model_name": "kling-v2-6", "aspect_ratio": "9:16", "mode": "std", "duration": "5"}),
        ("kling-v2-master", {"model_name": "kling-v2-master", "aspect_ratio": "9:16", "duration": "5"}),
        ("another", {"model_name": "another", "aspect_ratio": "9:16", "mode": "std", "duration": "4"}),
    ],
)
def test_a_sora_model_that_is_mapped_keeps_sora_s_defaults(model: str, sent: dict[str, Any]) -> None:
    assert _sent({"model": "sora-2"}, model) == {"prompt": "p", **sent}


@table(
    ("fields", "param"),
    [
        *(
            ({"seconds": value}, "seconds")
            for value in _any(
                *("", "0", "-4", "+4", "4.5", "4.", "4s", "٣", "²", "\uff14", "1_0", "601", "9" * 30, "9" * 5000),
                *("000001" + "9" * 5000, 0, -1, 4.5, 0.0, True, [], {}, [4], 16, "20"),
            )
        ),
        ({"model": "kling-v2-6", "seconds": "12"}, "seconds"),
        ({"seconds": "4", "duration": "4"}, "seconds"),
        ({"duration": "99"}, "duration"),
        ({"duration": "²"}, "duration"),
        *(
            ({"size": value}, "size")
            for value in _any("", "1x1", "1280X720", " 1280x720", "²", 1280, [], {}, True, "x" * 9999)
        ),
        ({"model": "kling-v2-6", "size": "3840x2160"}, "size"),
        *(
            ({"input_reference": value}, "input_reference")
            for value in (
                *("x", "file.png", "ftp://a.test/b", "http://", "data:,", "data:image/png;base64,AAAA", "AAAA"),
                *(5, True, [URL, DATA], {"image_url": None}, {"image_url": 5}, {"image_url": {"url": [URL]}}),
                *({"file_id": "f"}, {"file_id": "f", "image_url": URL}, {"0": "137", "1": "80"}, {"²": "1"}, {"x": 1}),
                "data:image/webp;base64," + base64.b64encode(b"RIFF0000WEBP").decode(),
            )
        ),
        ({"input_reference": URL, "image": DATA}, "input_reference"),
        *(({"metadata": value}, "metadata") for value in _any("", "x", "[]", "{", 5, True, [], [{}])),
        ({"metadata": {"prompt": "q"}}, "metadata.prompt"),
        ({"metadata": {"model": "m"}}, "metadata.model"),
        ({"metadata": {"model_name": "m"}}, "metadata.model_name"),
        ({"metadata": {"seconds": "4"}}, "metadata.seconds"),
        ({"metadata": {"metadata": {}}}, "metadata.metadata"),
        ({"metadata": {"input_reference": URL}}, "metadata.input_reference"),
        ({"metadata": {"cfg_scale": "x"}}, "cfg_scale"),
        *(({"prompt": value}, "prompt") for value in _any(None, "", " \n", "x" * 2501, 5, [], {})),
        ({"input_reference": URL, "prompt": "x" * 2501}, "prompt"),
        ({"mode": "professional"}, "mode"),
        ({"mode": 5}, "mode"),
        ({"mode": "x" * 9999}, "mode"),
        ({"model": 5}, "model"),
        ({"model": "kling-v2-1"}, "model"),
        ({"model": "kling-v1-5"}, "model"),
        ({"model": "kling-v2-6", "sound": "on"}, "sound"),
        ({"model": "kling-v2-5-turbo", "mode": "pro", "sound": "on"}, "sound"),
        ({"model": "kling-v2-6", "image": URL, "image_tail": URL}, "image_tail"),
        ({"model": "kling-v2-master", "image": URL, "image_tail": URL}, "image_tail"),
        ({"camera_control": {"type": "simple"}}, "camera_control"),
        ({"model": "kling-v2-6", "multi_shot": True}, "multi_shot"),
        ({"model": "kling-v2-master", "mode": "pro"}, "mode"),
    ],
)
def test_what_kling_cannot_do_is_refused_by_its_field_in_few_words(fields: dict[str, Any], param: str) -> None:
    refusal = _refusal(fields)

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_body", param)
    assert len(refusal.message) < 200
    assert not refusal.message.endswith("is none of .")


def test_a_prompt_of_the_longest_length_is_taken_and_counted_in_characters() -> None:
    assert _sent({"prompt": "\U0001f3ac" * 2500})["prompt"] == "\U0001f3ac" * 2500


@table("name", MODELS)
def test_nothing_goes_to_a_model_that_it_does_not_take(name: str) -> None:
    row = MODELS[name]
    values: dict[str, Any] = {
        "static_mask": URL,
        "dynamic_masks": [],
        "multi_shot": True,
        "shot_type": "customize",
        "multi_prompt": [],
        "element_list": [],
        "camera_control": {},
        "voice_list": [],
        "cfg_scale": 0.5,
    }
    assert values.keys() == RESTRICTED
    for field, value in values.items():
        fields = {"model": name, "image": URL, field: value}
        if field in row.only:
            assert _sent(fields)[field] == value
        elif field == "cfg_scale":
            assert field not in _sent(fields)
        else:
            assert _refusal(fields).param == field
        # What is switched off is harmless.
        assert field in row.only or _sent({**fields, field: None})


def test_a_model_without_modes_gets_none_whatever_the_size() -> None:
    for size in ("1280x720", "1792x1024"):
        assert "mode" not in _sent({"model": "kling-v2-1-master", "size": size})
    assert _sent({"model": "kling-v2-1-master", "mode": None}).get("mode") is None


@table(
    ("fields", "parameters"),
    [
        ({}, VideoParameters("kling-v3", "4", "720x1280")),
        ({"model": "sora-2-pro", "seconds": "8", "size": "1280x720"}, VideoParameters("sora-2-pro", "8", "1280x720")),
        ({"model": "kling-v2-6"}, VideoParameters("kling-v2-6", "5", "1280x720")),
        (
            {"model": "kling-v2-6", "mode": "pro", "aspect_ratio": "1:1"},
            VideoParameters("kling-v2-6", "5", "1080x1080"),
        ),
        ({"model": "kling-v2-6", "seconds": "4"}, VideoParameters("kling-v2-6", "5", "1280x720")),
        ({"model": "kling-v2-6", "aspect_ratio": "7:3"}, VideoParameters("kling-v2-6", "5", "")),
        ({"model": "kling-v2-6", "image": URL}, VideoParameters("kling-v2-6", "5", "")),
        ({"model": "kling-v2-6", "image": URL, "size": "1280x720"}, VideoParameters("kling-v2-6", "5", "1280x720")),
        ({"model": "kling-v2-6", "duration": None}, VideoParameters("kling-v2-6", "5", "1280x720")),
    ],
)
def test_the_parameters_say_what_was_asked_for(fields: dict[str, Any], parameters: VideoParameters) -> None:
    _, created, _ = _run(json.dumps({"prompt": "p", **fields}))

    assert (created.parameters, created.prompt) == (parameters, "p")


def test_what_need_not_change_stays_to_the_byte() -> None:
    rest = f'"n":1.50,"cfg_scale":0.50,"image":"{PICTURE}","seed":1E400}}'
    sent = _run('{"prompt" : "\\u00e9\\/é", "model":"kling-v9" , ' + rest)[2]

    assert sent == ('{"prompt":"\\u00e9\\/é","model_name":"kling-v9",' + rest).encode()


def test_decisions_are_noted_and_no_note_holds_a_prompt_or_a_picture() -> None:
    _, created, _ = _run(
        json.dumps({"prompt": "secret", "model": "sora-2", "seconds": "8", "size": "1280x720", "input_reference": DATA})
    )

    assert "model sora-2 became kling-v3" in created.notes
    assert "seconds 8 became duration 8" in created.notes
    assert not [note for note in created.notes if "secret" in note or len(note) > 100]


def test_a_file_is_a_picture_whatever_its_name_and_type() -> None:
    assert create.picture_of(File("x", "", _png()), "image") == PICTURE
    for data in (b"", b"x", b"GIF89a", _png(299, 300), _png(300, 751)):
        with pytest.raises(Refusal) as caught:
            create.picture_of(File("x.png", "image/png", data), "image_tail")
        assert caught.value.param == "image_tail"


WRONG: list[Any] = [
    {"a": {"b": []}},
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "²",
    "\ud800",
    "x" * 3000,
    [],
    [[]],
    [None],
    [{}],
    {},
]
NAMES = (
    "model model_name prompt negative_prompt image image_tail static_mask mode aspect_ratio callback_url shot_type"
    " external_task_id duration sound cfg_scale multi_shot multi_prompt voice_list element_list image_list video_list"
    " camera_control dynamic_masks watermark_info seconds size input_reference metadata unknown"
).split()


@table("name", NAMES)
@table("model", ["sora-2", "kling-v1", "kling-v2-master", "kling-v3", "other"])
def test_no_value_of_any_field_raises_but_a_refusal(name: str, model: str) -> None:
    for value in WRONG:
        for fields in ({name: value}, {"metadata": {name: value}}):
            try:
                sent = _run(json.dumps({"prompt": "p", "model": model, **fields}))[2]
            except Refusal as refusal:
                assert refusal.status == 400  # noqa: PT017
                assert len(refusal.message) < 300  # noqa: PT017
                DIALECTS[OPENAI].refusal(refusal)
            else:
                assert not {"seconds", "size", "metadata", "input_reference", "model"} & json.loads(sent).keys()


@table("name", [name for name in NAMES if name != "unknown"])
def test_a_field_that_is_read_may_not_stand_twice(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        _run(f'{{"prompt":"p","model":"sora-2","{name}":"1","{name}":"1"}}')

    assert caught.value.param == name
