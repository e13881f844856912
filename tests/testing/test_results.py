"""The names of entries in the results of tests."""

from __future__ import annotations

from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.testing.results import entry_name


def test_exchanges_of_the_same_moment_have_names_of_their_own() -> None:
    bodies = [(b"a cat", b"1"), (b"a dog", b"1"), (b"a cat", b"2")]
    entries = [
        Entry(5.0, 1.0, Request("POST", "https://a/v1", (), ask), Response(200, "", (), said)) for ask, said in bodies
    ]
    entries.append(Entry(5.0, 1.0, Request("POST", "https://a/v1", (), b"a cat"), None))
    assert len({*map(entry_name, entries)}) == 4
