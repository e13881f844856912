"""Editing a JSON document in place: what is not meant to change stays to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import json_edit, json_tree
from mitm_ai_proxy.wire.json_tree import Value
from tests.tables import table


@pytest.fixture(autouse=True, params=[0, json_edit._WORTH_DECODING], ids=["decoded", "scanned"])
def worth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to find the ends of values."""
    monkeypatch.setattr(json_edit, "_WORTH_DECODING", request.param)


def _value(document: bytes) -> Value:
    return json_tree.parsed(document, json_edit.members(document))


def _path(name: str, text: bytes = b"9", *, overwrite: bool = True) -> Callable[[Value], object]:
    return lambda value: value.put_path(tuple(name.split(".")), text, overwrite=overwrite)


def _puts(*members: tuple[str, bytes]) -> Callable[[Value], object]:
    return lambda value: [value.put_path((key,), text) for key, text in members]


def _get(value: Value, *keys: str) -> Value:
    for key in keys:
        found = value.items()[int(key)] if key.isdigit() else value.get(key)
        assert found
        value = found
    return value


@table(
    ("before", "edit", "after"),
    [
        # put
        (b'{ "a" : 1.50 , "b":2}', lambda v: v.put("b", b"3"), b'{ "a" : 1.50 , "b":3}'),
        (b'{ "a" : 1 }', lambda v: v.put("c", b"[]"), b'{ "a" : 1,"c":[] }'),
        (b"{ }", _puts(("a", b"1"), ("\xe9", b"2")), b'{"a":1,"\\u00e9":2 }'),
        (b' \n{"a":{"b":1e400}}\n', lambda v: _get(v, "a").put("c", b"1"), b' \n{"a":{"b":1e400,"c":1}}\n'),
        (b'{"a":[{"b":1},{"b":2}]}', lambda v: _get(v, "a", "1").put("b", b"3"), b'{"a":[{"b":1},{"b":3}]}'),
        (b'{"\\u0061":1}', lambda v: v.put("a", b"2"), b'{"\\u0061":2}'),
        (b'{"a":1}', _path("b.c", b"1"), b'{"a":1,"b":{"c":1}}'),
        (b'{"a":1}', lambda v: (_path("a", b"{}")(v), _path("a.c", b"1")(v)), b'{"a":{"c":1}}'),
        # remove
        (b'{"a":1, "b":2, "c":3}', lambda v: v.remove("b"), b'{"a":1, "c":3}'),
        (b'{"a":1, "b":2, "c":3}', lambda v: v.remove("b", "c"), b'{"a":1}'),
        (b'{"a":1}', lambda v: v.remove("a"), b"{}"),
        (b'{"a":1}', lambda v: (v.remove("a"), _path("a", b"2")(v)), b'{"a":2}'),
        (b'{"a":1, "b":2}', lambda v: (_path("c", b"3")(v), v.remove("b")), b'{"a":1,"c":3}'),
        (b'{"a":1,"a":2,"b":0}', lambda v: v.remove("a"), b'{"b":0}'),
        (b'{"a":{"b":1},"c":1}', lambda v: (_path("a.b", b"2")(v), v.remove("a")), b'{"c":1}'),
        # lists
        (b'{"a":[1, "x]" , {}]}', lambda v: _get(v, "a").remove_items([_get(v, "a", "1")]), b'{"a":[1, {}]}'),
        (b'{"a":[1,2]}', lambda v: _get(v, "a").remove_items(_get(v, "a").items()), b'{"a":[]}'),
        (b'{"a":[]}', lambda v: _get(v, "a").append(b"1"), b'{"a":[1]}'),
        (b'{"a":[ 0 ]}', lambda v: _get(v, "a").append(b"1"), b'{"a":[ 0,1 ]}'),
        # paths
        (b'{"a":{"b":1}}', _path("a.b"), b'{"a":{"b":9}}'),
        (b'{"a":{"b":1}}', _path("a.b", overwrite=False), b'{"a":{"b":1}}'),
        (b'{"a":{"b":null}}', _path("a.b", overwrite=False), b'{"a":{"b":null}}'),
        (b'{"a":{}}', _path("a.b", overwrite=False), b'{"a":{"b":9}}'),
        (b"{}", _path("a.b.c"), b'{"a":{"b":{"c":9}}}'),
        (b"{}", _path("a.0.c"), b'{"a":[{"c":9}]}'),
        (b"{}", _path("a.2"), b'{"a":[null,null,9]}'),
        (b'{"a":[1,[2]]}', _path("a.1.0"), b'{"a":[1,[9]]}'),
        (b'{"a":[1]}', _path("a.2"), b'{"a":[1,null,9]}'),
        (b'{"a":[1]}', _path("a.b"), b'{"a":[1]}'),
        (b'{"a":{"0":1}}', _path("a.0"), b'{"a":{"0":9}}'),
        (b'{"a":"text"}', _path("a.b"), b'{"a":{"b":9}}'),
        (b'{"a":"text"}', _path("a.b", overwrite=False), b'{"a":"text"}'),
        (b'{"a":[1]}', _path("a.99999999999999999999"), b'{"a":[1]}'),
    ],
)
def test_only_what_is_edited_changes(before: bytes, edit: Callable[[Value], object], after: bytes) -> None:
    value = _value(before)
    edit(value)

    assert value.written() == after
    json.loads(after)


def test_several_edits_are_written_together() -> None:
    value = _value(b'{"model" : "a", "list":[{"role":"x","n":1.0},{"role":"y"}], "end":{}}')
    value.put("model", b'"b"')
    for item in _get(value, "list").items():
        item.put("role", b'"z"')
    value.put_path(("end", "k"), b"1")
    value.put("new", b"[1]")

    assert value.written() == b'{"model" : "b", "list":[{"role":"z","n":1.0},{"role":"z"}], "end":{"k":1},"new":[1]}'


def test_a_document_that_is_only_looked_at_is_the_same_object() -> None:
    document = b'{"a":[{"b":"\\u00e9"}],"c":null}'
    value = _value(document)

    assert _get(value, "a", "0", "b").string() == "\xe9"
    assert (_get(value, "c").raw, _get(value, "c").string(), value.get("d")) == (b"null", None, None)
    assert [key for key, _ in value.children()] == ["a", "c"]
    assert value.written() is document


def test_a_member_that_stands_twice_is_refused_where_it_is_looked_for() -> None:
    value = _value(b'{"a":1,"b":{"a":1},"a":2}')

    assert _get(value, "b", "a").raw == b"1"
    with pytest.raises(Refusal, match="a stands more than once in the request body") as caught:
        value.get("a")
    assert caught.value.param == "a"
