"""What a recording lacks: jobs that have not ended, results that were not fetched, and what to ask for them."""

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
"""Where the answer to a create says what to ask for its state: fal, Black Forest Labs, Replicate."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A job of which the recording lacks something: `read` asks for its state. Either name may be "".

    `is_doubtful`: its create had no answer that tells of it, and the provider may not know it.
    """

    task_id: str
    external_id: str
    read: Request
    is_doubtful: bool

    @property
    def name(self) -> str:
        """What it is called for a person."""
        return self.task_id or self.external_id

    def task(self, response: Response | None) -> Task | None:
        """What an answer tells of it."""
        tasks = listing.tasks(response)
        return next((task for task in tasks if not self.task_id or task.name == self.task_id), None)


class Missing(NamedTuple):
    """What a recording lacks. `unknown` are creates of which nobody can say whether they were paid, in words.

    `fetched` are the links to files that were fetched, and `members` the names that these have in answers.
    """

    pending: list[Pending]
    unknown: list[str]
    fetched: frozenset[str]
    members: frozenset[str]


def find_missing(entries: Sequence[Entry], api: RecordedAPI) -> Missing:
    """The jobs that have no end in a recording, or results that were not fetched where those of others were."""
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
    # By place, for a link may be another one each time that it is shown.
    had = {result.place for result in shown if result.link in fetched}
    return any(result.member in members and result.place not in had for result in shown)


def _pending(job: Job, entries: Sequence[Entry], api: RecordedAPI) -> Pending | None:
    """What is to be asked for a job: as the recording did, else as its provider's API has it."""
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
    """Where the answer to a create says that its state is read; "" where it does not say."""
    values = jobs.scalars(answer.body).values
    given = (values.get(path, "") for path in STATUS_LINKS)
    # The credential goes to no other host.
    return next((link for link in given if origin(link) == origin(create.url)), "")


def _task_address(create: Request, name: str, api: RecordedAPI, *, is_external: bool) -> str:
    """Where a task is read that was never read, by the provider's name for it or by the client's.

    Below the address of the create, as OpenAI and most others have it, where the API says nothing else.
    """
    address = api.task_url(create.url, name, is_external)
    if address:
        return address
    parts = urlsplit(create.url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{quote(name, safe='')}", "", ""))


# What a task made


class Result(NamedTuple):
    """A link to something that a task made: its place in the task, where it leads, and how through the proxy."""

    place: Path
    link: str
    here: str

    @property
    def member(self) -> str:
        """The name of its place."""
        return next((step for step in reversed(self.place) if isinstance(step, str)), "")


def results(response: Response, task: Task, read: Request, address: Address) -> list[Result]:
    """The results of a task in an answer whose links lead through the proxy. `read` is the recorded request.

    What stands in a member that holds results, if there is one: other links may be what the task was made from.
    """
    shown = listing.text(response)[task.start : task.end]
    values = jobs.scalars(shown.encode()).values
    found = [
        Result(path, links.unsigned(address.lead_there(here.encode()).decode()), here)
        for path, here in values.items()
        if here.startswith(f"{address.proxy}/") and links.is_link(here)
    ]
    if values.get(("object",)) == "video" and task.status == "completed":
        # OpenAI's videos are fetched below their own address.
        link = f"{read.url.partition('?')[0]}/content"
        found.append(Result(("content",), links.unsigned(link), address.here(link)))
    inside = [result for result in found if result.place[0] in listing.RESULTS]
    return list({result.link: result for result in inside or found}.values())


_ANYWHERE: Final = "http://proxy.invalid"


def _recorded_results(job: Job, entry: Entry) -> list[Result]:
    """The results in a recorded answer, which lead past any proxy."""
    task = job.task(entry)
    if task is None or entry.response is None:
        return []
    address = Address(_ANYWHERE, origin(entry.request.url))
    led = replace(entry.response, body=address.lead_here(entry.response.body, lambda _: None))
    shown = job.task(replace(entry, response=led))
    return results(led, shown, entry.request, address) if shown else []
