"""Which requests match, and the texts about the differences of others."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

from mitm_ai_proxy.cassette.entry import Headers, Request
from mitm_ai_proxy.cassette.matching import VOLATILE, MatchOptions, canonical, difference, nearest
from mitm_ai_proxy.wire import json_text
from tests.tables import table

URL = "https://api.klingai.com/v1/videos/text2video"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
OPTIONS = MatchOptions()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
BARE = base64.b64encode(PNG).decode()
DEEP = b'{"data":' + b"[" * 100_000
GARBAGE = [
    b"",
    b"null",
    b"5",
    b"[]",
    b'"x"',
    b"<html>",
    b"{",
    b"\xff",
    b'{"a":"\xff"}',
    DEEP,
    b'{"a":"\\ud800"}',
    b"--B--",
]
GARBAGE += [
    b'{"image":"====","url":"http://[","a":1e999999999999999999}',
    b"[" * 400 + b"]" * 400,
    b"1" * 10_000,
    b"\0",
]
GARBAGE += [b'{"url":"https://a/\\ud800?b=\\udfff"}', b'{"image":"data:image/png;base64,%%%"}', b"--B\r\n\r\n\r\n--B--"]


def _json(value: Any, method: str = "POST", url: str = URL, headers: Headers = ()) -> Request:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Request(method, url, (("Content-Type", JSON), *headers), body)


def _form(*parts: tuple[str, str | None, bytes], boundary: str = "B") -> Request:
    body = b""
    for name, filename, data in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return Request("POST", URL, (("content-type", f'multipart/form-data; boundary="{boundary}"'),), body)


def _urlencoded(body: str) -> Request:
    return Request("POST", URL, (("Content-Type", FORM),), body.encode())


EQUAL: list[tuple[Request, Request]] = [
    (_json(b'{"a":1,"b":"\\u00e9"}'), _json('{ "b" : "é",\n"a":1 }'.encode())),
    (_json(b'{"a":0.50}'), _json(b'{"a":0.5}')),
    (_json(b'{"a":1}'), _json(b'{"a":1.0e0}')),
    (_json(b'{"a":-0.0}'), _json(b'{"a":0}')),
    (_json(b'{"a":120}'), _json(b'{"a":1.2E+2}')),
    (_json(b'{"a":"b\\/c"}'), _json(b'{"a":"b/c"}')),
    (_json({}, url=f"{URL}?b=2&a=1&a=0"), _json({}, url=f"{URL}?a=0&a=1&b=2")),
    (_json({}, url="https://API.klingai.com:443/a%62"), _json({}, url="https://api.klingai.com/ab")),
    (_json({}, url="https://a.example"), _json({}, url="https://a.example/")),
    (_json({}, url="https://a/v?sign=1&e=2&x=3"), _json({}, url="https://a/v?x=3&X-Amz-Date=9")),
    (_json({"image": BARE}), _json({"image": f"data:image/png;base64,{BARE}"})),
    (_json({"image": BARE}), _json({"image": BARE.rstrip("=")})),
    (_json({"image": BARE}), _json({"image": base64.encodebytes(PNG).decode()})),
    (_json({"image": BARE}), _form(("image", "a.png", PNG))),
    (_json({"contents": [{"url": BARE}]}), _json({"contents": [{"url": f"data:image/jpeg;base64,{BARE}"}]})),
    (_json({"image": "https://a/b.png?sign=1"}), _json({"image": "https://A/b.png?sign=2&expires=3"})),
    (_json({"p": "q"}), _form(("p", None, b"q"))),
    (_json({"p": "q"}), _urlencoded("p=q")),
    (_form(("a", None, b"1"), ("b", "f.txt", b"2")), _form(("b", "f.txt", b"2"), ("a", None, b"1"), boundary="other")),
    (_urlencoded("a=1&b=%20x"), _urlencoded("b=+x&a=1")),
    (_json({"p": 1, "external_task_id": "a", "callback_url": "b"}), _json({"p": 1, "seed": 5, "request_id": "c"})),
    (
        _json({}, url="https://a/costs?start_time=1795212000000"),
        _json({}, url="https://a/costs?start_time=1795212000999"),
    ),
    (_json({}, method="post"), _json({}, headers=(("X-Trace", "1"),))),
]


@table(("one", "other"), EQUAL)
def test_these_ask_for_the_same(one: Request, other: Request) -> None:
    assert canonical(one, OPTIONS) == canonical(other, OPTIONS)
    assert hash(canonical(one, OPTIONS)) == hash(canonical(other, OPTIONS))
    assert difference(one, other, OPTIONS) == []


UNEQUAL: list[tuple[Request, Request, list[str]]] = [
    (_json({"prompt": "a dog"}), _json({"prompt": "a cat"}), ['body.prompt: recorded "a cat", came "a dog"']),
    (_json({"a": 1}), _json({"a": "1"}), ['body.a: recorded "1", came 1']),
    (_json({"a": True}), _json({"a": 1}), ["body.a: recorded 1, came true"]),
    (_json({"a": None}), _json({}), ["body: recorded {}, came nothing", "body.a: recorded nothing, came null"]),
    (_json({"a": []}), _json({"a": {}}), ["body.a: recorded {}, came []"]),
    (_json({"a.b": 1, "c": 2}), _json({"a": {"b": 1}, "c": 2}), []),
    (
        _json(b'{"a":12345678901234567890}'),
        _json(b'{"a":12345678901234567891}'),
        ["body.a: recorded 12345678901234567891, came 12345678901234567890"],
    ),
    (_json({"a": [1, 2]}), _json({"a": [2, 1]}), ["body.a[0]: recorded 2, came 1", "body.a[1]: recorded 1, came 2"]),
    (_json({}, method="GET"), _json({}), ["method: recorded POST, came GET"]),
    (_json({}, url=f"{URL}/7"), _json({}), ["path: recorded /v1/videos/text2video, came /v1/videos/text2video/7"]),
    (_json({}, url="https://a:8443/"), _json({}, url="https://a/"), ["host: recorded https://a, came https://a:8443"]),
    (
        _json({}, url=f"{URL}?pageSize=5"),
        _json({}, url=f"{URL}?pageSize=9"),
        ['query.pageSize: recorded "9", came "5"'],
    ),
    (_json({}, url=f"{URL}?a=1&a=2"), _json({}, url=f"{URL}?a=1"), ['query.a: recorded nothing, came "2"']),
    (_json({}, url=f"{URL}?external_task_id=a"), _json({}, url=f"{URL}?external_task_id=b"), []),
    (_json({"p": "x" * 99}), _json({"p": ""}), ['body.p: recorded "", came "' + "x" * 58 + "…"]),
    (_form(("f", "a", b"1")), _form(("f", "b", b"1")), []),
    (_form(("image", "a", PNG)), _form(("image", "a", PNG + b"x")), []),
]


@table(("came", "recorded", "lines"), UNEQUAL)
def test_these_do_not_and_the_difference_is_said(came: Request, recorded: Request, lines: list[str]) -> None:
    assert canonical(came, OPTIONS) != canonical(recorded, OPTIONS)
    found = difference(came, recorded, OPTIONS)
    assert found == lines or (not lines and found)


def test_what_is_ignored_and_which_headers_count_can_be_said() -> None:
    options = MatchOptions(VOLATILE | {"cfg_scale"}, frozenset({"X-Tenant"}))
    one = _json({"a": {"cfgScale": 1}, "seed": 1, "b": 2}, headers=(("x-tenant", "a"),))
    other = _json({"a": {"cfgScale": 2}, "b": 2}, headers=(("X-Tenant", "b"),))
    assert difference(one, other, options) == ['headers.x-tenant: recorded "b", came "a"']
    assert difference(one, _json({"a": {"cfgScale": 1}, "b": 2}), MatchOptions(frozenset())) == [
        "body.seed: recorded nothing, came 1"
    ]


def test_the_nearest_is_of_the_same_address_and_has_the_fewest_differences() -> None:
    wanted = _json({"prompt": "a", "duration": "5", "mode": "std"})
    candidates = [
        _json({"prompt": "a", "duration": "5", "mode": "std"}, url="https://api.klingai.com/v1/images/generations"),
        _json({"prompt": "b", "duration": "9", "mode": "std"}),
        _json({"prompt": "b", "duration": "5", "mode": "std"}),
        _json({}, method="GET"),
    ]
    assert nearest(wanted, candidates, OPTIONS) == 2
    assert nearest(wanted, [], OPTIONS) is None


@table(
    ("token", "spelled"),
    [
        ("0", "0"),
        ("-0.00e5", "0"),
        ("1.50", "1.5"),
        ("-0.005", "-0.005"),
        ("100", "100"),
        ("1e2", "100"),
        ("1e-2", "0.01"),
        ("12.34e1", "123.4"),
        ("1e100", "1e100"),
        ("10e99", "1e100"),
        ("1e9999999999999999999", "1e9999999999999999999"),
    ],
)
def test_equal_numbers_have_one_spelling(token: str, spelled: str) -> None:
    assert json_text.number(token) == spelled


@table("seed", range(100))
def test_order_and_spelling_of_random_json_do_not_matter(seed: int) -> None:
    source = random.Random(seed)

    def value(depth: int) -> Any:
        kind = source.randrange(7 if depth < 4 else 5)
        plain = [
            source.randrange(-9, 10**20),
            source.uniform(-1, 1),
            source.choice(["", "é", "\ud800", 'a"\\']),
            None,
            True,
        ]
        if kind < 5:
            return plain[kind]
        items = [value(depth + 1) for _ in range(source.randrange(4))]
        return items if kind == 5 else {source.choice("abc.[]\n") + str(i): item for i, item in enumerate(items)}

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in source.sample(list(value), len(value))}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    made = {"x": value(0), "y": value(0)}
    other = json.dumps(shuffled(made), indent=source.randrange(4)).encode()
    assert canonical(_json(made), OPTIONS) == canonical(_json(other), OPTIONS)
    assert difference(_json(made), _json({**made, "z": 1}), OPTIONS) == ["body.z: recorded 1, came nothing"]


@table("content_type", [JSON, FORM, "multipart/form-data; boundary=B", "", "\xff"])
@table("body", GARBAGE)
def test_hostile_bodies_have_a_canonical_form(body: bytes, content_type: str) -> None:
    for url in (URL, "", "http://[", "http://a:b/?%ff", "https://a/\x00?\ud800=1"):
        request = Request("POST", url, (("Content-Type", content_type),), body)
        assert canonical(request, OPTIONS) == canonical(request, OPTIONS)
        assert difference(request, Request("POST", url), OPTIONS) == [] or body


IGNORED = """
external_task_id external_id callback_url seed request_id client_request_id idempotency_key timestamp timestamps
nonce user
""".split()


@table("name", IGNORED)
def test_each_ignored_name_does_not_count_where_it_is_new_each_time(name: str) -> None:
    camel = name.split("_")[0] + "".join(map(str.title, name.split("_")[1:]))
    for spelled in (name, name.upper(), name.replace("_", "-"), camel):
        assert _equal(_json({spelled: 1}), _json({spelled: 2}))
        assert _equal(_json({"a": [{spelled: ["x"]}]}), _json({"a": [{spelled: ["y"]}]}))
        one, other = (_json({}, url=f"{URL}?{spelled}={value}") for value in "12")
        # In a URL, a client's own name for a job tells which one is meant.
        assert _equal(one, other) is (name not in ("external_task_id", "external_id"))
    chosen = MatchOptions.made(compare=[name])
    assert canonical(_json({name: 1}), chosen) != canonical(_json({name: 2}), chosen)
    others = [other for other in IGNORED if other != name]
    assert all(canonical(_json({o: 1}), chosen) == canonical(_json({o: 2}), chosen) for o in others)
    more = MatchOptions.made(ignore=["Own-Name"])
    assert all(canonical(_json({o: 1}), more) == canonical(_json({o: 2}), more) for o in [*IGNORED, "own_name"])
    assert canonical(_json({"other": 1}), more) != canonical(_json({"other": 2}), more)


@table(
    ("name", "one", "other", "is_clock"),
    [
        ("start_time", "1795212000", "1795212999", True),
        ("end_time", "1795212000000", "1795212999000", True),
        ("startTime", "1795212000", "1795212999000", True),
        ("start_time", "179521200", "179521299", False),
        ("start_time", "17952120000", "17952129990", False),
        ("start_time", "179521200000", "179521299900", False),
        ("start_time", "2026-01-01", "2026-01-02", False),
        ("start_time", "1795212000", "now", False),
        ("begin_time", "1795212000", "1795212999", False),
    ],
)
def test_a_clock_is_a_time_in_seconds_or_milliseconds(name: str, one: str, other: str, is_clock: bool) -> None:
    assert _equal(*(_json({}, url=f"{URL}?{name}={value}") for value in (one, other))) is is_clock
    assert _equal(*(_json({name: value}) for value in (one, other))) is is_clock
    if one.isdigit() and other.isdigit():
        assert _equal(*(_json({name: int(value)}) for value in (one, other))) is is_clock


def _equal(one: Request, other: Request) -> bool:
    return canonical(one, OPTIONS) == canonical(other, OPTIONS)


def test_the_order_of_members_does_not_count_and_that_of_items_does() -> None:
    twelve = list(range(12))
    assert _equal(_json({"a": 1, "b": twelve}), _json({"b": twelve, "a": 1}))
    assert not _equal(_json(twelve), _json(twelve[::-1]))
    paths = [field.path for field in canonical(_json({"b": twelve, "a": {"0": 1}}), OPTIONS).body]
    assert paths == [("a", "0"), *(("b", index) for index in twelve)]
    mixed = [field.path for field in canonical(_json({"a": [1, {"b": 1}]}), OPTIONS).body]
    assert mixed == [("a", 0), ("a", 1, "b")]


def test_the_nearest_is_that_of_the_same_address_then_host_then_fields() -> None:
    wanted = _json({"a": 1, "b": 2})
    elsewhere = _json({"a": 1, "b": 2}, url=URL.replace("api", "other"))
    changed = _json({"a": 3, "b": 4})
    little = _json({"a": 1, "b": 4})
    longer = _json({"a": 1, "b": 2}, url=f"{URL}/1")
    read = _json({"a": 1, "b": 2}, method="GET")
    assert nearest(wanted, [changed, little, elsewhere, longer, read], OPTIONS) == 1
    assert nearest(wanted, [longer, elsewhere, read], OPTIONS) == 1
    assert nearest(wanted, [read, longer], OPTIONS) == 0
    assert nearest(wanted, [elsewhere, changed], OPTIONS) == 1
    assert nearest(wanted, [_json({}), _json({"a": 1})], OPTIONS) == 1
    assert nearest(wanted, [_json({"a": 1, "b": 2, "c": 3, "d": 4}), _json({"a": 1, "b": 2, "c": 3})], OPTIONS) == 1


def test_differences_are_named_and_long_values_are_cut() -> None:
    lines = difference(_json(["x" * 70]), _json(["x" * 58]), OPTIONS)
    assert lines == [f'body[0]: recorded "{"x" * 58}", came "{"x" * 58}…']
    other = Request("GET", "http://b.example/c?d=1", (("x-team", "e"),), b"1")
    options = MatchOptions.made(headers=["X-Team"])
    wanted = Request("POST", "https://a.example/", (("X-TEAM", "f"),), b"2")
    assert difference(wanted, other, options) == [
        "method: recorded GET, came POST",
        "host: recorded http://b.example, came https://a.example",
        "path: recorded /c, came /",
        'query.d: recorded "1", came nothing',
        'headers.x-team: recorded "e", came "f"',
        "body: recorded 1, came 2",
    ]
    assert difference(_json({"a": [1, 2]}), _json({"a": [1]}), OPTIONS) == ["body.a[1]: recorded nothing, came 2"]


def test_members_that_stand_twice_have_an_order() -> None:
    fields = canonical(_json(b'{"a": {"b": 1}, "a": [2]}'), OPTIONS).body
    assert fields == canonical(_json(b'{"a": [2], "a": {"b": 1}}'), OPTIONS).body
    assert [field.path for field in fields] == [("a", 0), ("a", "b")]
