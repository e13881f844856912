"""Forms of OpenAI's SDKs: how they are read, and which are refused."""

from __future__ import annotations

import os
from urllib.parse import urlencode

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire.multipart import MAX_DEPTH, MAX_HEAD, MAX_PARTS, File, Value, fields, url_encoded_fields
from tests.tables import table

PYTHON = "3f2a9c0d1e4b5a69788796a5b4c3d2e1"
NODE = "----formdata-undici-088864750111"
PICTURE = b"\x89PNG\r\n\x1a\n\0--\r\n\xff"


def header(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def part(name: str, value: str | bytes, more: str = "") -> bytes:
    """One part as both SDKs write it; `more` goes on behind the name."""
    data = value.encode() if isinstance(value, str) else value
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode() + b"\r\n\r\n" + data


def form(*parts: bytes, boundary: str = PYTHON) -> bytes:
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + one + b"\r\n" for one in parts) + line + b"--\r\n"


def read(*pairs: tuple[str, str]) -> dict[str, Value]:
    return fields(form(*(part(name, value) for name, value in pairs)), header(PYTHON))


def refusal_of(body: bytes, content_type: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        fields(body, content_type)
    assert (caught.value.status, caught.value.code) == (400, "invalid_body")
    return caught.value


def test_a_form_of_the_python_sdk_is_read() -> None:
    body = (
        b"--3f2a9c0d1e4b5a69788796a5b4c3d2e1\r\n"
        b'Content-Disposition: form-data; name="prompt"\r\n\r\n'
        b'a "quoted" cat \\ \xe5\x8f\xaf\xe7\x81\xb5\r\nand a second line\r\n'
        b"--3f2a9c0d1e4b5a69788796a5b4c3d2e1\r\n"
        b'Content-Disposition: form-data; name="seconds"\r\n\r\n'
        b"8\r\n"
        b"--3f2a9c0d1e4b5a69788796a5b4c3d2e1\r\n"
        b'Content-Disposition: form-data; name="metadata[mode]"\r\n\r\n'
        b"pro\r\n"
        b"--3f2a9c0d1e4b5a69788796a5b4c3d2e1\r\n"
        b'Content-Disposition: form-data; name="input_reference"; filename="a cat.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + PICTURE + b"\r\n"
        b"--3f2a9c0d1e4b5a69788796a5b4c3d2e1--\r\n"
    )
    assert fields(body, header(PYTHON)) == {
        "prompt": 'a "quoted" cat \\ 可灵\r\nand a second line',
        "seconds": "8",
        "metadata": {"mode": "pro"},
        "input_reference": File("a cat.png", "image/png", PICTURE),
    }


def test_a_form_of_the_node_sdk_is_read() -> None:
    body = (
        b"------formdata-undici-088864750111\r\n"
        b'Content-Disposition: form-data; name="input_reference"; filename="cat.png"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + PICTURE + b"\r\n"
        b"------formdata-undici-088864750111\r\n"
        b'Content-Disposition: form-data; name="prompt"\r\n\r\n'
        b"\r\n"
        b"------formdata-undici-088864750111\r\n"
        b'Content-Disposition: form-data; name="image_list[][image]"\r\n\r\n'
        b"u1\r\n"
        b"------formdata-undici-088864750111--\r\n\r\n"
    )
    assert fields(body, header(NODE)) == {
        "input_reference": File("cat.png", "application/octet-stream", PICTURE),
        "prompt": "",
        "image_list": [{"image": "u1"}],
    }


@table("content_type", [f'Multipart/Form-Data; charset=utf-8; Boundary="{NODE}"', header(NODE)])
def test_the_boundary_may_be_quoted_and_stand_anywhere_in_the_content_type(content_type: str) -> None:
    assert fields(form(part("a", "1"), boundary=NODE), content_type) == {"a": "1"}


@table("data", [b"", b"\r", b"\n", b"\r\n", b"--", b"\r\n--", PICTURE, PYTHON.encode(), b"\r\n" * 99])
def test_a_file_keeps_every_byte(data: bytes) -> None:
    body = form(part("f", data, '; filename="upload"'), part("a", "1"))
    assert fields(body, header(PYTHON)) == {"f": File("upload", "", data), "a": "1"}


@table(
    ("more", "filename"),
    [('; filename=""', ""), ('; filename="a\\"b"', 'a"b'), ("; filename*=UTF-8''%e5%8f%af.png", "可.png")],
)
def test_a_part_with_any_file_name_is_a_file(more: str, filename: str) -> None:
    assert fields(form(part("f", "x", more)), header(PYTHON)) == {"f": File(filename, "", b"x")}


def test_the_bytes_of_a_file_do_not_get_into_a_log() -> None:
    assert "secret" not in repr(File("a.png", "image/png", b"secret"))


@table(
    ("pairs", "expected"),
    [
        ([], {}),
        ([("a", "1"), ("b", "2")], {"a": "1", "b": "2"}),
        ([("m[mode]", "pro")], {"m": {"mode": "pro"}}),
        ([("m[camera][type]", "x"), ("m[camera][zoom]", "1")], {"m": {"camera": {"type": "x", "zoom": "1"}}}),
        ([("m[a]", "1"), ("b", "2"), ("m[c]", "3")], {"m": {"a": "1", "c": "3"}, "b": "2"}),
        ([("a[]", "1")], {"a": ["1"]}),
        ([("a[]", "1"), ("b", "2"), ("a[]", "1")], {"a": ["1", "1"], "b": "2"}),
        ([("m[a][]", "1"), ("m[a][]", "2")], {"m": {"a": ["1", "2"]}}),
        ([("l[][image]", "u1"), ("l[][image]", "u2")], {"l": [{"image": "u1"}, {"image": "u2"}]}),
        ([("m[l][][i][u]", "1"), ("m[l][][i][u]", "2")], {"m": {"l": [{"i": {"u": "1"}}, {"i": {"u": "2"}}]}}),
        ([("input_reference[image_url]", "https://a/b")], {"input_reference": {"image_url": "https://a/b"}}),
        ([("r[0]", "137"), ("r[1]", "80")], {"r": {"0": "137", "1": "80"}}),
        ([("a" + "[k]" * MAX_DEPTH, "1")], {"a": {"k": {"k": {"k": {"k": {"k": {"k": {"k": {"k": "1"}}}}}}}}}),
    ],
)
def test_brackets_become_objects_and_lists(pairs: list[tuple[str, str]], expected: dict[str, Value]) -> None:
    assert read(*pairs) == expected


@table(
    ("pairs", "expected"),
    [
        ([("l.b", "1")], {"l": {"b": "1"}}),
        ([("l.0.b", "1"), ("l.1.b", "2")], {"l": {"0": {"b": "1"}, "1": {"b": "2"}}}),
        ([("l[0].b.c", "1")], {"l": {"0": {"b": {"c": "1"}}}}),
        ([("l.b[0].c", "1"), ("o.a", "2")], {"l": {"b": {"0": {"c": "1"}}}, "o": {"a": "2"}}),
        ([("l[].b", "1"), ("l[].b", "2")], {"l": [{"b": "1"}, {"b": "2"}]}),
        ([("x[0].b", "1")], {"x": {"0": {"b": "1"}}}),
        ([("l", "1"), ("l", "2")], {"l": ["1", "2"]}),
        ([("l", "1")], {"l": "1"}),
        # Other dots are letters
        (
            [("x.b", "1"), (".l", "2"), ("l.", "3"), ("o[a.b]", "4")],
            {"x.b": "1", ".l": "2", "l.": "3", "o": {"a.b": "4"}},
        ),
    ],
)
def test_dots_and_repetitions_of_known_names_are_brackets(
    pairs: list[tuple[str, str]], expected: dict[str, Value]
) -> None:
    body = form(*(part(name, value) for name, value in pairs))
    assert fields(body, header(PYTHON), ["l"], ["o"]) == expected
    assert url_encoded_fields(urlencode(pairs).encode(), ["l"], ["o"]) == expected


@table(
    ("content_type", "text", "value"),
    [
        ("application/json", '{"a": [1.50, null]}', {"a": [1.5, None]}),
        ("Application/JSON; charset=utf-8", '"a \\u00e9"', "a é"),
        ("application/vnd.api+json", "[]", []),
        ("application/json", "null", None),
        # Numbers stay as they are written, and what is no JSON is text.
        *(("application/json", text, text) for text in ("1.50", "true", "a boat", "", "[" * 99_999, "9" * 5000)),
        *((content_type, "[]", "[]") for content_type in ("text/plain", "application/jsonl", "text/json-like")),
    ],
)
def test_a_part_of_json_is_its_value(content_type: str, text: str, value: Value) -> None:
    more = f"\r\nContent-Type: {content_type}"
    assert fields(form(part("a", text, more)), header(PYTHON)) == {"a": value}
    file = fields(form(part("a", text, f'; filename="blob"{more}')), header(PYTHON))["a"]
    assert file == (
        value if "json" in content_type.lower() and value != "[]" else File("blob", content_type, text.encode())
    )


def test_a_url_encoded_form_is_read() -> None:
    body = b"prompt=a+b%26%3D%c3%a9&m[mode]=pro&l%5B%5D=1&l%5B%5D=2&empty="
    assert url_encoded_fields(body) == {"prompt": "a b&=é", "m": {"mode": "pro"}, "l": ["1", "2"], "empty": ""}


@table(
    ("order", "expected"),
    [
        # Object by object, as Node sends them.
        ("u1 t1 u2 t2", ["u1 t1", "u2 t2"]),
        ("u1 t1 u2 u3 t3", ["u1 t1", "u2", "u3 t3"]),
        # Key by key, as Python sends them.
        ("u1 u2 t1 t2", ["u1 t1", "u2 t2"]),
        ("u1 u2 u3 t1 t2 t3 s1 s2 s3", ["u1 t1 s1", "u2 t2 s2", "u3 t3 s3"]),
        ("u1 t1", ["u1 t1"]),
    ],
)
def test_objects_in_a_list_are_told_apart_in_either_order(order: str, expected: list[str]) -> None:
    pairs = [(f"list[][{word[0]}]", word) for word in order.split()]
    assert read(*pairs) == {"list": [{word[0]: word for word in item.split()} for item in expected]}


@table(
    ("names", "param", "sentence"),
    [
        ("a a", "a", "a stands more than once in the form."),
        ("m[a] m[a]", "m[a]", "m[a] stands more than once in the form."),
        ("m m[a]", "m", "m is sent as more than one of: a value, a list, an object."),
        ("m[a] m", "m", "m is sent as more than one of: a value, a list, an object."),
        ("m[] m[a]", "m", "m is sent as more than one of: a value, a list, an object."),
        ("m m[]", "m", "m is sent as more than one of: a value, a list, an object."),
        ("m[a][b] m[a]", "m[a]", "m[a] is sent as more than one of: a value, a list, an object."),
        ("l[][a] l[]", "l[]", "l[] is sent as more than one of: a value, a list, an object."),
        ("l[][a] l[][a][b]", "l[][a]", "l[][a] is sent as more than one of: a value, a list, an object."),
        (
            "l[][u] l[][u] l[][t]",
            "l[]",
            "l[] has objects with different keys, which a form cannot tell apart. Send JSON.",
        ),
        (
            "l[][u] l[][t] l[][t]",
            "l[]",
            "l[] has objects with different keys, which a form cannot tell apart. Send JSON.",
        ),
        ("a[][]", "a[][]", "a[][] is a list in a list, whose items a form cannot tell apart. Send JSON."),
        (
            "l[][t][][x]",
            "l[][t][][x]",
            "l[][t][][x] is a list in a list, whose items a form cannot tell apart. Send JSON.",
        ),
        ("a" + "[k]" * (MAX_DEPTH + 1), "a", "a is nested deeper than 8."),
        *(
            (name, name, f"{name} is a field name with broken brackets.")
            for name in ("a[", "a]", "a[b", "a[b]c", "a[b]./", "a[b].c/d", "a[b].", "a[[b]]", "a[b]]", "[a]", "[]")
        ),
    ],
)
def test_ambiguous_and_malformed_names_are_refused(names: str, param: str, sentence: str) -> None:
    refusal = refusal_of(form(*(part(name, "hidden") for name in names.split())), header(PYTHON))
    assert (refusal.param, refusal.message) == (param, sentence)


ONE = form(part("prompt", "hidden"))
BEHIND = "The request body has text outside the parts of its form."
NO_FORM = "The request body is no form with the boundary that its Content-Type names."
NO_BOUNDARY = "The Content-Type has no boundary, so the form in the request body cannot be read."
NO_END = "The form in the request body ends before its closing boundary."
NO_HEADERS = "A part of the form has no headers."
NO_NAME = "A part of the form has no name."
BAD_HEADERS = "A part of the form has headers that cannot be read."
LONG_HEADERS = "A part of the form has headers that do not end, or are longer than 8192 bytes."


@table(
    ("body", "sentence"),
    [
        (b"", NO_FORM),
        (b'{"prompt": "hidden"}', NO_FORM),
        (b"prompt=hidden", NO_FORM),
        (form(part("prompt", "hidden"), boundary=NODE), NO_FORM),
        (b"hidden\r\n" + ONE, BEHIND),
        (ONE + b"hidden", BEHIND),
        (ONE + ONE, BEHIND),
        (ONE[: ONE.index(b'"prompt')], NO_END),
        (ONE[: ONE.index(b"hidden") - 2], NO_END),
        (ONE[: ONE.index(b"hidden") + 3], NO_END),
        (form(part("prompt", "é"))[: ONE.index(b"hidden") + 1], NO_END),
        (ONE[:-4], NO_END),
        (ONE[:-3], NO_END),
        (form(b"\r\nhidden"), NO_END),
        (form(b"\r\nhidden", part("prompt", "x")), NO_HEADERS),
        (form(b"Content-Type: text/plain\r\n\r\nhidden"), BAD_HEADERS),
        (form(part("prompt\xe9", "hidden").decode().encode("latin-1")), BAD_HEADERS),
        (form(b"Content-Disposition: form-data\r\n\r\nhidden"), NO_NAME),
        (form(part("", "hidden")), NO_NAME),
        (form(part("a", "hidden", f"; b={'x' * MAX_HEAD}")), LONG_HEADERS),
        (form(part("a", "hidden"), b"\r\n" + b"x" * MAX_HEAD), LONG_HEADERS),
    ],
)
def test_a_body_that_is_no_whole_form_is_refused(body: bytes, sentence: str) -> None:
    refusal = refusal_of(body, header(PYTHON))
    assert (refusal.param, refusal.message) == (None, sentence)


@table(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="é"',
    ],
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    refusal = refusal_of(ONE, content_type)
    assert (refusal.param, refusal.message) == (None, NO_BOUNDARY)


@table("end", [b"--", b"--\r\n", b"--\n", b"--\r\n\r\n"])
def test_the_last_line_may_end_in_any_way(end: bytes) -> None:
    assert fields(ONE.removesuffix(b"--\r\n") + end, header(PYTHON)) == {"prompt": "hidden"}


def test_text_that_is_not_utf8_is_refused() -> None:
    refusal = refusal_of(form(part("input_reference", PICTURE)), header(PYTHON))
    assert refusal.param == "input_reference"
    assert refusal.message == "input_reference is not UTF-8. If it is a file, its part needs a filename."


@table(("encoding", "refused"), [("Base64", True), ("quoted-printable", True), ("binary", False)])
def test_a_part_in_another_encoding_is_refused(encoding: str, refused: bool) -> None:
    body = form(part("a", "hidden", f"\r\nContent-Transfer-Encoding: {encoding}"))
    if refused:
        assert refusal_of(body, header(PYTHON)).param == "a"
    else:
        assert fields(body, header(PYTHON)) == {"a": "hidden"}


def test_as_many_parts_as_allowed_are_read() -> None:
    assert read(*((f"a{number}", "1") for number in range(MAX_PARTS))).keys() == {f"a{n}" for n in range(MAX_PARTS)}


def test_a_buffer_that_node_sends_byte_by_byte_is_refused_with_its_remedy() -> None:
    parts = [part("prompt", "x"), *(part(f"input_reference[{number}]", "1") for number in range(MAX_PARTS))]
    refusal = refusal_of(form(*parts), header(PYTHON))
    assert refusal.param == "input_reference"
    assert refusal.message == (
        "The form has more than 200 parts. A bare Buffer is sent as one part per byte: "
        "give a file as a stream or with toFile()."
    )


@table(
    "data",
    [
        os.urandom(2_500_000),
        b"\r\n" * 1_60_000,
        f"\r\n--{PYTHON}x".encode() * 60_000,
        f"\r\n--{PYTHON}{' ' * 1000}x".encode() * 2_500,
    ],
    ids=["random", "line breaks", "almost boundaries", "almost boundaries with blanks"],
)
def test_a_long_file_is_read_in_one_pass(data: bytes) -> None:
    # In a fraction of a second. Were the time quadratic, this would run for minutes.
    assert fields(form(part("f", data, '; filename="a"')), header(PYTHON)) == {"f": File("a", "", data)}


def _long(data: bytes, content_type: str = "text/plain") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\nContent-Type: {content_type}\r\n\r\n'
    return head.encode() + data + b"\r\n--x--\r\n"


@table(
    ("body", "problem"),
    [
        (b"\n" * 6_000_000, "is no form with the boundary"),
        (b"x\r\n" * 6_000_000 + b"--x--\r\n", "is no form with the boundary"),
        (_long(b"\n" * 6_000_000), "more than 5000000 line ends"),
        (_long(b"\r" * 6_000_000), "more than 5000000 line ends"),
        (_long(b"\r\n--" * 3_000_000), "more than 5000000 line ends"),
        (_long(b"[" + b"1," * 200_001 + b"1]", "application/json"), "a has too many values"),
        (_long(b"[" + b"[]," * 200_001 + b"1]", "application/json"), "a has too many values"),
    ],
    ids=["line feeds", "a preamble", "in a part", "carriage returns", "dashes", "numbers", "lists"],
)
def test_a_form_that_takes_long_for_nothing_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(Refusal, match=problem):
        fields(body, "multipart/form-data; boundary=x")
