"""The gaps of a recording: unfinished jobs and results that were not fetched, and the requests to complete them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from ..wire.json_text import Path
from . import jobs, links, listing, spending
from .entry import Entry, Request, Response
from .formatting import described
from .links import origin
from .links_through_proxy import Address
from .listing import Job, Task
from .recorded_api import RecordedAPI

STATUS_LINKS: Final[tuple[Path, ...]] = (("status_url",), ("polling_url",), ("urls", "get"))
"""Paths of the URL for polling in the answer to a create: fal, Black Forest Labs, Replicate."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A job that is not complete in the recording; `read` is the request for its state. Either id may be "".

    `is_doubtful`: no answer to its create has its task, so that the provider may not have it.
    """

    task_id: str
    external_id: str
    read: Request
    is_doubtful: bool

    @property
    def name(self) -> str:
        """The name of the job in messages."""
        return self.task_id or self.external_id

    def task(self, response: Response | None) -> Task | None:
        """The job's task in an answer; None if it is not there."""
        tasks = listing.tasks(response)
        return next((task for task in tasks if not self.task_id or task.name == self.task_id), None)


class Missing(NamedTuple):
    """The gaps of a recording. `unknown` describes creates that may have been paid for.

    `fetched` are the links to files that were fetched, and `members` the names of the members that had them.
    """

    pending: list[Pending]
    unknown: list[str]
    fetched: frozenset[str]
    members: frozenset[str]


def find_missing(entries: Sequence[Entry], api: RecordedAPI) -> Missing:
    """Find the jobs without an end, and those whose results were not fetched while those of others were."""
    found = listing.sort(entries)
    fetched = frozenset(
        links.unsigned(entry.request.url)
        for entry in entries
        if entry.request.method == "GET" and entry.response and 200 <= entry.response.status < 300
    )
    members = frozenset(
        result.member
        for job in found.jobs
        for index in job.reads
        for result in _recorded_results(job, entries[index])
        if result.link in fetched
    )
    pending = [_pending(job, entries, api) for job in found.jobs if _is_missing(job, entries, fetched, members)]
    unknown = [
        f"entry {index + 1}, {described(entries[index].request)}: had no answer and has no external_task_id, so it"
        " cannot be known whether it was paid"
        for index in found.others
        if entries[index].response is None and not spending.is_free(entries[index].request, api)
    ]
    return Missing([job for job in pending if job], unknown, fetched, members)


def _is_missing(job: Job, entries: Sequence[Entry], fetched: frozenset[str], members: frozenset[str]) -> bool:
    last = job.end(entries)
    if last is None:
        answers = [entries[index].response for index in job.indexes]
        is_refused = all(answer and 400 <= answer.status < 500 for answer in answers)
        return not is_refused and not job.files
    if not last.is_ended:
        return True
    shown = [result for index in job.reads for result in _recorded_results(job, entries[index])]
    # By the place in the task, since each answer may have another link to the same result.
    had = {result.place for result in shown if result.link in fetched}
    return any(result.member in members and result.place not in had for result in shown)


def _pending(job: Job, entries: Sequence[Entry], api: RecordedAPI) -> Pending | None:
    """A job with the request for its state: the recorded one, else the one of the provider's API."""
    asked = [entries[index] for index in job.reads if entries[index].request.method == "GET"]
    told = [entry for entry in asked if job.task(entry)]
    if asked:
        read = (told or asked)[-1].request
    elif job.creates:
        create = entries[job.creates[-1]].request
        address = _task_address(create, job.external_id, api, is_external=True)
        for index in job.creates if job.task_id else ():
            answer = entries[index].response
            if answer and jobs.task_id(answer):
                name = jobs.task_id(answer)
                address = _given_address(create, answer) or _task_address(create, name, api, is_external=False)
        fields = tuple(field for field in create.headers if not field[0].lower().startswith("content-"))
        read = Request("GET", address, fields)
    else:
        return None
    return Pending(job.task_id, job.external_id, read, not job.task_id)


def _given_address(create: Request, answer: Response) -> str:
    """The URL for polling in the answer to a create; "" without any."""
    values = jobs.scalars(answer.body).values
    given = (values.get(path, "") for path in STATUS_LINKS)
    # The same origin only: the credential must not go to another host.
    return next((link for link in given if origin(link) == origin(create.url)), "")


def _task_address(create: Request, name: str, api: RecordedAPI, *, is_external: bool) -> str:
    """The URL for polling a task that was never polled, by the provider's id or by the external one.

    It is below the URL of the create, as with OpenAI and most others, unless the API has another.
    """
    address = api.task_url(create.url, name, is_external)
    if address:
        return address
    parts = urlsplit(create.url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{quote(name, safe='')}", "", ""))


# Results of a task


class Result(NamedTuple):
    """A link to a result of a task: its path in the task, the link itself, and the link through the proxy."""

    place: Path
    link: str
    here: str

    @property
    def member(self) -> str:
        """The name of the member that has it."""
        return next((step for step in reversed(self.place) if isinstance(step, str)), "")


def results(response: Response, task: Task, read: Request, address: Address) -> list[Result]:
    """The results of a task in an answer whose links lead through the proxy. `read` is the recorded request.

    If the task has a member for results, only links in it: others may be inputs of the task.
    """
    shown = listing.text(response)[task.start : task.end]
    values = jobs.scalars(shown.encode()).values
    found = [
        Result(path, links.unsigned(address.lead_there(here.encode()).decode()), here)
        for path, here in values.items()
        if here.startswith(f"{address.proxy}/") and links.is_link(here)
    ]
    if values.get(("object",)) == "video" and task.status == "completed":
        # OpenAI's videos are fetched from a path below that of their status.
        link = f"{read.url.partition('?')[0]}/content"
        found.append(Result(("content",), links.unsigned(link), address.here(link)))
    inside = [result for result in found if result.place[0] in listing.RESULTS]
    return list({result.link: result for result in inside or found}.values())


_ANYWHERE: Final = "http://proxy.invalid"


def _recorded_results(job: Job, entry: Entry) -> list[Result]:
    """The results in a recorded answer, whose links do not lead through a proxy."""
    task = job.task(entry)
    if task is None or entry.response is None:
        return []
    address = Address(_ANYWHERE, origin(entry.request.url))
    led = replace(entry.response, body=address.lead_here(entry.response.body, lambda _: None))
    shown = job.task(replace(entry, response=led))
    return results(led, shown, entry.request, address) if shown else []
