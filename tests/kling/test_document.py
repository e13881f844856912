"""JSON request bodies: unchanged values keep their bytes, and reading raises nothing but a Refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling.document import Document
from mitm_ai_proxy.wire import json_edit
from tests.tables import table


def _document(body: str | bytes) -> Document:
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return Document.from_json(raw, json_edit.members(raw))


def test_a_value_that_is_not_replaced_stays_to_the_byte() -> None:
    document = _document(
        ' { "a" : 1.50, "b":"\\u00e9\\/é", "n" : 12345678901234567890123, "o": { "x" :[ ] },"e":1E400 }\n'
    )
    document.set("c", True)

    assert document.body() == (
        '{"a":1.50,"b":"\\u00e9\\/é","n":12345678901234567890123,"o":{ "x" :[ ] },"e":1E400,"c":true}'.encode()
    )


def test_an_empty_body_is_an_empty_object() -> None:
    assert _document("{}").body() == b"{}"
    assert _document("{}").names == []


def test_members_are_read_set_renamed_and_popped_in_place() -> None:
    document = _document('{"a":1,"model":"m","b":null,"c":[2]}')

    assert (document.value("a"), document.value("b"), document.value("x")) == (1, None, None)
    assert ("b" in document, "x" in document) == (True, False)
    document.set("a", "é")
    document.rename("model", "model_name")
    assert document.pop("c") == [2]
    assert document.pop("x") is None
    assert document.names == ["a", "model_name", "b"]
    assert document.body() == '{"a":"é","model_name":"m","b":null}'.encode()


@table("body", ['{"x":1,"model":2,"y":3}', '{"x":1,"model":2,"y":3,"model_name":0}'])
def test_a_renamed_member_keeps_its_place_and_replaces_another(body: str) -> None:
    document = _document(body)
    document.rename("model", "model_name")

    assert document.body() == b'{"x":1,"model_name":2,"y":3}'


def test_a_document_of_decoded_fields_is_the_same() -> None:
    fields = {"a": 'é"\\\n', "b": [1, {"c": None}], "d": 0.5}

    assert json.loads(Document.from_fields(fields).body()) == fields


def test_a_name_with_escapes_is_the_same_name() -> None:
    document = _document('{"m\\u006fdel":"m","\\"\\n":1}')

    assert document.text("model") == "m"
    assert json.loads(document.body()) == {"model": "m", '"\n': 1}


@table("read", [Document.value, Document.text, Document.pop])
def test_a_repeated_name_is_refused_when_it_is_read(read: Any) -> None:
    document = _document('{"a":"1","b":2,"\\u0061":"1"}')

    with pytest.raises(Refusal, match="a stands more than once") as caught:
        read(document, "a")
    assert (caught.value.status, caught.value.param) == (400, "a")


def test_text_is_a_text_or_nothing() -> None:
    document = _document('{"a":"x","b":null,"c":1,"d":[],"e":{},"f":true}')

    assert (document.text("a"), document.text("b"), document.text("x")) == ("x", None, None)
    for name in "cdef":
        with pytest.raises(Refusal, match="is not a string") as caught:
            document.text(name)
        assert caught.value.param == name


@table("number", ["9" * 5000, "-" + "9" * 5000, "[" + "9" * 5000 + "]"])
def test_a_number_that_python_cannot_decode_is_refused(number: str) -> None:
    document = _document(f'{{"a":{number}}}')

    with pytest.raises(Refusal) as caught:
        document.value("a")
    assert caught.value.param == "a"
    assert len(caught.value.message) < 200
    assert document.body() == b'{"a":%s}' % number.encode()


def test_a_lone_surrogate_is_sent_as_an_escape() -> None:
    document = _document('{"a":"\\ud800"}')
    document.set("b", document.value("a"))

    assert json.loads(document.body().decode()) == {"a": "\ud800", "b": "\ud800"}


def test_infinity_cannot_be_set() -> None:
    document = _document('{"a":1e400}')
    value = document.value("a")
    with pytest.raises(Refusal):
        document.set("b", [value])


@table("depth", [100, 400, *range(900, 1000), 1500, 3000])
def test_a_value_however_deep_is_read_or_refused(depth: int) -> None:
    body = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    try:
        members = json_edit.members(body)
    except json_edit.JSONError:
        return
    document = Document.from_json(body, members)
    try:
        document.set("b", document.pop("a"))
    except Refusal as refusal:
        assert refusal.param == "a"  # noqa: PT017


@table(
    ("one", "other"),
    [
        ('{"a":1,"b":"c"}', '{ "b" : "c",\n"a":1 }'),
        ('{"a":"caf\\u00e9 \\u2028 \\/ \\u0041"}', '{"a":"café \u2028 / A"}'),
        ('{"a":"\\ud83d\\ude00"}', '{"a":"\U0001f600"}'),
        ('{"a":"\\n\\u000a\\t\\u007f"}', '{"a":"\\u000A\\n\\u0009\x7f"}'),
        ('{"\\u0061":1}', '{"a":1}'),
        ('{"a":4}', '{"a":4.0}'),
        ('{"a":[1e2,0.50,-0.0,{"x":1.0}]}', '{"a":[100, 5E-1,0,{"x":1}]}'),
        ('{"a":{"x":1,"y":[ ]}}', '{"a":{"y":[],"x":1}}'),
        ('{"a":[{"y":{"b":2,"a":"\\u0061"}, "x":1}]}', '{"a":[{"x":1,"y":{"a":"a","b":2.0}}]}'),
        ('{"a":"\\ud800"}', '{"a":"\\uD800"}'),
        ('{"a":1e400}', '{"a":1E400}'),
    ],
)
def test_equal_documents_have_one_canonical_form(one: str, other: str) -> None:
    assert _document(one).canonical() == _document(other).canonical()


@table(
    ("one", "other"),
    [
        ('{"a":1}', '{"b":1}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":null}', '{"a":"null"}'),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
        ('{"a":"b","c":"d"}', '{"a":"b\\",\\"c\\":\\"d"}'),
        ('{"a":1.5}', '{"a":1.25}'),
        ('{"a":12345678901234567890123}', '{"a":12345678901234567890124}'),
        ('{"a":"é"}', '{"a":"e\u0301"}'),
        ('{"a":"\\ud800"}', '{"a":"?"}'),
    ],
)
def test_different_documents_have_different_canonical_forms(one: str, other: str) -> None:
    assert _document(one).canonical() != _document(other).canonical()


@table("value", ["9" * 5000, "[" + "9" * 5000 + "]", "1e999999"])
def test_a_value_that_python_does_not_read_counts_by_its_bytes(value: str) -> None:
    assert _document(f'{{"b":1,"a":{value}}}').canonical() == _document(f'{{"a":{value},"b":1}}').canonical()


def test_the_canonical_form_of_a_picture_is_its_bytes() -> None:
    picture = "QUJD" * 100_000
    document = _document(f'{{"image":"{picture}"}}')

    assert document.canonical() == document.body()


@table("value", [b"[" + b"1," * 200_001 + b"1]", b'{"a":[' + b'"",' * 200_001 + b"1]}"])
def test_a_value_of_hundreds_of_thousands_of_values_is_not_decoded(value: bytes) -> None:
    document = _document(b'{"a":' + value + b"}")
    with pytest.raises(Refusal, match="a has too many values"):
        document.value("a")
    assert value in document.canonical()


def test_a_long_text_is_decoded_whatever_it_holds() -> None:
    text = "[," * 300_000
    assert _document(f'{{"a":"{text}"}}'.encode()).value("a") == text
