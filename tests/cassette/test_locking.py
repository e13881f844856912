"""Several writers of one cassette lose nothing, and the lock of a folder excludes threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mitm_ai_proxy.cassette import har, locking
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber

pytestmark = pytest.mark.programs

WRITER = """
import sys
from pathlib import Path
from tests.cassette.test_locking import cassette, entry

path, name, count = sys.argv[1:]
writer = cassette(Path(path))
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
for number in range(int(count)):
    writer.record(entry(f"{name}-{number}"))
"""
HOLDER = """
import sys
from pathlib import Path
from mitm_ai_proxy.cassette.locking import locked

with locked(Path(sys.argv[1])):
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
"""
ROOT = Path(__file__).parents[2]


def cassette(path: Path, mode: Mode = Mode.APPEND) -> Cassette:
    """A cassette that records."""
    return Cassette(Opening(path, mode), Scrubber(), lambda: 0.0)


def entry(name: str) -> Entry:
    """An exchange with a name of its own, and a body that is a file."""
    answer = Response(200, "OK", (("Content-Type", "video/mp4"),), b"\xff" + name.encode())
    return Entry(1.0, 1.0, Request("POST", "https://a.test/v1/videos", (), name.encode()), answer)


def _names(path: Path) -> list[str]:
    return sorted(found.request.body.decode() for found in har.read(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "folder" / "job.har"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts a Python program with arguments, and waits until it is ready."""
    started: list[subprocess.Popen[bytes]] = []

    def run(program: str, *arguments: object) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", program, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "addon")))}
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_record_into_one_file_lose_nothing(
    count: int, path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    processes = [start(WRITER, path, number, 15) for number in range(count)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [(process.wait(), process.stderr and process.stderr.read()) for process in processes] == [(0, b"")] * count

    assert _names(path) == sorted(f"{number}-{turn}" for number in range(count) for turn in range(15))
    assert sorted(found.name for found in path.parent.iterdir()) == ["job.bodies", "job.har"]
    assert len(list((path.parent / "job.bodies").iterdir())) == 15 * count


MOMENTS = [Mode.APPEND, Mode.NEW_EPISODES, Mode.ALL, Mode.REWRITE]


@pytest.mark.parametrize("mode", MOMENTS)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_another_one_records_between_reading_and_replacing_stays(
    mode: Mode, is_first: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_first:
        cassette(path).record(entry("old"))
    one, other = cassette(path, mode), cassette(path, mode)
    one.record(entry("a"))
    replace = os.replace
    threads: list[threading.Thread] = []

    def interrupted(old: Path, new: Path) -> None:
        if new == path and not threads:
            threads.append(threading.Thread(target=other.record, args=(entry("c"),)))
            threads[0].start()
            # It ends at once, unless it is locked out.
            threads[0].join(0.3)
        replace(old, new)

    monkeypatch.setattr(os, "replace", interrupted)
    one.record(entry("b"))
    threads[0].join()
    one.record(entry("d"))

    assert _names(path) == ["a", "b", "c", "d", *([] if is_first else ["old"])]


def test_another_process_waits_for_the_lock_and_one_that_dies_releases_it(
    path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    holder = start(HOLDER, path.parent)
    assert holder.stdout
    assert holder.stdout.readline() == b"ready\n"
    is_recorded = threading.Event()

    def record() -> None:
        cassette(path).record(entry("a"))
        is_recorded.set()

    thread = threading.Thread(target=record)
    thread.start()
    assert not is_recorded.wait(0.3)
    assert not path.exists()
    holder.kill()
    thread.join()

    assert _names(path) == ["a"]


def test_a_folder_that_cannot_be_locked_is_locked_by_another_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locking._lock

    def as_nfs_does(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(9, "Bad file descriptor")
        lock(descriptor)

    monkeypatch.setattr(locking, "_lock", as_nfs_does)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    inside = threading.Event()

    def enter() -> None:
        with locking.locked(path.parent):
            inside.set()

    thread = threading.Thread(target=enter)
    with locking.locked(path.parent):
        thread.start()
        assert not inside.wait(0.3)
    thread.join()
    assert inside.is_set()
    assert list(path.parent.iterdir()) == []
    assert len(list(tmp_path.glob("*.lock"))) == 1


def test_a_lock_that_cannot_be_had_is_an_error_with_the_name_of_the_cassette(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(locking, "_lock", fail)
    with pytest.raises(CassetteError) as caught:
        cassette(path).record(entry("a"))
    assert str(caught.value) == f"{path}: could not be locked (Input/output error)"
