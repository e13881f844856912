"""A cassette in use: it replays and records exchanges, and lists what was replayed, recorded, missed and refused."""

from __future__ import annotations

import enum
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from . import jobs, sound, spending
from .bodies import CassetteError, check_writable, locked, unused_name
from .budget import Budget
from .entry import Entry, Request
from .har import Writer, read, remove, tidy, write
from .har_encoding import INLINE
from .har_parsing import ForeignError
from .links import in_answer, unsigned
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
    """Record everything; settle() drops equal requests of the file, with the reads and downloads of their jobs."""
    REWRITE = "rewrite"
    """As ALL; at the end of a run, keep_only() drops all else that was in the file."""
    APPEND = "append"
    """Record everything, and append it to the file."""

    @property
    def plays(self) -> bool:
        """Whether an existing file is replayed."""
        return self in (Mode.NONE, Mode.ONCE, Mode.NEW_EPISODES)


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open a cassette.

    Without a `path`, nothing is written. A create that would exceed the `budget` is refused. `change` is applied to the
    entries of the file before they are replayed. `may_be_missing`: a file that is only replayed need not exist.
    `is_of_this_run`: what is in the file, if there is one, was recorded in this run, so that ONCE goes on with it.
    `run_began` is the Unix time from which on a recording is of this run, which does not replace it.
    """

    path: Path | None
    mode: Mode
    budget: Budget | None = None
    change: Callable[[Sequence[Entry]], list[Entry]] | None = None
    may_be_missing: bool = False
    is_of_this_run: bool = False
    run_began: float = math.inf

    @property
    def is_offline(self) -> bool:
        """Whether no request will be sent."""
        is_known = self.path is not None and self.path.exists() and not self.is_of_this_run
        return self.mode is Mode.NONE or (self.mode is Mode.ONCE and is_known)


class Settled(NamedTuple):
    """What became of a test's recordings.

    is_kept: they are in the cassette, in the place of equal ones.
    aside: the file that has those that may have been paid for, if they are not.
    names: name() of each of them in the cassette.
    """

    is_kept: bool
    aside: Path | None = None
    names: tuple[str, ...] = ()


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
        self._is_unreadable = False
        before = self._read_before(self.path) if self.path and (is_there or must_be_there) else []
        self._was_there = is_there
        self._old = Counter(name(entry) for entry in before if entry.started < opening.run_began)
        """What was in the file before this run."""
        self._played = opening.change(before) if opening.change else before
        self._player: Player | None = None
        if self.mode.plays:
            self._player = Player(self._played, self._options, scrubber, clock, pace)
        self._writer: Writer | None = None
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

    def forgive(self, miss: Miss) -> None:
        """Take back a miss: the request goes on to another provider."""
        with self._lock:
            self._misses.remove(miss)

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
        entry = priced(self._scrubber.entry(sound.cleaned(entry)), self._prices)
        if self._budget:
            self._budget.settle(entry)
        with self._lock:
            self._recorded.append(_lightened(entry))
            if self.path is None:
                return
            self._unwritten.append(entry)
            # Dropped if the write fails: another process may change the file before the next write.
            writer, self._writer = self._writer, None
            with locked(self.path):
                if writer is None or not self._is_current(writer, self.path):
                    writer = Writer(self.path, [*self._written(self.path), *self._unwritten[:-1]])
                writer.add(entry)
                self._writer, self._is_unreadable = writer, False
                self._unwritten.clear()
                self._stamp = _stamp(self.path)

    def _is_current(self, writer: Writer, path: Path) -> bool:
        """Whether a writer has all that is in the file, after it took over what other processes have added."""
        return _stamp(path) == self._stamp or (path.exists() and writer.follow())

    def settle(self, passed: bool) -> Settled:
        """At the end of a test: keep what it recorded, in the place of equal recordings, or leave the file as it was.

        It is kept if the test passed, but not if none of it is a success and what it takes the place of has one; and of
        a test that failed, if it takes nothing's place and has a success. Raises CassetteError.
        """
        with self._lock:
            if self.path is None or not self._recorded or not self.path.exists() or self._unwritten:
                return Settled(not self._unwritten)
            with locked(self.path):
                settled = self._settle(self.path, passed)
            self._writer = None
            return settled

    def _settle(self, path: Path, passed: bool) -> Settled:
        entries = read(path, own=True)
        new = _indexes(entries, Counter(map(name, self._recorded)), reversed(range(len(entries))))
        old = _indexes(entries, self._old, range(len(entries))) - new
        replaced = self._replaced(entries, old, new) if self.mode in (Mode.ALL, Mode.REWRITE) else set()
        has_success, had_success = (
            any(spending.is_success(entries[index], self._prices) for index in indexes) for indexes in (new, replaced)
        )
        is_kept = passed and (has_success or not had_success) if replaced else passed or has_success
        dropped = replaced if is_kept else new
        left = [entry for index, entry in enumerate(entries) if index not in dropped]
        aside = None
        if not is_kept and any(spending.may_be_paid(entries[index], self._prices) for index in new):
            aside = unused_name(path)
            write(aside, [entries[index] for index in sorted(new)])
        if dropped and (left or self._was_there):
            write(path, left)
            tidy(path)
        elif dropped:
            remove(path)
        return Settled(is_kept, aside, tuple(name(entries[index]) for index in sorted(new)) if is_kept else ())

    def _read_before(self, path: Path) -> list[Entry]:
        """What is in the file at the beginning. A file that cannot be read is only replaced in REWRITE."""
        try:
            return read_settled(path, own=self.is_recording)
        except ForeignError:
            raise
        except CassetteError:
            if self.mode is not Mode.REWRITE:
                raise
            self._is_unreadable = True
            return []

    def _written(self, path: Path) -> list[Entry]:
        """The entries in the file, which this or another process has written."""
        return read(path, own=True) if path.exists() and not self._is_unreadable else []

    def _replaced(self, entries: Sequence[Entry], old: set[int], new: set[int]) -> set[int]:
        """The old entries that new ones replace: equal requests, and the reads and files of their jobs."""
        keys = {self._key(entries[index].request) for index in new}
        equal = {index for index in old if self._key(entries[index].request) in keys}
        created = jobs.created([entry.request for entry in entries], [entry.response for entry in entries])
        names = {name for index in equal for name in created[index].names}
        asked = {index for index in old if not names.isdisjoint(jobs.names_in(entries[index].request))}
        files = {unsigned(link) for index in asked for link in in_answer(entries[index])}
        return equal | asked | {index for index in old if unsigned(entries[index].request.url) in files}

    def _key(self, request: Request) -> Key:
        return canonical(self._scrubber.request(request), self._options)

    # Results of the run

    @property
    def recorded(self) -> tuple[Entry, ...]:
        """The entries recorded in this run; bodies of more than har_encoding.INLINE bytes are in the file only."""
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


def name(entry: Entry) -> str:
    """A name for an entry, which is the same for all that use its file."""
    status = entry.response.status if entry.response else 0
    times = f"{float(entry.started)} {float(entry.milliseconds)}"
    return f"{times} {entry.request.method} {unsigned(entry.request.url)} {status}"


def keep_only(path: Path, names: Collection[str], prices: Prices = UNKNOWN) -> None:
    """At the end of a run in which a cassette was rewritten: drop the entries without one of these names.

    Nothing is dropped if only they have a success. Raises CassetteError.
    """
    with locked(path):
        entries = read(path, own=True)
        kept = [entry for entry in entries if name(entry) in names]
        successes = [entry for entry in entries if spending.is_success(entry, prices)]
        if len(kept) == len(entries) or (successes and not any(name(entry) in names for entry in successes)):
            return
        write(path, kept)
        tidy(path)


def read_settled(path: Path, *, own: bool = False) -> list[Entry]:
    """As read(), again if somebody has changed the file meanwhile. Raises CassetteError."""
    while True:
        stamp = _stamp(path)
        try:
            return read(path, own=own)
        except CassetteError:
            if _stamp(path) == stamp:
                raise


def _indexes(entries: Sequence[Entry], names: Counter[str], order: Iterable[int]) -> set[int]:
    """The indexes of the entries with these names, each as often as it counts."""
    left = Counter(names)
    found = set()
    for index in order:
        if left[name(entries[index])] > 0:
            left[name(entries[index])] -= 1
            found.add(index)
    return found


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
