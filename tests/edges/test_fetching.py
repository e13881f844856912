"""Texts that are loaded with a configuration: from files and servers, bounded, and refused with a reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitm_ai_proxy.edges import fetching
from mitm_ai_proxy.providers.fetches import MAX_SIZE, Fetch
from mitm_ai_proxy.wire.targets import Url
from tests.e2e.http_server import Handler, Server
from tests.tables import table

SECRET = "Bearer sk-secret"


class _Files(Handler):
    """Answers by the path. `released` ends an answer that does not come."""

    released = threading.Event()

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name == "slow":
            self.released.wait(30)
            return
        status = {"moved": 302, "gone": 404}.get(name, 200)
        body = {"binary": b"\xff", "empty": b" \n", "long": b"x" * (MAX_SIZE + 1)}.get(name, "a é".encode())
        if name == "authorized":
            body = self.headers.get("Authorization", "-").encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/text")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    with Server(("127.0.0.1", 0), _Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        _Files.released.set()
        server.shutdown()


def _fetch(source: Url | Path, timeout: float = 20) -> Fetch:
    return Fetch("context", "context", source, timeout, {"authorization": SECRET})


def test_a_text_is_loaded_with_the_credential_that_belongs_to_it(files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment may be this one.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    assert fetching.load(_fetch(Url.parse(f"{files}/text"))) == "a é"
    assert fetching.load(_fetch(Url.parse(f"{files}/authorized"))) == SECRET


def test_a_text_is_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "context.txt"
    path.write_bytes(b"\xef\xbb\xbfa\n")

    assert fetching.load(_fetch(path)) == "a\n"


@table(
    ("name", "why"),
    [
        ("moved", "cannot be loaded: the server answers with status 302"),
        ("gone", "cannot be loaded: the server answers with status 404"),
        ("binary", "is not UTF-8 (byte 0)"),
        ("empty", "is empty"),
        ("long", f"has more than {MAX_SIZE} bytes"),
    ],
)
def test_what_is_no_text_is_refused(name: str, why: str, files: str) -> None:
    with pytest.raises(fetching.FetchError) as caught:
        fetching.load(_fetch(Url.parse(f"{files}/{name}")))

    assert str(caught.value) == why


def test_it_does_not_wait_for_ever(files: str) -> None:
    with pytest.raises(fetching.FetchError, match=r"^is not there within 0.2 seconds$"):
        fetching.load(_fetch(Url.parse(f"{files}/slow"), 0.2))


def test_a_server_or_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for source in (Url.parse("http://127.0.0.1:1/x"), tmp_path / "none.txt", tmp_path):
        with pytest.raises(fetching.FetchError, match=r"^cannot be (loaded|read): ") as caught:
            fetching.load(_fetch(source))
        assert "secret" not in str(caught.value)
