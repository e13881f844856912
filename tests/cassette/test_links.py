"""References resolved as clients do, and links that are signed."""

from __future__ import annotations

from mitm_ai_proxy.cassette import links
from tests.tables import table

BASE = "https://cdn.test/a/start.mp4?sign=x"


@table(
    ("reference", "expected"),
    [
        ("https://other.test/x?y=1#z", "https://other.test/x?y=1#z"),
        ("HTTP://Other.test", "HTTP://Other.test"),
        ("//other.test/x", "https://other.test/x"),
        ("//other.test:81?x", "https://other.test:81?x"),
        ("/files/real.mp4?sign=A%2fB", "https://cdn.test/files/real.mp4?sign=A%2fB"),
        ("real.mp4", "https://cdn.test/a/real.mp4"),
        ("./b/real.mp4?", "https://cdn.test/a/b/real.mp4?"),
        ("../real.mp4", "https://cdn.test/real.mp4"),
        ("../../../real.mp4", "https://cdn.test/real.mp4"),
        ("b/..", "https://cdn.test/a/"),
        ("/a/./b/../c;d=1//e", "https://cdn.test/a/c;d=1//e"),
        ("https://other.test/a/../b", "https://other.test/b"),
        ("?part=2", "https://cdn.test/a/start.mp4?part=2"),
        ("#part", "https://cdn.test/a/start.mp4?sign=x#part"),
        ("", BASE),
        ("mailto:a@cdn.test", "mailto:a@cdn.test"),
        ("data:video/mp4;base64,AA//", "data:video/mp4;base64,AA//"),
    ],
)
def test_a_reference_is_resolved_against_the_url_it_came_from(reference: str, expected: str) -> None:
    assert links.resolved(reference, BASE) == expected


def test_a_base_without_a_path_has_the_root() -> None:
    assert links.resolved("a", "https://cdn.test") == "https://cdn.test/a"
    assert links.resolved("?a", "https://cdn.test") == "https://cdn.test?a"


def test_characters_that_no_url_can_have_are_encoded_and_nothing_else() -> None:
    assert links.encoded('https://cdn.test/a b/"ü"/%20?x={1}') == "https://cdn.test/a%20b/%22%C3%BC%22/%20?x=%7B1%7D"


@table(
    ("query", "is_signed"),
    [
        ("?sign=s", True),
        ("?a=1&Signature=s", True),
        ("?X-Amz-Signature=s", True),
        ("?x-amz-credential=AK%2F2026", True),
        ("?X-Goog-Algorithm=s", True),
        ("?x-oss-expires=9", True),
        ("?Expires=99", True),
        ("?token=t", True),
        ("?sig=s", True),
        ("?se=2026&sp=r", True),
        ("?st=1&e=2", True),
        ("?auth_key=1-2-3", True),
        ("?api_key=k", True),
        ("?Policy=p&Key-Pair-Id=k", True),
        ("", False),
        ("?", False),
        ("?st=running", False),
        ("?e=1&page=2", False),
        ("?page_token=t&limit=5", False),
        ("?design=1&assigned=2", False),
        ("?a=b#?sign=s", False),
    ],
)
def test_a_link_is_signed_by_the_names_in_its_query(query: str, is_signed: bool) -> None:
    assert links.is_signed(f"https://cdn.test/sign/a.mp4{query}") is is_signed
