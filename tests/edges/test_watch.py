"""The watch on a file: each change is reported once, and nothing else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mitm_ai_proxy.edges import watch
from mitm_ai_proxy.edges.watch import Watch, signature


class _Looks:
    """Replaces asyncio.sleep, so that the test decides when the watch checks the file."""

    def __init__(self) -> None:
        self._asks, self._goes = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for look()."""
        assert seconds == watch.INTERVAL
        self._asks.set()
        await self._goes.wait()
        self._goes.clear()

    async def look(self) -> None:
        """Have the watch check the file once; returns when it has done so."""
        await self._asks.wait()
        self._asks.clear()
        self._goes.set()
        await self._asks.wait()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else "gone"


Act = Callable[[Watch[str], Callable[[], Awaitable[None]]], Awaitable[None]]


def _watched(work: Act, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], str] = _text) -> list[str]:
    """Run `work(watch, look)` with a watch that has started; returns the texts that were used."""
    used: list[str] = []

    async def test() -> None:
        looks = _Looks()
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", looks.sleep)
            watched = Watch(load, used.append)
            watched.start()
            await asyncio.wait_for(work(watched, looks.look), 20)
            watched.stop()

    asyncio.run(test())
    return used


def test_a_changed_file_is_used_once_when_it_has_looked_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("1")

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watched.read(path)
        await look()
        for text in ("12", "123", "1234"):
            path.write_text(text)
            await look()
        for _ in range(4):
            await look()

    assert _watched(work, monkeypatch) == ["1234"]


def test_a_file_that_changes_while_it_is_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("1")

    def load(path: Path) -> str:
        text = path.read_text()
        if len(text) < 4:
            path.write_text(text + "+")
        return text

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watched.read(path)
        path.write_text("12")
        for _ in range(8):
            await look()

    assert _watched(work, monkeypatch, load) == ["12++"]


def test_a_file_that_is_changed_back_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    before = path.stat()

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watched.read(path)
        path.write_text("12")
        await look()
        path.write_text("1")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await look()
        await look()

    assert _watched(work, monkeypatch) == []


def test_another_file_that_is_named_while_one_is_read_is_used_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("2")
    watches: list[Watch[str]] = []

    def load(path: Path) -> str:
        watches[0].read(second)
        return path.read_text()

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watches.append(watched)
        watched.read(first)
        first.write_text("12")
        for _ in range(4):
            await look()

    assert _watched(work, monkeypatch, load) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("longer"),
        lambda path: os.utime(path, ns=(1, 1)),
        # As editors save: another file with the same name, length and time.
        lambda path: _replace(path),
    ],
    ids=["gone", "another length", "another time", "another file"],
)
def test_what_is_a_change(change: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    before = signature(path)

    change(path)

    assert signature(path) != before


def _replace(path: Path) -> None:
    status, other = path.stat(), path.with_name("b")
    other.write_text("2")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def test_a_file_that_appears_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watched.read(path)
        await look()
        path.write_text("1")
        await look()
        await look()

    assert signature(path) is None
    assert _watched(work, monkeypatch) == ["1"]


def test_what_changed_before_it_was_read_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("1")

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        watched.read(path)
        path.write_text("12")
        watched.read(path)
        await look()
        await look()

    assert _watched(work, monkeypatch) == []


@pytest.mark.parametrize("is_forgotten", [True, False], ids=["forgotten", "none yet"])
def test_without_a_file_nothing_changes(is_forgotten: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("1")

    async def work(watched: Watch[str], look: Callable[[], Awaitable[None]]) -> None:
        if is_forgotten:
            watched.read(path)
            watched.forget()
        path.write_text("12")
        await look()
        await look()

    assert _watched(work, monkeypatch) == []


def test_a_stopped_watch_looks_no_more_and_one_that_never_began_can_be_stopped() -> None:
    async def test() -> None:
        before = asyncio.all_tasks()
        watched = Watch(_text, print)
        watched.stop()
        watched.start()
        (task,) = asyncio.all_tasks() - before
        watched.stop()
        await asyncio.wait([task], timeout=20)
        assert task.cancelled()

    asyncio.run(test())
