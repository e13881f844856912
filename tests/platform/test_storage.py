"""Results in a folder or a bucket: whole under their names, or not there; links that hold for a time."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mitm_ai_proxy.platform.storage import Storage, StorageError, object_name
from tests.platform.orders import NOW
from tests.tables import table


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


def test_a_result_has_a_name_by_tenant_and_day() -> None:
    assert object_name("acme", "job_1", NOW) == "acme/2027/01/15/job_1.mp4"


def test_an_object_is_stored_and_read_in_parts(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    storage.put("a/b.mp4", _file(tmp_path, b"0123456789"))

    assert storage.size("a/b.mp4") == 10
    assert storage.read("a/b.mp4", 2, 3) == b"234"
    assert (tmp_path / "results/a/b.mp4").read_bytes() == b"0123456789"


def test_a_second_put_replaces_the_first(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    for content in (b"first", b"second!"):
        storage.put("a.mp4", _file(tmp_path, content))

    assert storage.read("a.mp4", 0, 7) == b"second!"


def test_an_object_is_deleted_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    storage.put("a.mp4", _file(tmp_path, b"x"))
    for _ in range(2):
        storage.delete("a.mp4")

    assert storage.size("a.mp4") is None
    with pytest.raises(StorageError, match="a\\.mp4 cannot be read"):
        storage.read("a.mp4", 0, 1)


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    with pytest.raises((StorageError, ValueError)):
        storage.put("../a.mp4", _file(tmp_path, b"x"))

    assert not (tmp_path / "a.mp4").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        Storage(_file(tmp_path, b"x"))


def test_a_folder_that_went_away_is_an_error_and_no_loss(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    (tmp_path / "results").rmdir()
    (tmp_path / "results").write_bytes(b"")

    with pytest.raises(StorageError, match="was not stored"):
        storage.put("a.mp4", _file(tmp_path, b"x"))


# Clouds


@table(
    ("status", "code", "words"),
    [
        (404, "NoSuchBucket", "make the bucket, or look at STORAGE_URL"),
        (403, "InvalidAccessKeyId", "look at the key in the environment"),
        (401, "Unauthorized", "look at the key in the environment"),
        (400, "AuthorizationHeaderMalformed", "look at the endpoint, the region and the key"),
    ],
)
def test_what_a_bucket_refuses_is_said_with_what_to_do_and_without_its_text(status: int, code: str, words: str) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = f"<Error><Code>{code}</Code><Message>of the server</Message></Error>".encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *given: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError) as raised:
            Storage("s3://videos").check()
        server.shutdown()

    assert words in str(raised.value)
    assert not [secret for secret in ("s3cret", "of the server") if secret in str(raised.value)]


def test_a_folder_gives_no_links(tmp_path: Path) -> None:
    storage = Storage(f"file://{tmp_path}/results")
    storage.check()

    assert storage.link("a", 60) is None


@table("url", ["az://account/container", "s3://bucket"])
def test_a_link_to_a_cloud_is_made_without_asking_it(url: str) -> None:
    """Signed with made-up credentials; what Azure says to it nobody has tried."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0",
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        link = Storage(url).link("a/b.mp4", 60)

    assert link
    assert link.startswith("https://")
    assert "s3cret" not in link
