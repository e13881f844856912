"""Replay of a recording: each exchange once, the reads of a job state by state, and files as often as requested."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from . import jobs, links, ranges
from .entry import Entry, Request, header
from .jobs import State
from .matching import Key, MatchOptions, canonical, key_difference, nearest_key
from .scrubbing import Scrubber

MEDIA: Final = ("image/", "video/", "audio/", "application/octet-stream", "binary/octet-stream")
"""Prefixes of the Content-Type of a file."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that no entry answers. Both request lines and the differences are scrubbed.

    `nearest` is the index of the entry with the fewest differences, `recorded` its request line; None and "" without
    any. If all equal entries have been used, the one difference says how often it was recorded and requested.
    """

    request: str
    nearest: int | None
    recorded: str
    differences: tuple[str, ...]


@dataclass(slots=True)
class _Job:
    """Times of a job in seconds: `created` is that of the recorded create, `replayed` that of its replay.

    `is_polled` is as in jobs.Created.
    """

    created: float
    is_polled: bool = True
    replayed: float | None = None


@dataclass(slots=True)
class _Track:
    """The states of the reads with one key; `position` is the index of the last one replayed, -1 before the first."""

    states: list[State]
    jobs: list[_Job]
    is_file: bool
    position: int = -1
    passed: set[int] = field(default_factory=set)


class Player:
    """A replay of one recording. Thread-safe.

    `clock` gives seconds. Without a `pace`, each read of a job gets the next state. With one, it gets the state that is
    due: 1.0 is the speed of the recording, 0.1 a tenth of the time.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        options: MatchOptions,
        scrubber: Scrubber,
        clock: Callable[[], float],
        pace: float | None = None,
    ) -> None:
        if pace is not None and not pace > 0:
            raise ValueError("the pace has to be greater than 0")
        self._entries = tuple(entries)
        self._options = options
        self._scrubber = scrubber
        self._clock = clock
        self._pace = pace
        self._lock = threading.Lock()
        self._misses: list[Miss] = []
        self._played = [0] * len(self._entries)
        self._used: set[int] = set()
        # Scrubbed again, since the recording may have been made with fewer rules.
        self._requests = [scrubber.request(entry.request) for entry in self._entries]
        self._keys = [canonical(request, options) for request in self._requests]
        self._jobs: dict[int, _Job] = {}
        self._names: dict[str, _Job] = {}
        self._externals: dict[str, tuple[str, str]] = {}
        """By an external id of this replay: the recorded external id, and the recorded id of the provider."""
        self._ids = self._find_jobs()
        self._tracks: dict[Key, _Track] = {}
        self._once: dict[Key, list[int]] = {}
        self._asked: dict[Key, int] = {}
        self._pieces: dict[tuple[Key, str], _Track] = {}
        self._sort()

    @property
    def played(self) -> tuple[int, ...]:
        """How often each entry was replayed."""
        with self._lock:
            return tuple(self._played)

    @property
    def misses(self) -> tuple[Miss, ...]:
        """The requests that no entry answered, in order."""
        with self._lock:
            return tuple(self._misses)

    def unused(self) -> tuple[int, ...]:
        """Indexes of the entries that were not replayed; a state that a job has passed counts with all its entries."""
        with self._lock:
            return tuple(index for index in range(len(self._entries)) if index not in self._used)

    def answer(self, request: Request) -> Entry | Miss:
        """The entry that answers an upstream request, which may have its secrets, or a Miss.

        If the entry has no response, none was recorded, and the connection should be closed.
        """
        scrubbed = self._scrubber.request(request)
        key = canonical(scrubbed, self._options)
        with self._lock:
            found = self._once_answer(scrubbed, key) or self._track_answer(scrubbed)
            if not found:
                before = self._scrubber.request_as_before(request)
                if (old := canonical(before, self._options)) != key:
                    found = self._once_answer(before, old) or self._track_answer(before)
            if found:
                return found
            miss = self._miss(scrubbed, key)
            self._misses.append(miss)
            return miss

    # Preparing the recording

    def _find_jobs(self) -> dict[int, str]:
        """Note the jobs by their names; returns their ids by the index of the create."""
        ids: dict[int, str] = {}
        created = jobs.created(self._requests, [entry.response for entry in self._entries])
        for index, (entry, request, made) in enumerate(zip(self._entries, self._requests, created, strict=True)):
            name, external = jobs.task_id(entry.response), jobs.external_id(request)
            if made.names or external:
                job = self._jobs[index] = _Job(entry.started, bool(external) or made.is_polled)
                ids[index] = name
                for known in filter(None, (*made.names, external)):
                    self._names.setdefault(known, job)
            elif name and name in jobs.names_in(request):
                # The create was not recorded: the job's time starts with its first read.
                self._names.setdefault(name, _Job(entry.started))
        return ids

    def _sort(self) -> None:
        """Divide the entries into tracks and those that are replayed once."""
        linked = self._links()
        reads: dict[Key, list[int]] = {}
        files: set[Key] = set()
        pieces: dict[tuple[Key, str], list[int]] = {}
        for index, (entry, key) in enumerate(zip(self._entries, self._keys, strict=True)):
            request = self._requests[index]
            is_file = request.method == "GET" and (_is_media(entry) or links.unsigned(request.url) in linked)
            if is_file:
                files.add(key)
            if is_file and entry.response and entry.response.status == 206 and not ranges.is_whole(entry.response):
                pieces.setdefault((key, header(request.headers, "range")), []).append(index)
            elif is_file or self._jobs_in(request):
                reads.setdefault(key, []).append(index)
            else:
                self._once.setdefault(key, []).extend([index] * (1 + entry.repeats))
        for key, indexes in reads.items():
            asked = self._jobs_in(self._requests[indexes[0]])
            has_states = any(jobs.has_status(self._entries[index].response) for index in indexes)
            is_polled = key in files or has_states or any(job.is_polled for job in asked)
            self._tracks[key] = _Track(jobs.states(indexes, self._entries, is_polled), asked, key in files)
        for piece, indexes in pieces.items():
            self._pieces[piece] = _Track(jobs.states(indexes, self._entries), [], True)

    def _links(self) -> set[str]:
        """The links in recorded answers."""
        return {links.unsigned(link) for entry in self._entries for link in links.in_answer(entry)}

    def _jobs_in(self, request: Request) -> list[_Job]:
        return [self._names[name] for name in sorted(jobs.names_in(request)) if name in self._names]

    # Replaying

    def _once_answer(self, request: Request, key: Key) -> Entry | None:
        indexes = self._once.get(key)
        if indexes is None:
            return None
        asked = self._asked[key] = self._asked.get(key, 0) + 1
        if asked > len(indexes):
            return None
        index = indexes[asked - 1]
        if index in self._jobs:
            self._jobs[index].replayed = self._clock()
            external = jobs.external_id(request)
            if external:
                self._externals[external] = (jobs.external_id(self._requests[index]), self._ids[index])
        return self._play(index, (index,))

    def _track_answer(self, request: Request) -> Entry | None:
        answers = (self._read(spelled, canonical(spelled, self._options)) for spelled in self._spellings(request))
        return next(filter(None, answers), None)

    def _spellings(self, request: Request) -> Iterator[Request]:
        """The request with the recorded names of its jobs, then the request as it is."""
        here = {name: self._externals[name] for name in jobs.names_in(request) if name in self._externals}
        if here:
            recorded = {name: external for name, (external, _) in here.items() if external}
            ids = {name: task_id for name, (_, task_id) in here.items() if task_id}
            yield jobs.renamed(request, recorded, {})
            yield jobs.renamed(request, ids, {})
            yield jobs.renamed(request, ids, jobs.PARAMETERS)
        yield request

    def _read(self, request: Request, key: Key) -> Entry | None:
        """The answer to a read: the next or due state of a job, or a file or a part of it."""
        track = self._tracks.get(key)
        if track is None and request.method == "HEAD":
            track = self._tracks.get(key._replace(method="GET"))
            if track is None or not track.is_file:
                return None
            entry = self._show(track)
            return entry if entry.response is None else replace(entry, response=ranges.head(entry.response))
        if track is None or (track.is_file and not self._has_whole(track)):
            piece = self._pieces.get((key, header(request.headers, "range")))
            track = piece or track
        if track is None:
            return None
        entry = self._show(track)
        if track.is_file and request.method == "GET" and entry.response and ranges.is_whole(entry.response):
            for (piece_key, _), piece in self._pieces.items():
                if piece_key == key:
                    self._used.update(index for state in piece.states for index in state.entries)
            return replace(entry, response=ranges.part(entry.response, request.headers))
        return entry

    def _has_whole(self, track: _Track) -> bool:
        answers = [self._entries[state.entries[-1]].response for state in track.states]
        return any(answer is not None and ranges.is_whole(answer) for answer in answers)

    def _show(self, track: _Track) -> Entry:
        """The state that is next or due. An error is replayed once; at the end, the last state that is none repeats."""
        last = len(track.states) - 1
        if self._pace is None or track.is_file:
            position = track.position + 1
        else:
            now = self._recorded_time(track, self._pace)
            due = [index for index, state in enumerate(track.states) if state.since <= now]
            position = max(due, default=0)
        position = min(max(position, track.position), last)
        shown = position
        if track.states[position].is_error and position in track.passed:
            good = [index for index in range(last + 1) if not track.states[index].is_error]
            shown = max((index for index in good if index < position), default=min(good, default=position))
        track.position = position
        track.passed.add(position)
        passed = [index for state in track.states[: position + 1] for index in state.entries]
        return self._play(track.states[shown].entries[-1], passed)

    def _recorded_time(self, track: _Track, pace: float) -> float:
        """The time in the recording that corresponds to now, for that job of a track that has advanced the least."""
        now = self._clock()
        times = []
        for job in track.jobs:
            if job.replayed is None:
                job.replayed = now
            times.append(job.created + (now - job.replayed) / pace)
        return min(times)

    def _play(self, index: int, passed: Sequence[int]) -> Entry:
        self._played[index] += 1
        self._used.update(passed)
        return self._entries[index]

    def _miss(self, request: Request, key: Key) -> Miss:
        line = f"{request.method} {request.url}"
        indexes = self._once.get(key)
        if indexes:
            count, asked = len(indexes), self._asked[key]
            difference = f"recorded {_times(count)}, asked {_times(asked)}"
            return Miss(line, indexes[-1], self._line(indexes[-1]), (difference,))
        nearest = nearest_key(key, self._keys)
        if nearest is None:
            return Miss(line, None, "", ("nothing was recorded",))
        differences = key_difference(key, self._keys[nearest])
        if not differences:
            asked_range = header(request.headers, "range") or "nothing"
            recorded_range = header(self._requests[nearest].headers, "range") or "nothing"
            differences = [f"headers.range: recorded {recorded_range}, came {asked_range}"]
        return Miss(line, nearest, self._line(nearest), tuple(differences))

    def _line(self, index: int) -> str:
        request = self._requests[index]
        return f"{request.method} {request.url}"


def _is_media(entry: Entry) -> bool:
    response = entry.response
    if response is None or not 200 <= response.status < 300:
        return False
    return header(response.headers, "content-type").strip().lower().startswith(MEDIA)


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"
