"""Origins, paths, ids and queries: how they are parsed, what is refused, and that the rest is kept to the byte."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import targets
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table


@table(
    ("text", "origin", "authority"),
    [
        ("host.test", Origin("https", "host.test", 443), "host.test"),
        (" Host.TEST\n", Origin("https", "host.test", 443), "host.test"),
        ("host.test:443", Origin("https", "host.test", 443), "host.test"),
        ("host.test:80", Origin("https", "host.test", 80), "host.test:80"),
        ("https://host.test/", Origin("https", "host.test", 443), "host.test"),
        ("http://host.test", Origin("http", "host.test", 80), "host.test"),
        ("HTTP://host.test:443", Origin("http", "host.test", 443), "host.test:443"),
        ("http://127.0.0.1:3000", Origin("http", "127.0.0.1", 3000), "127.0.0.1:3000"),
        ("a_b-c.test:65535", Origin("https", "a_b-c.test", 65535), "a_b-c.test:65535"),
        ("localhost:1", Origin("https", "localhost", 1), "localhost:1"),
        ("[::1]", Origin("https", "::1", 443), "[::1]"),
        ("http://[2001:DB8::1]:8080/", Origin("http", "2001:db8::1", 8080), "[2001:db8::1]:8080"),
        (f"{'a' * 63}.test", Origin("https", f"{'a' * 63}.test", 443), f"{'a' * 63}.test"),
    ],
)
def test_an_origin_is_read_and_its_authority_names_only_an_unusual_port(
    text: str, origin: Origin, authority: str
) -> None:
    assert Origin.parse(text) == origin
    assert Origin.parse(text).authority == authority
    assert str(Origin.parse(text)) == f"{origin.scheme}://{authority}"
    assert Origin.parse(str(origin)) == origin


@table(
    ("reason", "texts"),
    [
        ("unknown scheme 'ftp': use http or https", ["ftp://host.test", "FTP://host.test/v1"]),
        ("unknown scheme: use http or https", ["://host.test", "sk-a1://host.test"]),
        ("has a path", "host.test/v1 http://host.test// host.test?a=b host.test#a".split()),
        ("has a user name", ["https://user:key@host.test", "key@host.test"]),
        ("is not a host name or address", "https:// :80 ::1 [::1 -host a..b host. hößt.test h%2et h\\t".split()),
        ("is not a host name or address", ["", "host name", "a" * 64, ".".join(["a" * 50] * 5)]),
        (".+", "[] [host.test] [127.0.0.1] [1::2::3] [g::1]".split()),
        ("has text behind the address", ["[::1]80", "[::1]]:80"]),
        ("has no port", "h: h:0 h:65536 h:-1 h:+1 h:٣ h:80:80 [::1]: [::1]:x".split()),
        ("has no port", ["h:8 0"]),
    ],
)
def test_what_is_no_origin_is_refused_with_the_reason(reason: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=f"^{reason}"):
            Origin.parse(text)


@table(("text", "expected"), [("Host.test", ("host.test", None)), ("h:443", ("h", 443)), ("[::1]:80", ("::1", 80))])
def test_a_port_that_is_not_given_is_none(text: str, expected: tuple[str, int | None]) -> None:
    assert targets.split_host_port(text) == expected


@table(
    ("target", "path", "query"),
    [
        ("/a", "/a", ""),
        ("/a?b=c", "/a", "b=c"),
        ("/a?b?c", "/a", "b?c"),
        ("/a?b=%2f&&c", "/a", "b=%2f&&c"),
        ("?a", "", "a"),
    ],
)
def test_a_target_is_split_at_its_first_question_mark_and_joined_again(target: str, path: str, query: str) -> None:
    assert targets.split_query(target) == (path, query)
    assert targets.join_query(path, query) == target


def test_an_empty_query_leaves_no_question_mark() -> None:
    assert targets.split_query("/a?") == ("/a", "")
    assert targets.join_query("/a", "") == "/a"


@table("path", ["", "/a b", *"/ // /v1/videos/ /v1//videos /a.b/... /.a/a. /a%2Fb /%2e%2e%2e /é /%zz *".split()])
def test_a_path_without_dot_segments_is_allowed(path: str) -> None:
    targets.check_path(path)


@table(
    ("path", "reason"),
    [(path, "control character") for path in ("/a\n", "/a%0a", "/%00", "/a%7Fb", "/\x1f/..")]
    + [
        (path, "'.' or '..' segment")
        for path in (
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "..",
            "/%2e%2E",
            "/a%2f..%2fb",
            "/a/.%2e",
            r"/a\..\b",
            "/a%5c..",
            "/..;/a",
            "/a/..;x=1/b",
            "/.;",
            "/..%3b/a",
        )
    ],
)
def test_a_path_that_could_leave_its_base_is_refused(path: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        targets.check_path(path)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_path", None)


@table("value", ["a b", "a" * 256, "%61" * 256, *"1 kling-i2v-123 a.b ... %20 é %C3%A9 a:b;c,d=e&f@g+h {id}".split()])
def test_an_unambiguous_id_is_allowed(value: str) -> None:
    targets.check_id("video_id", value)


@table(
    ("value", "reason"),
    [
        ("", "is empty"),
        *((value, "has broken percent-encoding") for value in ("%", "a%2", "%zz", "%u0041")),
        *((value, "is longer than 256 characters") for value in ("a" * 257, "%61" * 257, "é" * 257)),
        *((value, "is a dot segment") for value in (".", "..", "%2e", ".%2E")),
        *((value, "holds a slash") for value in r"a/b a%2fb ../a / a\b %5C a?b %3F a#b %23 %00 %7f %0D%0A".split()),
        ("a\n", "holds a slash"),
    ],
)
def test_an_id_that_could_be_read_as_something_else_is_refused_and_named(value: str, reason: str) -> None:
    with pytest.raises(Refusal, match=f"^The video_id {reason}") as caught:
        targets.check_id("video_id", value)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_path", "video_id")


@table(
    ("path", "base", "below", "without", "together"),
    [
        ("/gateway/v1/chat", "/gateway", True, "/v1/chat", "/gateway/v1/chat"),
        ("/gateway", "/gateway", True, "/", "/gateway"),
        ("/gateway/", "/gateway", True, "/", "/gateway/"),
        ("/gatewayx/v1", "/gateway", False, "/gatewayx/v1", "/gateway/gatewayx/v1"),
        ("/v1/gateway", "/gateway", False, "/v1/gateway", "/gateway/v1/gateway"),
        ("/Gateway/v1", "/gateway", False, "/Gateway/v1", "/gateway/Gateway/v1"),
        ("/a/b/c", "/a/b", True, "/c", "/a/b/c"),
        ("/a/b/a/b", "/a/b", True, "/a/b", "/a/b/a/b"),
        ("/", "/a", False, "/", "/a/"),
    ],
)
def test_a_base_path_is_compared_by_whole_segments(
    path: str, base: str, below: bool, without: str, together: str
) -> None:
    assert targets.is_under(path, base) is below
    assert targets.remove_prefix(path, base) == without
    assert targets.add_prefix(path, base) == together


@table("path", ["/v1/videos", "//a", "/", "*", ""])
def test_no_base_path_changes_nothing(path: str) -> None:
    assert targets.remove_prefix(path, "") == targets.add_prefix(path, "") == path


def test_one_base_path_is_replaced_by_another() -> None:
    assert targets.add_prefix(targets.remove_prefix("/gateway/v1/chat", "/gateway"), "/ai") == "/ai/v1/chat"


@table(
    ("template", "expected", "names"),
    [
        ("/v1/videos/{video_id}", "/v1/videos/v-1", {"video_id"}),
        ("/{video_id}/{video_id}?a={model}", "/v-1/v-1?a={x}", {"video_id", "model"}),
        ("/{other}/{video_id}", "/{other}/v-1", {"other", "video_id"}),
        (
            "/{}/{Video_id}/{video id}/{{video_id}}",
            "/{}/{Video_id}/{video id}/{v-1}",
            {"", "Video_id", "video id", "video_id"},
        ),
        ("/v1/videos", "/v1/videos", set()),
    ],
)
def test_a_template_is_filled_once_and_only_with_what_is_known(template: str, expected: str, names: set[str]) -> None:
    assert targets.fill(template, {"video_id": "v-1", "model": "{x}"}) == expected
    assert targets.placeholders(template) == names


def test_a_value_is_not_a_template() -> None:
    assert targets.fill("/{a}/{b}", {"a": r"{b}\1", "b": "{a}"}) == r"/{b}\1/{a}"


@table(
    ("first", "second", "expected"),
    [
        ("", "", ""),
        ("a=1", "", "a=1"),
        ("", "a=1", "a=1"),
        ("version=1", "version=1&trace=1", "version=1&trace=1"),
        ("b=2&a=1", "c=3&a=1&b=3", "b=2&a=1&c=3&b=3"),
        ("b=2", "a=1&a=1&&c=&b=2", "b=2&a=1&a=1&&c="),
        ("", "a=1&a=1&&b=", "a=1&a=1&&b="),
        ("a=1&a=1", "a=1", "a=1&a=1"),
        ("a=%2f", "a=%2F&a=/", "a=%2f&a=%2F&a=/"),
        ("limit=10", "api-version=2024-10-21", "limit=10&api-version=2024-10-21"),
    ],
)
def test_the_own_query_comes_first_and_what_it_has_is_left_out_of_the_clients(
    first: str, second: str, expected: str
) -> None:
    assert targets.merge_queries(first, second) == expected


@table(
    ("query", "value", "rest"),
    [
        ("", None, ""),
        ("trace=1", None, "trace=1"),
        ("hint=t2v", "t2v", ""),
        ("hint=t2v&trace=1&hint=i2v", "i2v", "trace=1"),
        ("hint=image%32video&trace=1", "image2video", "trace=1"),
        ("hint=image%202video&trace=1", "image 2video", "trace=1"),
        ("hint=a+b%2B", "a b+", ""),
        ("h%69nt=a", "a", ""),
        ("%68%69%6E%74=a&trace=%2f+", "a", "trace=%2f+"),
        ("hint=", "", ""),
        ("hint", "", ""),
        ("hint=a=b", "a=b", ""),
        ("hint=%zz&trace=1", None, "trace=1"),
        ("hint=a&hint=%", "a", ""),
        ("hint%zz=a", None, "hint%zz=a"),
        ("hints=a&Hint=b&xhint=c", None, "hints=a&Hint=b&xhint=c"),
        ("a&&hint=b&=c&", "b", "a&&=c&"),
        ("hint=a;hint=b", "a;hint=b", ""),
    ],
)
def test_a_parameter_is_removed_and_the_other_parts_are_unchanged(query: str, value: str | None, rest: str) -> None:
    assert targets.pop_parameter(query, "hint") == (value, rest)
