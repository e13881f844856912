"""The jobs of a recording: the tasks in its answers, and the exchanges that belong to each job."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..auth.header import normal
from ..wire import json_text
from ..wire.json_text import Part, Path
from . import jobs, links
from .entry import Entry, Response, header
from .playing import MEDIA

IDS: Final = ("task_id", "id", "request_id")
"""Members that hold a task's id, if a status is beside them."""
STATUSES: Final = ("task_status", "status", "state")
ENDED: Final = frozenset(
    """
    succeed succeeded success completed complete finished done
    failed fail failure error cancelled canceled expired rejected deleted incomplete
    """.split()
)
"""Final statuses of tasks, in lower case: Kling's, OpenAI's and those of others."""


RESULTS: Final = frozenset("task_result outputs output content result".split())
"""Members of a task that hold its results."""


class Task(NamedTuple):
    """A task in an answer. `member` is the one with its status; its object is text[start:end] of the answer."""

    name: str
    member: str
    status: str
    start: int
    end: int

    @property
    def is_ended(self) -> bool:
        """Whether the status is final."""
        return self.status.lower() in ENDED


@dataclass(slots=True)
class Job:
    """A job with the indexes of its exchanges. Either id is "" if the recording does not have it.

    There are several `creates` if the first was refused or its answer lost; `files` are downloads and redirects.
    """

    task_id: str
    external_id: str
    creates: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the job in messages."""
        return self.task_id or self.external_id

    @property
    def indexes(self) -> list[int]:
        """The indexes of all exchanges of the job."""
        return sorted({*self.creates, *self.reads, *self.files})

    def task(self, entry: Entry) -> Task | None:
        """The job's task in the answer of an exchange; None if it is not there."""
        return next((task for task in tasks(entry.response) if task.name == self.task_id), None)

    def end(self, entries: Sequence[Entry]) -> Task | None:
        """The job's final task in the recording, else its last one; None without any."""
        told = [task for index in self.indexes if (task := self.task(entries[index]))]
        return next((task for task in told if task.is_ended), told[-1] if told else None)


class Listing(NamedTuple):
    """The jobs of a recording, in the order in which they begin; `others` are exchanges that belong to no job."""

    jobs: list[Job]
    others: list[int]


def text(response: Response | None) -> str:
    """The body of a success as text; "" if it is no JSON object or array."""
    if response is None or not 200 <= response.status < 300:
        return ""
    try:
        decoded = response.body.decode()
    except UnicodeDecodeError:
        return ""
    return decoded if json_text.is_container(decoded) else ""


def tasks(response: Response | None) -> list[Task]:
    """The tasks in an answer, in order, without those inside of others."""
    document = text(response)
    parts = list(json_text.parts(document)) if document else []
    objects: dict[Path, dict[str, str]] = {}
    for part in parts:
        if not part.is_key and part.path and isinstance(part.path[-1], str):
            objects.setdefault(part.path[:-1], {})[part.path[-1]] = document[part.start : part.end]
    found: list[Task] = []
    for path, members in objects.items():
        name = next((members[key] for key in IDS if members.get(key, "").startswith(_NAMES)), None)
        member = next((key for key in STATUSES if members.get(key, "").startswith('"')), None)
        if name in (None, '""') or member is None:
            continue
        start, end = _span(document, parts, path)
        found.append(Task(_plain(name), member, _plain(members[member]), start, end))
    # In the order of their starts, a task comes before those inside of it.
    outer: list[Task] = []
    for task in sorted(found, key=lambda task: task.start):
        if not outer or task.start >= outer[-1].end:
            outer.append(task)
    return outer


def is_file(response: Response | None) -> bool:
    """Whether an answer is a file, or a redirect to one."""
    if response is None:
        return False
    if 300 <= response.status < 400:
        return bool(header(response.headers, "location"))
    kind = header(response.headers, "content-type").strip().lower()
    return 200 <= response.status < 300 and kind.startswith(MEDIA)


