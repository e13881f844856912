"""A cassette in use: it replays and records exchanges, and lists what was replayed, recorded, missed and refused."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import jobs
from .bodies import check_writable
from .budget import Budget
from .entry import Entry, Request
from .har import INLINE, Writer, read
from .links import found, unsigned
from .matching import Key, MatchOptions, canonical
from .playing import Miss, Player
from .recorded_api import UNKNOWN, Prices
from .scrubbing import Scrubber
from .spending import priced


class Mode(enum.Enum):
    """The record mode, as in VCR: what is replayed from the file, and what is sent and recorded."""

    NONE = "none"
    """Only replay; refuse what was not recorded."""
    ONCE = "once"
    """Record if there is no file, else only replay."""
    NEW_EPISODES = "new_episodes"
    """Replay, and record what is missing."""
    ALL = "all"
    """Record everything; a request replaces equal ones in the file, with the reads and downloads of their jobs."""
    REWRITE = "rewrite"
    """Record everything into a new file, which replaces the old one with its first exchange."""
    APPEND = "append"
    """Record everything, and append it to the file."""

    @property
    def plays(self) -> bool:
        """Whether an existing file is replayed."""
        return self in (Mode.NONE, Mode.ONCE, Mode.NEW_EPISODES)

    @property
    def reads(self) -> bool:
        """Whether the existing entries stay in the file."""
        return self is not Mode.REWRITE


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open a cassette.

    Without a `path`, nothing is written. A create that would exceed the `budget` is refused. `change` is applied to the
    entries of the file before they are replayed. `may_be_missing`: a file that is only replayed need not exist.
    """

    path: Path | None
    mode: Mode
    budget: Budget | None = None
    change: Callable[[Sequence[Entry]], list[Entry]] | None = None
    may_be_missing: bool = False

    @property
    def is_offline(self) -> bool:
        """Whether no request will be sent."""
        return self.mode is Mode.NONE or (self.mode is Mode.ONCE and self.path is not None and self.path.exists())


