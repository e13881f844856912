"""The fields of bodies: files by their bytes, however they are spelled, texts by their characters, numbers by value."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from mitm_ai_proxy.cassette import content
from mitm_ai_proxy.cassette.content import Field
from tests.tables import table

JSON = "application/json"
TINY = b"\x00\x01\x02"
SPELLED = base64.b64encode(TINY).decode()
PNG, JPEG, GIF, RIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF...."
LONG = bytes(range(150))
FILES = """
image images image_tail image_url image_list input_reference subject_image scene_image style_image human_image
cloth_image face_image frontal_image element_frontal_image static_mask mask dynamic_masks first_frame last_frame
reference_image reference_images sound_file audio_file
""".split()


def _value(value: Any, name: str = "a") -> str:
    (field,) = content.fields(json.dumps({name: value}).encode(), JSON)
    return field.value


def _form(name: str, filename: str | None, data: bytes) -> Field:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
    (field,) = content.fields(head + data + b"\r\n--B--\r\n", "multipart/form-data; boundary=B")
    return field


def _is_file(data: bytes) -> str:
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:32]}"


@table("name", FILES)
def test_a_short_file_under_its_name_is_told_by_its_bytes(name: str) -> None:
    data_url = f"data:image/png;base64,{SPELLED}"
    for key in (name, name.upper().replace("_", "-"), name.title().replace("_", "")):
        assert _value(SPELLED, key) == _value(data_url, key) == _is_file(TINY)
    fields = content.fields(json.dumps({name: [{"a": SPELLED}, [SPELLED]]}).encode(), JSON)
    assert [field.value for field in fields] == [content.text(SPELLED), _is_file(TINY)]
    # An upload has a name, which does not count.
    assert _form(name, "a.bin", TINY) == _form(name, "b.bin", TINY) == Field((name,), _is_file(TINY))
    assert _form(name, None, SPELLED.encode()) == Field((name,), _is_file(TINY))


@table("name", ["prompt", "imagery", "picture", "model_name", "file", "id", "image_fidelity"])
def test_a_short_text_that_could_be_base64_is_a_text_elsewhere(name: str) -> None:
    assert _value(SPELLED, name) == content.text(SPELLED)
    assert _form(name, None, SPELLED.encode()) == Field((name,), content.text(SPELLED))
    assert _form(name, "a.txt", TINY).value == f'{_is_file(TINY)}, file "a.txt"'
    assert _form(name, "a.txt", TINY) != _form(name, "b.txt", TINY)


@table("data", [PNG, JPEG, GIF, RIFF])
def test_a_picture_under_any_name_is_told_by_its_bytes(data: bytes) -> None:
    assert _form("anything", "a.png", data) == _form("anything", "b.png", data) == Field(("anything",), _is_file(data))


@table(
    ("value", "decoded"),
    [
        (base64.b64encode(LONG).decode(), LONG),
        (base64.urlsafe_b64encode(LONG).decode(), LONG),
        (base64.encodebytes(LONG).decode(), LONG),
        (base64.b64encode(LONG[:149]).decode(), LONG[:149]),
        (
            base64.b64encode(LONG[:148]).decode().rstrip("="),
            LONG[:148] if len(base64.b64encode(LONG[:148])) > 200 else None,
        ),
        ("a" * 200, base64.b64decode("a" * 200)),
        ("a" * 199, None),
        ("a" * 201, None),
        ("a" * 100 + " " + "a" * 103, None),
        ("a" * 100 + "\n" + "a" * 100, base64.b64decode("a" * 200)),
        ("a" * 100 + "!" + "a" * 103, None),
        ("data:;base64,AAEC", TINY),
        ("DATA:image/png;BASE64,AAEC", TINY),
        ("data:image/png;base64,AA EC", TINY),
        ("data:image/png;base64,AAEC=", TINY),
        ("data:image/png;base64,A", None),
        ("data:image/png;base64,!!!!", None),
        ("data:image/png,AAEC", None),
        (f"data:{'x' * 201};base64,AAEC", None),
    ],
    ids=range(19),
)
def test_base64_of_any_spelling_is_told_by_its_bytes(value: str, decoded: bytes | None) -> None:
    assert _value(value) == (content.text(value) if decoded is None else _is_file(decoded))


def test_a_text_has_the_spelling_of_json() -> None:
    assert content.text('a"é\n') == '"a\\"é\\n"'
    assert content.text("\ud800") == '"\\ud800"'
    assert content.text("\udfff") == '"\\udfff"'
    assert content.text("\ud7ff\ue000") == '"\ud7ff\ue000"'


def test_numbers_and_containers_are_told_by_their_value() -> None:
    fields = content.fields(b'{"a": 1.50, "b": 15e-1, "c": {}, "d": [], "e": null, "f": [true, "1.5"]}', JSON)
    assert fields == [
        Field(("a",), "1.5"),
        Field(("b",), "1.5"),
        Field(("c",), "{}"),
        Field(("d",), "[]"),
        Field(("e",), "null"),
        Field(("f", 0), "true"),
        Field(("f", 1), '"1.5"'),
    ]


def test_a_form_keeps_fields_without_a_value() -> None:
    fields = content.fields(b"a=&b=1%20", "application/x-www-form-urlencoded")
    assert fields == [Field(("a",), '""'), Field(("b",), '"1 "')]


@table("body", [b"\xff", b"no JSON", b"{"])
def test_any_other_body_is_told_by_its_bytes(body: bytes) -> None:
    assert content.fields(body, JSON) == [Field((), _is_file(body))]
    assert content.fields(b"", JSON) == []


def test_a_field_that_is_no_text_is_told_by_its_bytes() -> None:
    assert _form("prompt", None, b"\xff").value == _is_file(b"\xff")


def test_links_are_told_without_their_signature() -> None:
    assert _value("https://a.example/b.png?sign=1&c=2", "image") == content.text("https://a.example/b.png?c=2")
