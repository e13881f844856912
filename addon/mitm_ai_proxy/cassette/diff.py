"""The differences between two cassettes: exchanges that only one has, and what differs in the others.

Ids and times are new in each recording: jobs are paired by their requests and states, and times are ignored.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from ..auth.header import normal
from ..wire import json_text
from . import content, har, links, listing, matching
from .content import Field
from .entry import Entry, Response, header
from .formatting import SCRUBBER, address, status
from .listing import Job, Listing
from .matching import Key, MatchOptions

_COUNTED: Final = ("content-type", "retry-after")
"""Header fields of answers that are compared."""
_IGNORED = re.compile(r"(?:.*_)?ids?|.*time.*|.*_at|created|expires|progress")
"""Members of answers that are ignored, since they differ in each recording."""
_A_LINK: Final = content.text("a link")
_OF_A_JOB: Final = "of-a-job"
"""Placeholder for the ids and links by which a request names a job or its result."""
_SHORTEST_NAME: Final = 6

_Steps: TypeAlias = "dict[tuple[str, int], int]"
"""Indexes of the exchanges of a job by their kind (create, state, end, file) and number."""


def differences(path: Path, other: Path) -> list[str]:
    """Lines that say how two cassettes differ; none where they do not. Raises CassetteError."""
    return [*_differences(_Side.read(path), _Side.read(other))]


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two cassettes, scrubbed. `names` are the ids and links that are special to this recording."""

    path: Path
    entries: list[Entry]
    found: Listing
    names: list[str]

    @classmethod
    def read(cls, path: Path) -> _Side:
        """Read a cassette. Raises CassetteError."""
        entries = [SCRUBBER.entry(entry) for entry in har.read(path)]
        found = listing.sort(entries)
        names = {*(job.task_id for job in found.jobs), *listing.results(entries, found.jobs)}
        long = [name for name in names if len(name) >= _SHORTEST_NAME]
        return cls(path, entries, found, sorted(long, key=len, reverse=True))

    def groups(self) -> list[tuple[Key, object, _Steps]]:
        """Jobs and other exchanges, each with two keys that pair it with one of the other cassette.

        The first key is its first request; the second one pairs jobs by their order, and other exchanges by their URL.
        """
        jobs = [(self._key(job.indexes[0]), "job", self._steps(job)) for job in self.found.jobs]
        others = [(key := self._key(index), key[:3], {("", 0): index}) for index in self.found.others]
        return [*jobs, *others]

    def _steps(self, job: Job) -> _Steps:
        """The steps of a job, with only the last of equal states: the number of polls varies."""
        steps: _Steps = {("", number): index for number, index in enumerate(job.creates)}
        for index in job.reads:
            task = job.task(self.entries[index])
            state = task.status if task else status(self.entries[index])
            steps["end" if task and task.is_ended else state, 0] = index
        return steps | {("file", number): index for number, index in enumerate(job.files)}

    def _key(self, index: int) -> Key:
        """The canonical form of a request, with placeholders for this recording's ids and links."""
        request = self.entries[index].request
        url, body = request.url, request.body
        for name in self.names:
            url, body = url.replace(name, _OF_A_JOB), body.replace(name.encode("utf-8", "replace"), _OF_A_JOB.encode())
        return matching.canonical(replace(request, url=url, body=body), MatchOptions())

    def request_difference(self, index: int, other: _Side, counterpart: int) -> list[str]:
        """How the request of the other cassette differs from the one of this cassette."""
        return matching.key_difference(other._key(counterpart), self._key(index))

    def line(self, index: int) -> str:
        """One line that describes an exchange."""
        request = self.entries[index].request
        return f"{request.method} {address(request)}"


def _differences(one: _Side, other: _Side) -> Iterator[str]:
    for mine, theirs in _paired(one.groups(), other.groups()):
        for step in dict.fromkeys((*mine, *theirs)):
            left, right = mine.get(step), theirs.get(step)
            if left is not None and right is not None:
                yield from _difference(one, left, other, right, is_create=not step[0])
            elif left is not None:
                yield f"{left + 1} / -  {one.line(left)} {step[0]}".rstrip() + f": only in {one.path}"
            elif right is not None:
                yield f"- / {right + 1}  {other.line(right)} {step[0]}".rstrip() + f": only in {other.path}"


def _paired(
    one: Sequence[tuple[Key, object, _Steps]], other: Sequence[tuple[Key, object, _Steps]]
) -> list[tuple[_Steps, _Steps]]:
    """Pairs with an equal first key, in order; then pairs of the rest with an equal second key; then those without."""
    partners: dict[int, int] = {}
    for level in (0, 1):
        free: defaultdict[object, deque[int]] = defaultdict(deque)
        for index, group in enumerate(other):
            if index not in partners.values():
                free[group[level]].append(index)
        for index, group in enumerate(one):
            if index not in partners and free[group[level]]:
                partners[index] = free[group[level]].popleft()
    pairs = [(group[2], other[partners[i]][2] if i in partners else {}) for i, group in enumerate(one)]
    return [*pairs, *(({}, group[2]) for index, group in enumerate(other) if index not in partners.values())]


def _difference(one: _Side, left: int, other: _Side, right: int, is_create: bool) -> Iterator[str]:
    """A line that names two exchanges, and lines about their differences; nothing if there are none."""
    recorded, came = one.entries[left], other.entries[right]
    # The requests of polls and downloads follow from earlier answers.
    lines = [f"request {line}" for line in one.request_difference(left, other, right)] if is_create else []
    lines += _answer_differences(recorded.response, came.response)
    if recorded.repeats != came.repeats:
        lines.append(f"answer repeats: recorded {recorded.repeats}, came {came.repeats}")
    if lines:
        yield f"{left + 1} / {right + 1}  {one.line(left)}"
        yield from (f"        {line}" for line in lines)


def _answer_differences(recorded: Response | None, came: Response | None) -> list[str]:
    if recorded is None or came is None:
        statuses = [str(answer.status) if answer else "nothing" for answer in (recorded, came)]
        return [f"answer: recorded {statuses[0]}, came {statuses[1]}"] if recorded or came else []
    lines = [f"status: recorded {recorded.status}, came {came.status}"] if recorded.status != came.status else []
    lines += matching.key_difference(_answer_key(came), _answer_key(recorded))
    return [f"answer {line}" for line in lines]


def _answer_key(response: Response) -> Key:
    """The compared parts of an answer, in the canonical form of requests."""
    headers = tuple(Field((name,), content.text(header(response.headers, name))) for name in _COUNTED)
    body = content.fields(response.body, header(response.headers, "content-type"))
    counting = [field for field in body if not _IGNORED.fullmatch(normal(listing.name_in(field.path)))]
    return Key("", "", "", (), headers, tuple(map(_without_link, counting)))


def _without_link(field: Field) -> Field:
    """The field with a placeholder as its value if that is a link."""
    is_link = field.value.startswith('"') and links.is_link(json_text.string(field.value))
    return Field(field.path, _A_LINK) if is_link else field
