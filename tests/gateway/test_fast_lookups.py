"""Look-ups of header fields and options: equal results with mitmproxy's own functions and with the fast ones."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest
from mitmproxy import hooks
from mitmproxy.http import Headers
from mitmproxy.net.http import url
from mitmproxy.options import Options
from mitmproxy.optmanager import _Option

from mitm_ai_proxy.gateway import fast_lookups
from tests.tables import table

HEADERS: Final = (
    Headers(),
    Headers([(b"A", b"1")]),
    Headers([(b"a", b"1"), (b"B", b""), (b"A", b"2"), (b"a-b", b"3")]),
    Headers([(b"A", b"\xff\x00"), (b"\xc3\x84", b"\xc3\x84"), (b"\xff", b"4"), (b"", b"5")]),
)
NAMES: Final = ("a", "A", b"A", b"b", "c", "", b"", "\u00c4", b"\xc3\x84", "\udcff", b"\xff", "a-b", bytearray(b"a"))
WRONG: Final = (None, 1, ["a"])


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    """mitmproxy's own functions, before and after each test."""
    fast_lookups.switch(False)
    yield
    fast_lookups.switch(False)


def outcome(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return call(*arguments, **named)
    except Exception as error:
        return type(error)


LOOKUPS: Final[list[Callable[[Any, Any], Any]]] = [
    lambda headers, name: headers.get_all(name),
    lambda headers, name: headers[name],
    lambda headers, name: headers.get(name),
    lambda headers, name: headers.get(name, "default"),
    lambda headers, name: headers.get(name, default=5),
    lambda headers, name: headers.get(key=name),
    lambda headers, name: name in headers,
    lambda headers, name: headers.pop(name, None),
    lambda headers, name: headers.setdefault(name, "new"),
]


def everything() -> list[Any]:
    made = [headers.copy() for headers in HEADERS]
    found = [outcome(f, h, n) for h in made for n in (*NAMES, *WRONG) for f in LOOKUPS]
    return [*found, *(headers.fields for headers in made)]


def test_header_fields_are_found_as_mitmproxy_finds_them() -> None:
    stock = everything()
    fast_lookups.switch(True)
    assert Headers.get_all is fast_lookups._get_all
    fast = everything()
    assert fast == stock
    assert [*map(type, fast)] == [*map(type, stock)]


class Folded(Headers):
    """Headers that somebody else has changed."""

    def get_all(self, name: str | bytes) -> list[str]:
        return [*super().get_all(name), "more"]

    @staticmethod
    def _reduce_values(values: Any) -> str:
        return "; ".join(values)


def test_changed_headers_keep_their_changes() -> None:
    fast_lookups.switch(True)
    headers = Folded([(b"a", b"1")])
    assert (headers["a"], headers.get("A"), headers.get("b"), "b" in headers) == ("1; more", "1; more", "more", True)


@table(
    ("kind", "values"),
    [
        (str, ["", "text"]),
        (str | None, [None, "text"]),
        (int, [0, 5]),
        (bool, [True, False]),
        (Sequence[str], [[], ["one", "two"]]),
    ],
)
def test_options_are_read_as_mitmproxy_reads_them(kind: Any, values: list[Any]) -> None:
    def read() -> list[Any]:
        found = []
        for value in values:
            option = _Option("an_option", kind, value, "", None)
            found.append(option.current())
            for other in values:
                option.set(other)
                found.append(option.current())
            option.reset()
            found.append(option.current())
        return found

    stock = read()
    fast_lookups.switch(True)
    assert read() == stock


AUTHORITIES: Final = (
    *(
        "a",
        "a:80",
        "a.b-c_d:0",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:443",
        "::1",
        "",
        ":80",
        "a:65536",
        "a:x",
        "a b",
        "\u00e4",
    ),
    *(b"a", b"a:80", b"xn--4ca:1", b"\xc3\xa4", b"\xff", b"[::1]:1", b"", b"a b"),
    *("a" * 64, "a." * 150, b"a." * 150 + b":80", None, 5),
)


def test_hosts_are_read_as_mitmproxy_reads_them() -> None:
    def read() -> list[Any]:
        found = [outcome(url.parse_authority, a, c) for a in AUTHORITIES for c in (True, False)]
        return [*found, *(outcome(url.parse_authority, a, check=False) for a in AUTHORITIES)]

    stock = read()
    fast_lookups.switch(True)
    assert [read(), read()] == [stock, stock]
    assert [*map(type, read())] == [*map(type, stock)]


def test_long_hosts_are_not_kept() -> None:
    fast_lookups.switch(True)
    url.parse_authority("a" * 200, check=False)
    kept = fast_lookups._read_authority_once.cache_info().currsize
    url.parse_authority("a" * 1000, check=False)
    assert fast_lookups._read_authority_once.cache_info().currsize == kept


def test_arguments_of_hooks_are_those_of_mitmproxy() -> None:
    def read() -> list[list[Any]]:
        made = [kind.__new__(kind) for kind in hooks.all_hooks.values()]
        for event in made:
            for number, field in enumerate(dataclasses.fields(event)):
                setattr(event, field.name, number)
        return [event.args() for event in made]

    @dataclasses.dataclass
    class TwoValuesHook(hooks.Hook):
        one: int
        two: int

    stock = read()
    assert {*map(len, stock)} == {0, 1, 2}
    fast_lookups.switch(True)
    assert [read(), read()] == [stock, stock]
    del hooks.all_hooks[TwoValuesHook.name]


def test_a_list_that_was_read_is_not_the_option_s_own() -> None:
    fast_lookups.switch(True)
    options: Any = Options()
    for changed in ([], ["one"]):
        options.update(ignore_hosts=changed)
        before = [*options.ignore_hosts]
        options.ignore_hosts.append("two")
        assert options.ignore_hosts == before


def test_it_is_put_back_also_after_an_earlier_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> list[Any]:
        return [vars(place).get(name) for place, name, _ in fast_lookups._REPLACED]

    own = state()
    fast_lookups.switch(True)
    ours = state()
    assert not {*map(id, ours)} & {*map(id, own)}
    # Another load of the script has functions of its own.
    later = [(place, name, lambda *_: None) for place, name, _ in fast_lookups._REPLACED]
    monkeypatch.setattr(fast_lookups, "_REPLACED", tuple(later))
    fast_lookups.switch(True)
    assert state() == [function for _, _, function in later]
    fast_lookups.switch(True)
    fast_lookups.switch(False)
    assert state() == own


def test_a_later_load_knows_mitmproxy_s_own_behind_those_of_an_earlier_one() -> None:
    fast_lookups.switch(True)
    assert fast_lookups.__file__
    spec = importlib.util.spec_from_file_location(f"{fast_lookups.__package__}.a_later_load", fast_lookups.__file__)
    assert spec
    assert spec.loader
    later = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(later)
    assert later.is_known()


def test_other_look_ups_of_mitmproxy_s_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(self: Headers) -> None: ...

    own = Headers.get_all
    for others in ((changed,), (len,)):
        monkeypatch.setattr(fast_lookups, "_IMITATED", (*fast_lookups._IMITATED[1:], *others))
        assert not fast_lookups.is_known()
        fast_lookups.switch(True)
        assert Headers.get_all is own