class Cassette:
    """One run with a cassette file. Thread-safe.

    `clock` gives seconds; `pace` is as in Player; `prices` are the provider's.

    Raises CassetteError for a file that cannot be read.
    """

    def __init__(
        self,
        opening: Opening,
        scrubber: Scrubber,
        clock: Callable[[], float],
        options: MatchOptions | None = None,
        pace: float | None = None,
        prices: Prices = UNKNOWN,
    ) -> None:
        self.path, self.mode = opening.path, opening.mode
        self._options = options or MatchOptions()
        self._scrubber = scrubber
        self._budget = opening.budget
        self._prices = prices
        self._lock = threading.Lock()
        is_there = self.path is not None and self.path.exists()
        must_be_there = opening.is_offline and not opening.may_be_missing
        self.is_recording = not opening.is_offline
        """Whether a request without a recorded answer may be sent."""
        if self.path and self.is_recording:
            # Raises before an exchange is paid for that could not be written.
            check_writable(self.path)
        self._stamp = _stamp(self.path)
        before = read(self.path) if self.path and (is_there or must_be_there) and self.mode.reads else []
        self._played = opening.change(before) if opening.change else before
        self._player: Player | None = None
        if self.mode.plays and not (self.mode is Mode.ONCE and self.is_recording):
            self._player = Player(self._played, self._options, scrubber, clock, pace)
        self._old = before if self.mode is Mode.ALL else []
        """Entries from before this run, which may be replaced; in other modes they are read again when needed."""
        self._old_count = len(before)
        self._writer: Writer | None = None
        self._has_written = False
        self._unwritten: list[Entry] = []
        self._recorded: list[Entry] = []
        self._misses: list[Miss] = []
        self._refusals: list[tuple[Request, str]] = []

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.path.name if self.path else "the cassette"

    def answer(self, request: Request) -> Entry | Miss | None:
        """The entry that answers an upstream request, or a Miss; None if the request is to be sent and recorded."""
        if self.is_recording:
            # Before its answer, and those of others meanwhile, are written.
            self._scrubber.learn(request)
        answer = self._player.answer(request) if self._player else None
        with self._lock:
            if isinstance(answer, Entry):
                return answer
            if self.is_recording:
                return None
            miss = answer or Miss(f"{request.method} {unsigned(request.url)}", None, "", ("nothing was recorded",))
            self._misses.append(miss)
            return miss

    def refusal(self, request: Request) -> str | None:
        """The reason why a request must not be sent: it would exceed the budget. None if it may be sent."""
        reason = self._budget.refuse(request) if self._budget else None
        if reason:
            with self._lock:
                self._refusals.append((request, reason))
        return reason

    def scrub_with(self, scrubber: Scrubber) -> None:
        """Use another scrubber for what is recorded later."""
        self._scrubber = scrubber

    def record(self, entry: Entry) -> None:
        """Scrub and write an exchange. If it raises CassetteError, the next call writes this exchange too.

        What another process has written into the same file stays.
        """
        entry = priced(self._scrubber.entry(entry), self._prices)
        if self._budget:
            self._budget.settle(entry)
        with self._lock:
            self._recorded.append(_lightened(entry))
            if self.path is None:
                return
            self._unwritten.append(entry)
            is_less = self.mode is Mode.ALL and self._drop_equals(entry)
            # Dropped if the write fails: another process may change the file before the next write.
            writer, self._writer = self._writer, None
            if writer is None or is_less or _stamp(self.path) != self._stamp:
                writer = Writer(self.path, [*self._written(self.path), *self._unwritten[:-1]])
            writer.add(entry)
            self._writer, self._has_written = writer, True
            self._unwritten.clear()
            self._old_count = len(self._old) if self.mode is Mode.ALL else self._old_count
            self._stamp = _stamp(self.path)

    def _written(self, path: Path) -> list[Entry]:
        """The entries that stay in the file: the old ones, and those that this or another process has added."""
        if not path.exists() or not (self.mode.reads or self._has_written):
            return []
        entries = read(path)
        return [*self._old, *entries[self._old_count :]] if self.mode is Mode.ALL else entries

    def _drop_equals(self, entry: Entry) -> bool:
        """Drop the old entries that a new one replaces: equal requests, and the reads and files of their jobs."""
        key = self._key(entry.request)
        equal = {index for index, old in enumerate(self._old) if self._key(old.request) == key}
        created = jobs.created([old.request for old in self._old], [old.response for old in self._old])
        names = {name for index in equal for name in created[index].names}
        asked = {index for index, old in enumerate(self._old) if not names.isdisjoint(jobs.names_in(old.request))}
        files = {link for index in asked for link in _links(self._old[index])}
        old = [
            old
            for index, old in enumerate(self._old)
            if index not in equal | asked and unsigned(old.request.url) not in files
        ]
        is_less = len(old) < len(self._old)
        self._old = old
        return is_less

    def _key(self, request: Request) -> Key:
        return canonical(self._scrubber.request(request), self._options)

    # Results of the run

    @property
    def recorded(self) -> tuple[Entry, ...]:
        """The entries recorded in this run; bodies of more than har.INLINE bytes are in the file only."""
        with self._lock:
            return tuple(self._recorded)

    @property
    def replayed(self) -> tuple[Entry, ...]:
        """The entries that were replayed in this run, each as often as it was."""
        if self._player is None:
            return ()
        counts = zip(self._played, self._player.played, strict=True)
        return tuple(entry for entry, count in counts for _ in range(count))

    @property
    def misses(self) -> tuple[Miss, ...]:
        """The requests that no entry answered, in order."""
        with self._lock:
            return tuple(self._misses)

    @property
    def refusals(self) -> tuple[tuple[Request, str], ...]:
        """The creates that the budget did not allow, each with the reason, in order."""
        with self._lock:
            return tuple(self._refusals)

    @property
    def unused(self) -> tuple[Entry, ...]:
        """The entries that were not replayed in this run."""
        return tuple(self._played[index] for index in self._player.unused()) if self._player else ()


def _links(entry: Entry) -> set[str]:
    """The links in an answer, without their signatures."""
    if entry.response is None:
        return set()
    text = entry.response.body.decode("utf-8", "replace").replace("\\/", "/")
    return set(map(unsigned, found(text)))


def _lightened(entry: Entry) -> Entry:
    """The entry without long bodies, which are in the file, to save memory."""
    request, response = entry.request, entry.response
    if len(request.body) > INLINE:
        request = replace(request, body=b"")
    if response and len(response.body) > INLINE:
        response = replace(response, body=b"", chunks=())
    return replace(entry, request=request, response=response)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """Inode, time and size of a file, which change when another process writes it; None without a file."""
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
