"""Results in a folder: whole under their names, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mitm_ai_proxy.platform.storage import Storage, StorageError, object_name
from tests.platform.orders import NOW


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