def name_in(path: Path) -> str:
    """The name of the last member in a path, behind which there are only indexes."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def results(entries: Iterable[Entry], wanted: Iterable[Job]) -> list[str]:
    """All ids and links in the results of jobs."""
    names = {job.task_id for job in wanted}
    found: list[str] = []
    for entry in entries:
        document = text(entry.response)
        for task in tasks(entry.response) if document else ():
            if task.name in names:
                values = jobs.scalars(document[task.start : task.end].encode()).values.items()
                found += [value for path, value in values if path[0] in RESULTS and _names_result(path, value)]
    return list(dict.fromkeys(found))


def sort(entries: Sequence[Entry]) -> Listing:
    """Sort a recording by jobs."""
    sorter = _Sorter()
    for index, entry in enumerate(entries):
        sorter.add(index, entry)
    return Listing(sorter.jobs, sorter.others)


# First characters of an id in JSON: of a string or a number.
_NAMES: Final = tuple('"-0123456789')
_CLOSING = re.compile(r"[}\]]")


class _Sorter:
    """Assigns exchanges to jobs, in order: each one may have ids and links that later ones use."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.others: list[int] = []
        self._names: dict[str, Job] = {}
        self._links: dict[str, Job] = {}

    def add(self, index: int, entry: Entry) -> None:
        told = tasks(entry.response)
        found = self._created(index, entry) or self._asked(index, entry, told)
        if not found:
            self.others.append(index)
        self._note_links(entry, told, found)

    def _created(self, index: int, entry: Entry) -> list[Job]:
        if entry.request.method != "POST":
            return []
        name, external = jobs.task_id(entry.response), jobs.external_id(entry.request)
        if not external and (not name or name in self._names):
            return []
        job = self._names.get(external)
        if job is None or (name and job.task_id not in ("", name)):
            job = self._new("", external)
        if name:
            job.task_id = name
            self._names.setdefault(name, job)
        job.creates.append(index)
        return [job]

    def _asked(self, index: int, entry: Entry, told: list[Task]) -> list[Job]:
        request = entry.request
        owner = self._links.get(links.unsigned(request.url)) if request.method in ("GET", "HEAD") else None
        if owner and (is_file(entry.response) or not told):
            owner.files.append(index)
            return [owner]
        names = jobs.names_in(request)
        found = [job for job in self.jobs if job.task_id in names or job.external_id in names]
        if not found:
            # The create was not recorded.
            found = [self._new(task.name, "") for task in told if task.name in names]
        elif len(told) == len(found) == 1 and not found[0].task_id:
            found[0].task_id = told[0].name
            self._names.setdefault(told[0].name, found[0])
        for job in found:
            (job.files if is_file(entry.response) else job.reads).append(index)
        return found

    def _new(self, task_id: str, external_id: str) -> Job:
        job = Job(task_id, external_id)
        self.jobs.append(job)
        for name in filter(None, (task_id, external_id)):
            self._names[name] = job
        return job

    def _note_links(self, entry: Entry, told: list[Task], found: list[Job]) -> None:
        """Note to which job the links in an answer belong: that of the task around them, else that of the request."""
        if entry.response is None:
            return
        document = text(entry.response)
        shown = [(self._names.get(task.name), document[task.start : task.end]) for task in told]
        if found and not told:
            shown.append((found[0], document))
        location = header(entry.response.headers, "location")
        led_to = [links.encoded(links.resolved(location, entry.request.url))] if location else []
        for job, part in shown:
            for link in (*led_to, *(link for value in json_text.strings(part) for link in links.found(value))):
                if job:
                    self._links.setdefault(links.unsigned(link), job)


def _names_result(path: Path, value: str) -> bool:
    name = normal(name_in(path))
    return links.is_link(value) or name == "id" or name.endswith("_id")


def _span(document: str, parts: Sequence[Part], path: Path) -> tuple[int, int]:
    """Start and end of an object that has members."""
    inside = [part for part in parts if part.path[: len(path)] == path and len(part.path) > len(path)]
    first, last = inside[0], inside[-1]
    # Between a part and the brackets around it there is only space.
    *_, closing = itertools.islice(_CLOSING.finditer(document, last.end), len(last.path) - len(path))
    return document.rindex("{", 0, first.start), closing.end()


def _plain(token: str) -> str:
    return json_text.string(token) if token[0] == '"' else token
