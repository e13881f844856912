"""Pictures under all names and in all shapes: one decision for all clients, in JSON and in forms."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import struct
import zlib
from typing import Any
from urllib.parse import urlencode

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Caller, Head, NeedsBody, Upstream
from mitm_ai_proxy.kling.job import Job
from mitm_ai_proxy.kling.picture_fields import NAMES
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from tests.tables import table
from tests.upstream_of import rewritten

JSON, FORM, URL_ENCODED = "application/json", "multipart/form-data; boundary=B", "application/x-www-form-urlencoded"


def _png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 300, 300, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(90300))) + chunk(b"IEND", b"")
    )


PNG = _png()
PICTURE = base64.b64encode(PNG).decode()
DATA = f"data:image/png;base64,{PICTURE}"
WRAPPED = base64.encodebytes(PNG).decode()
A, B, C = (f"https://a.test/{name}.png" for name in "abc")
FIRST = [name for name, field in NAMES.items() if field == "image"]
LAST = [name for name, field in NAMES.items() if field == "image_tail"]
LISTS = [name for name, field in NAMES.items() if not field]
KINDS = ("native", "sdk", "key")


@functools.cache
def _kling(api: str) -> Kling:
    return Kling(KlingKeys("kling", api_tokens=(Secret("t"),), kling_api=api), lambda: 0)


def _sent(
    fields: dict[str, Any] | bytes, kind: str = "sdk", content_type: str = JSON, api: str = "legacy"
) -> tuple[Upstream, dict[str, Any]]:
    """The upstream request of a create, and its body."""
    caller = Caller(content_type, is_openai_sdk=kind == "sdk", idempotency_key="k" * (kind == "key"))
    needs = _kling(api).requestheaders(Head("POST", "/v1/videos", caller))
    assert isinstance(needs, NeedsBody)
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    upstream = rewritten(needs, body)
    assert upstream.body is not None
    sent = json.loads(upstream.body)
    sent.pop("external_task_id", None)
    return upstream, sent


def _create(fields: dict[str, Any], kind: str = "sdk") -> dict[str, Any]:
    """What Kling gets of a create in JSON beside model and prompt, with the kind of its task."""
    upstream, sent = _sent({"model": "kling-v3", "prompt": "p", **fields}, kind)
    job = Job.of(upstream.memo)
    assert job
    assert upstream.target == f"/v1/videos/{job.kind}"
    assert (sent.pop("model_name"), sent.pop("prompt")) == ("kling-v3", "p")
    assert (job.kind == "image2video") == bool({"image", "image_tail"} & sent.keys())
    return sent


def _refused(fields: dict[str, Any] | bytes, kind: str = "sdk", content_type: str = JSON) -> Refusal:
    if isinstance(fields, dict):
        fields = {"model": "kling-v3", "prompt": "p", **fields}
    with pytest.raises(Refusal) as caught:
        _sent(fields, kind, content_type)
    assert (caught.value.status, caught.value.code) == (400, "invalid_body")
    assert len(caught.value.message) < 250
    return caught.value


def _form(*parts: tuple[str, Any], **fields: str) -> bytes:
    """A form; a value is text, the bytes of a file, or (file name, type, bytes), where None is no file name."""
    body = b""
    for name, value in [*fields.items(), *parts]:
        more = ""
        if isinstance(value, bytes):
            value = ("a.png", "image/png", value)
        if isinstance(value, tuple):
            filename, content_type, value = value
            more = "" if filename is None else f'; filename="{filename}"'
            more += f"\r\nContent-Type: {content_type}"
        data = value.encode() if isinstance(value, str) else value
        body += f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return body + b"--B--\r\n"


def _of_form(*parts: tuple[str, Any], kind: str = "sdk") -> dict[str, Any]:
    """As _create(), for a form."""
    upstream, sent = _sent(_form(("model", "kling-v3"), ("prompt", "p"), *parts), kind, FORM)
    assert (sent.pop("model_name"), sent.pop("prompt")) == ("kling-v3", "p")
    kind = "image2video" if {"image", "image_tail"} & sent.keys() else "text2video"
    assert upstream.target == f"/v1/videos/{kind}"
    return sent


@table(("number", "name"), enumerate(FIRST + LAST + LISTS))
def test_a_picture_under_any_name_gets_klings(number: int, name: str) -> None:
    field = NAMES[name] or "image"
    # Each value under each name, each name from each kind of client.
    kinds = itertools.islice(itertools.cycle(KINDS), number, None)
    values: tuple[Any, ...] = (
        A,
        [A],
        {"url": A},
        {"image_url": {"url": A}},
        [{"type": "image_url", "image_url": {"url": A}}],
    )
    for value in values:
        assert _create({name: value}, next(kinds)) == {field: A}
    values = (None, "", " ", [], {}, [None], [""], "null", "[]")
    for value in values:
        assert _create({name: value}, kind := next(kinds)) == {}
        assert _create({name: value, "image": A}, kind) == {"image": A}


@table("kind", KINDS)
@table(
    ("fields", "sent"),
    [
        *(({name: [A, B]}, {"image": A, "image_tail": B}) for name in LISTS),
        *(({"image": A, name: B}, {"image": A, "image_tail": B}) for name in LAST),
        *(({name: A, "last_frame_image": B}, {"image": A, "image_tail": B}) for name in FIRST),
        # The same picture twice is one.
        ({"image": A, "image_url": A, "images": [A]}, {"image": A}),
        ({"image": A, "images": [A, B]}, {"image": A, "image_tail": B}),
        ({"images": [A, B], "image_tail": B}, {"image": A, "image_tail": B}),
        ({"images": [A], "image_tail": B}, {"image": A, "image_tail": B}),
        ({"images": [A, None]}, {"image": A}),
        ({"images": [A, ""]}, {"image": A}),
        ({"images": {"0": A, "1": B}}, {"image": A, "image_tail": B}),
        ({"images": {"1": B, "0": A}}, {"image": A, "image_tail": B}),
        ({"images": [{"image": A}, {"url": B}]}, {"image": A, "image_tail": B}),
        ({"images": [{"data": DATA}, WRAPPED]}, {"image": PICTURE, "image_tail": PICTURE}),
        ({"images": A}, {"image": A}),
        ({"images": f'["{A}", "{B}"]'}, {"image": A, "image_tail": B}),
        # Roles
        (
            {
                "frame_images": [
                    {"image_url": {"url": B}, "frame_type": "last_frame"},
                    {"url": A, "role": "first_frame"},
                ]
            },
            {"image": A, "image_tail": B},
        ),
        ({"frame_images": [{"image_url": {"url": B}, "frame_type": "last_frame"}]}, {"image_tail": B}),
        ({"image": None, "image_url": "", "images": [], "image_tail": None}, {}),
        ({"image_tail": None, "image": A}, {"image": A}),
        ({"static_mask": None, "image": A}, {"image": A}),
        ({"input_references": [], "reference_images": None}, {}),
    ],
)
def test_pictures_that_are_certain_are_translated(fields: dict[str, Any], sent: dict[str, Any], kind: str) -> None:
    assert _create(fields, kind) == sent


@table("kind", KINDS)
@table(
    ("fields", "param"),
    [
        ({"image_url": A, "image": B}, "image_url"),
        ({"image": B, "image_url": A}, "image_url"),
        ({"image": DATA, "images": [A, B]}, "images"),
        ({"image_url": A, "images": [B]}, "images"),
        ({"image_tail": A, "last_frame_image": B}, "last_frame_image"),
        ({"images": [A, B], "image_tail": C}, "images"),
        ({"images": [A, B, C]}, "images"),
        ({"images": [None, B]}, "images"),
        ({"images": ["", B]}, "images"),
        ({"images": [[A]]}, "images"),
        ({"images": [{"url": A, "frame_type": "last_frame"}, {"url": B, "frame_type": "last_frame"}]}, "images"),
        ({"images": [{"url": A, "role": "reference_image"}]}, "images"),
        *(
            ({name: value}, name)
            for name in ("image_url", "input_image", "last_frame_image", "images", "imageUrl")
            for value in (0, 5, 1.5, True, False, [5], {"a": A}, {"url": 5}, {"url": A, "data": A}, {"url": None})
        ),
        *(({name: [A, B]}, name) for name in ("image", "image_url", "image_tail", "input_reference")),
        *(({name: {"file_id": "f"}}, name) for name in ("image", "images", "input_reference")),
        *(({name: {"url": A, "strength": 1}}, name) for name in ("image", "images")),
        ({"image_url": {"url": A, "role": "last_frame"}}, "image_url"),
        *(({name: DATA.replace(";base64", "")}, name) for name in ("image", "image_tail", "static_mask", "image_url")),
        ({"image": "data:image/png;base64,%%%"}, "image"),
        ({"dynamic_masks": [{"mask": "data:,x"}]}, "dynamic_masks"),
        ({"input_references": [A]}, "input_references"),
        ({"reference_images": [A]}, "reference_images"),
    ],
)
def test_pictures_that_are_not_certain_are_refused_by_their_field(
    fields: dict[str, Any], param: str, kind: str
) -> None:
    if "dynamic_masks" in fields:
        fields = {**fields, "image": A, "model": "kling-v1"}
    assert _refused(fields, kind).param == param


@table("kind", KINDS)
def test_a_picture_that_stands_twice_is_refused(kind: str) -> None:
    for name in ("image", "image_url", "images"):
        body = f'{{"model":"kling-v3","prompt":"p","{name}":"{A}","{name}":"{A}"}}'.encode()
        assert _refused(body, kind).param == name


@table(
    ("body", "sent"),
    [
        # Renamed in place
        ('{ "a":1.50 , "image_url" : "U\\u002f" ,"b":[ ] }\n', '{ "a":1.50 , "image" : "U\\u002f" ,"b":[ ] }\n'),
        ('{"imageUrl":"U"}', '{"image":"U"}'),
        ('{"images":["U","V"], "b":1}', '{"image":"U","image_tail":"V", "b":1}'),
        ('{"a":1, "images": [ "U" ] }', '{"a":1, "image": "U" }'),
        ('{"image":{"url":"U"},"b":1E2}', '{"image":"U","b":1E2}'),
        # Removed
        ('{"image":null}', "{}"),
        ('{"a":1, "image":null, "images":[], "image_tail":""}', '{"a":1}'),
        ('{"image":null, "a":1, "images":[]}', '{"a":1}'),
        ('{"image":null,"image_url":"U"}', '{"image":"U"}'),
        ('{"image":"U","images":["U","V"]}', '{"image":"U","image_tail":"V"}'),
        ('{"model":"m","model_name":"x","image":null}', '{"model_name":"m"}'),
        ('{"model_name":"x","image":null,"model":"m"}', '{"model_name":"m"}'),
        ('{"model":"m", "image_url":"U","image":""}', '{"model_name":"m", "image":"U"}'),
        # Plain base64
        ('{"image":"data:image/png;base64,QUJD" , "x":0.50}', '{"image":"QUJD" , "x":0.50}'),
        ('{"image":"DATA:;base64,QU\\r\\nJD\\n"}', '{"image":"QUJD"}'),
        ('{"image":"\\u0064ata:;base64,QUJD"}', '{"image":"QUJD"}'),
        ('{"image":"QU\\nJD"}', '{"image":"QUJD"}'),
        ('{"image":"QU JD"}', '{"image":"QUJD"}'),
        ('{"image":"data:image\\/png;base64,\\/\\/\\/\\/"}', '{"image":"////"}'),
        ('{"image":"U","static_mask":"data:;base64,QUJD"}', '{"image":"U","static_mask":"QUJD"}'),
        (
            '{"dynamic_masks":[ {"mask" : "data:;base64,QUJD","trajectories":[{"x":1.50}]},{"mask":"U"}]}',
            '{"dynamic_masks":[ {"mask" : "QUJD","trajectories":[{"x":1.50}]},{"mask":"U"}]}',
        ),
        (
            '{"image_list":[{"image":"data:;base64,QUJD"},{"image_url":"QU\\nJD"}]}',
            '{"image_list":[{"image":"QUJD"},{"image_url":"QUJD"}]}',
        ),
        # As it was
        *(
            (body, body)
            for body in (
                '{ "image" : "https:\\/\\/a.test\\/b c" }',
                '{"image":"iVBORw0K\\/\\/\\/","image_tail" :"x"}',
                '{"image":"not base64 at all\\n"}',
                '{"image":"\\ud800 "}',
                '{"image":1,"image_tail":false}',
                '{"image_list":[{"image":"https://a.test/b"}],"dynamic_masks":[{"mask":"QUJD"}]}',
                '{"dynamic_masks":"data:x","image_list":5}',
                '{"a":{"image_url":"U","images":[]},"Image_url":1,"images ":2}',
                '{"dynamic_masks":[{"note":"\\"mask\\":\\"data:,\\""}]}',
            )
        ),
    ],
)
def test_a_native_body_changes_only_where_it_has_to(body: str, sent: str) -> None:
    upstream, _ = _sent(body.encode(), "native")

    assert upstream.body == sent.encode()


@table("kind", KINDS)
@table(
    "text", [PICTURE, DATA, WRAPPED, f"data:image/png;base64,{WRAPPED}", WRAPPED.replace("\n", "\r\n"), f" {DATA}\n"]
)
def test_a_picture_in_base64_is_plain_in_every_field(text: str, kind: str) -> None:
    for name in ("image", "image_url", "images", "input_reference", "image_tail", "last_frame"):
        assert _create({name: text}, kind) == {NAMES[name] or "image": PICTURE}
    masks = {"model": "kling-v1", "image": A}
    for fields, path in (
        ({"static_mask": text}, ("static_mask",)),
        ({"dynamic_masks": [{"mask": A}, {"mask": text, "trajectories": []}]}, ("dynamic_masks", 1, "mask")),
        ({"image_list": [{"image": text}]}, ("image_list", 0, "image")),
        ({"image_list": [{"image_url": text}]}, ("image_list", 0, "image_url")),
    ):
        found: Any = _sent({"prompt": "p", **masks, **fields}, kind)[1]
        for step in path:
            found = found[step]
        assert found == PICTURE


@table("text", [PICTURE, DATA, WRAPPED, f"data:image/png;base64,{WRAPPED}", PNG])
@table(
    ("name", "field"),
    [
        ("image", "image"),
        ("image[]", "image"),
        ("image[0]", "image"),
        ("image[file]", "image"),
        ("image[url]", "image"),
        ("image.file", "image"),
        ("image_url", "image"),
        ("images", "image"),
        ("images[]", "image"),
        ("images[0]", "image"),
        ("images[0][image]", "image"),
        ("images[][url]", "image"),
        ("images.0.url", "image"),
        ("images[0].url", "image"),
        ("input_reference", "image"),
        ("input_reference[]", "image"),
        ("input_reference[0]", "image"),
        ("input_reference[image_url]", "image"),
        ("input_reference[image_url][url]", "image"),
        ("metadata[image]", "image"),
        ("metadata[images][]", "image"),
        ("metadata.image", "image"),
        ("image_tail", "image_tail"),
        ("image_tail[]", "image_tail"),
        ("last_frame[file]", "image_tail"),
        ("metadata[image_tail]", "image_tail"),
        ("metadata[end_image][]", "image_tail"),
    ],
)
def test_a_picture_in_a_form_is_found_wherever_it_is_certain(name: str, field: str, text: Any) -> None:
    assert _of_form((name, text)) == {field: PICTURE}


@table(
    ("parts", "sent"),
    [
        ([("images", PNG), ("images", B)], {"image": PICTURE, "image_tail": B}),
        ([("images[]", PNG), ("images[]", B)], {"image": PICTURE, "image_tail": B}),
        ([("images[1]", B), ("images[0]", PNG)], {"image": PICTURE, "image_tail": B}),
        ([("image_urls", A), ("image_urls", B)], {"image": A, "image_tail": B}),
        ([("images", f'["{A}","{B}"]')], {"image": A, "image_tail": B}),
        ([("images", ("blob", JSON, f'["{A}"]'))], {"image": A}),
        ([("input_reference", f'{{"image_url":"{A}"}}')], {"image": A}),
        ([("input_reference", (None, JSON, f'{{"image_url":"{A}"}}'))], {"image": A}),
        ([("input_reference", PNG), ("image_tail", PNG)], {"image": PICTURE, "image_tail": PICTURE}),
        ([("input_reference", PNG), ("image", PNG)], {"image": PICTURE}),
        # No picture
        *(
            ([(name, value)], {})
            for name in ("image", "images", "images[]", "image_tail", "input_reference")
            for value in ("", "null", "[]", "{}", ("", "application/octet-stream", b""), (None, JSON, "null"))
        ),
        ([("image", ""), ("input_reference", PNG)], {"image": PICTURE}),
    ],
)
def test_pictures_of_a_form_are_understood(parts: list[tuple[str, Any]], sent: dict[str, Any]) -> None:
    assert _of_form(*parts) == sent
    assert _of_form(*parts, kind="native") == sent


@table("kind", KINDS)
@table(
    ("parts", "param"),
    [
        ([("x[y][0]", PNG)], "x[y][0]"),
        ([("x", PNG)], "x"),
        ([("metadata", PNG)], "metadata"),
        ([("metadata[]", PNG)], "metadata[]"),
        ([("metadata[x]", PNG)], "metadata[x]"),
        ([("metadata[x][image]", PNG)], "metadata[x][image]"),
        ([("prompt[]", PNG)], "prompt[]"),
        ([("multi_prompt[0][prompt]", PNG)], "multi_prompt[0][prompt]"),
        ([("dynamic_masks[0][trajectories]", PNG)], "dynamic_masks[0][trajectories]"),
        ([("camera_control[config]", PNG)], "camera_control[config]"),
        ([("image[foo]", PNG)], "image"),
        ([("image[0][0]", PNG)], "image"),
        ([("images[0]", PNG), ("images[1]", A), ("images[2]", A)], "images"),
        ([("image[]", PNG), ("image[]", A)], "image"),
        ([("images[0]", PNG), ("images[]", PNG)], "images"),
        ([("image", PNG), ("image", PNG)], "image"),
        ([("image", PNG), ("input_reference", A)], "input_reference"),
        ([("images[]", b"GIF89a")], "images[]"),
        ([("metadata[image]", b"x")], "metadata[image]"),
        ([("image", ("a.png", "image/png", b""))], "image"),
        ([("x" * 500 + "[y]", PNG)], "x" * 80),
        ([("input_reference[0]", "137"), ("input_reference[1]", "80")], "input_reference"),
    ],
)
def test_a_file_in_any_other_field_is_refused_by_the_field(parts: list[tuple[str, Any]], param: str, kind: str) -> None:
    assert _refused(_form(("model", "kling-v3"), *parts), kind, FORM).param == param


def test_files_are_pictures_of_masks_too() -> None:
    _, sent = _sent(
        _form(
            ("model", "kling-v1"),
            ("image", PNG),
            ("static_mask", PNG),
            ("dynamic_masks[0][mask]", PNG),
            ("dynamic_masks[0][trajectories][0][x]", "1"),
            ("dynamic_masks[0][trajectories][0][y]", "2.5"),
            ("dynamic_masks[1][mask]", DATA),
        ),
        "sdk",
        FORM,
    )

    assert (sent["image"], sent["static_mask"]) == (PICTURE, PICTURE)
    assert sent["dynamic_masks"] == [{"mask": PICTURE, "trajectories": [{"x": 1, "y": 2.5}]}, {"mask": PICTURE}]


SHOTS = [{"index": 1, "prompt": "a", "duration": "2"}, {"index": 2, "prompt": "b", "duration": "3"}]


@table(
    ("parts", "name", "value"),
    [
        *(
            (
                [
                    (name.format(i=place + start, k=key), str(value))
                    for place, shot in enumerate(SHOTS)
                    for key, value in shot.items()
                ],
                "multi_prompt",
                SHOTS,
            )
            for start in (0, 1, 9)
            for name in (
                "multi_prompt[{i}][{k}]",
                "multi_prompt[][{k}]",
                "multi_prompt[{i}].{k}",
                "multi_prompt.{i}.{k}",
                "metadata[multi_prompt][{i}][{k}]",
                "metadata.multi_prompt[{i}].{k}",
            )
        ),
        *(
            ([(name, value)], "multi_prompt", SHOTS)
            for text in (json.dumps(SHOTS), f" {json.dumps(SHOTS, indent=1)}\n")
            for name in ("multi_prompt", "metadata[multi_prompt]")
            for value in (text, (None, JSON, text), ("blob", f"{JSON}; charset=utf-8", text))
        ),
        ([("multi_prompt[]", json.dumps(shot)) for shot in SHOTS], "multi_prompt", SHOTS),
        ([("multi_prompt", json.dumps(shot)) for shot in SHOTS], "multi_prompt", SHOTS),
        (
            [(f"multi_prompt[{place}]", (None, JSON, json.dumps(shot))) for place, shot in enumerate(SHOTS)],
            "multi_prompt",
            SHOTS,
        ),
        ([("metadata", json.dumps({"multi_prompt": SHOTS}))], "multi_prompt", SHOTS),
        ([("metadata", (None, JSON, json.dumps({"multi_prompt": SHOTS})))], "multi_prompt", SHOTS),
        ([("metadata", '{"negative_prompt":"blur"}')], "negative_prompt", "blur"),
        ([("metadata.negative_prompt", "blur")], "negative_prompt", "blur"),
        ([("negative_prompt", (None, JSON, '"blur"'))], "negative_prompt", "blur"),
        ([("negative_prompt", (None, JSON, "blur"))], "negative_prompt", "blur"),
        ([("negative_prompt", (None, "text/plain", '"blur"'))], "negative_prompt", '"blur"'),
        ([("seconds", (None, JSON, "4"))], "duration", "4"),
        ([("seconds", "4.0")], "duration", "4"),
        ([("watermark_info", '{"enabled": "true"}')], "watermark_info", {"enabled": True}),
        ([("watermark_info.enabled", "true")], "watermark_info", {"enabled": True}),
        ([("element_list[0][element_id]", "829836802793406551")], "element_list", [{"element_id": 829836802793406551}]),
        ([("element_list[0].element_id", "7.0")], "element_list", [{"element_id": 7}]),
        ([("element_list", '[{"element_id":"7"}]')], "element_list", [{"element_id": 7}]),
        ([("video_list[0][video_url]", A)], "video_list", [{"video_url": A}]),
        ([("a.b", "1")], "a.b", "1"),
        ([("a[b.c]", "1")], "a", {"b.c": "1"}),
    ],
)
def test_lists_and_objects_of_a_form_are_read_in_each_notation(
    parts: list[tuple[str, Any]], name: str, value: Any
) -> None:
    assert _of_form(*parts)[name] == value


def test_a_camera_is_an_object_in_each_notation() -> None:
    camera = {"type": "simple", "config": {"zoom": 1.5}}
    for parts in (
        [("camera_control", json.dumps(camera))],
        [("camera_control[type]", "simple"), ("camera_control[config]", '{"zoom": "1.5"}')],
        [("camera_control.type", "simple"), ("camera_control.config.zoom", "1.5")],
    ):
        _, sent = _sent(_form(("model", "kling-v1"), ("prompt", "p"), *parts), "native", FORM)
        assert sent["camera_control"] == camera


@table(
    ("parts", "param"),
    [
        ([("multi_prompt", "x")], "multi_prompt"),
        ([("multi_prompt", "{}")], "multi_prompt"),
        ([("multi_prompt", "[" * 5000)], "multi_prompt"),
        *(
            ([("multi_prompt", (None, JSON, "[" * depth + "]" * depth))], "multi_prompt")
            for depth in (500, 2000, 50_000)
        ),
        ([("multi_prompt", '["x"]')], "multi_prompt"),
        ([("multi_prompt[a][prompt]", "x")], "multi_prompt"),
        ([("multi_prompt[0][prompt]", "x"), ("multi_prompt[00][prompt]", "x")], "multi_prompt"),
        ([("multi_prompt[²][prompt]", "x")], "multi_prompt"),
        ([("multi_prompt[0][index]", "1.5")], "multi_prompt"),
        ([("camera_control", "[]")], "camera_control"),
        ([("camera_control", '{"type":')], "camera_control"),
        ([("metadata", '{"x":NaN}')], "x"),
        ([("metadata", "x")], "metadata"),
        ([("metadata", "a"), ("metadata", "b")], "metadata"),
        ([("metadata.a", "a"), ("metadata", "b")], "metadata"),
        ([("prompt", "a"), ("prompt", "b")], "prompt"),
    ],
)
def test_a_list_or_an_object_that_cannot_be_read_is_refused_by_its_field(
    parts: list[tuple[str, Any]], param: str
) -> None:
    prompt = () if parts[0][0] == "prompt" else (("prompt", "p"),)
    assert _refused(_form(("model", "kling-v3"), *prompt, *parts), "sdk", FORM).param == param


@table(
    ("name", "depth"),
    [
        *(("multi_prompt", depth) for depth in (5, 500, 900, 2000, 50_000)),
        *((name, depth) for name in ("metadata", "image", "images[]", "x", "prompt") for depth in (900, 50_000)),
    ],
)
def test_json_in_a_form_however_deep_is_read_or_refused(name: str, depth: int) -> None:
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        for more in ((None, JSON), ("blob", JSON), (None, "text/plain")):
            try:
                _sent(_form(("model", "kling-v3"), (name, (*more, text))), "sdk", FORM)
            except Refusal as refusal:
                assert len(refusal.message) < 250  # noqa: PT017


@table("kind", KINDS)
def test_a_url_encoded_form_is_a_form(kind: str) -> None:
    for fields, sent in (
        ({"seconds": "8.0"}, {"duration": "8"}),
        ({"images[0]": A, "images[1]": B}, {"image": A, "image_tail": B}),
        ({"image": "", "metadata[negative_prompt]": "a=b&c"}, {"negative_prompt": "a=b&c"}),
        ({"watermark_info": '{"enabled":false}'}, {"watermark_info": {"enabled": False}}),
        ({"input_reference": DATA}, {"image": PICTURE}),
        ({"negative_prompt": "ü 可"}, {"negative_prompt": "ü 可"}),
    ):
        body = urlencode({"model": "kling-v3", "prompt": "a boat", **fields}).encode()
        _, got = _sent(body, kind, f"{URL_ENCODED}; charset=UTF-8")
        assert got == {"model_name": "kling-v3", "prompt": "a boat", **sent}


@table("body", [b'{"prompt":"a=b"}', b' \n{"prompt":"a=b"}', b'\xef\xbb\xbf{"prompt":"a=b"}'])
def test_json_that_curl_calls_a_form_is_json(body: bytes) -> None:
    upstream, _ = _sent(body, "native", URL_ENCODED)

    assert upstream.body == body.removeprefix(b"\xef\xbb\xbf")


@table(
    ("body", "says"),
    [
        (b"prompt=%ff", "is not UTF-8"),
        (b"prompt=\xff", "is not UTF-8"),
        (b"a=1&" * 201, "more than 200 fields"),
        (b"a=" + b"%41" * 400_000, "longer than"),
        (b"prompt=a&prompt=b", "prompt stands more than once"),
        (b"prompt[=a", "broken brackets"),
        (b"hello", "not valid JSON"),
        (b'["a=b"]', "not a JSON object"),
        (b"", "is empty"),
    ],
)
def test_a_url_encoded_form_that_cannot_be_read_is_refused(body: bytes, says: str) -> None:
    assert says in _refused(body, "native", URL_ENCODED).message


@table("kind", KINDS)
def test_a_picture_decides_the_shape_of_the_video_under_each_name(kind: str) -> None:
    for name in FIRST:
        _, sent = _sent({"model": "sora-2", "prompt": "p", "size": "1280x720", name: A}, kind)
        assert (sent["image"], sent.get("aspect_ratio")) == (A, None)
    _, sent = _sent({"model": "sora-2", "prompt": "p", "image": None}, kind)
    assert (sent["aspect_ratio"], "image" in sent) == ("9:16", False)


def test_pictures_become_frames_of_the_new_design() -> None:
    upstream, sent = _sent({"model": "kling-v3", "prompt": "p", "images": [DATA, B]}, api="v2")

    assert upstream.target == "/image-to-video/kling-3.0"
    assert sent["contents"][1:] == [{"type": "first_frame", "url": PICTURE}, {"type": "last_frame", "url": B}]
