"""What of a recording is to be sent again, or is missing at its end: requests, their order, new ids and links in them.

Pure: nothing is sent, printed or written here; that is rerecording.py's.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ..simulator import new_design
from ..wire import json_text
from ..wire.json_text import Path
from . import forms, jobs, links, listing, spending
from .entry import Entry, Headers, Request, Response, header
from .links_through_proxy import Address
from .listing import Job, Task
from .matching import Key, MatchOptions, canonical
from .sensitive import LINK_MARK, MARK, MARKS, is_credential, normal

INTERVAL: Final = 5.0
"""Seconds between two reads of a job, where its provider does not say."""
TIMEOUT: Final = 1800.0
"""Seconds that a job is waited for."""
STATUS_LINKS: Final[tuple[Path, ...]] = (("status_url",), ("polling_url",), ("urls", "get"))
"""Where the answer to a create says what to ask for its state: fal, Black Forest Labs, Replicate."""
EXPLANATIONS: Final[tuple[Path, ...]] = (
    ("data", "task_status_msg"),
    ("data", "message"),
    ("data", 0, "message"),
    ("error", "message"),
    ("error",),
    ("message",),
    ("detail",),
)
"""Where an answer says in words what went wrong."""
WAITS: Final = (("openai-poll-after-ms", 1000.0), ("retry-after-ms", 1000.0), ("retry-after", 1.0))
"""Header fields that say when to come again, and how many of their units are a second. The last may be a date."""
LONGEST_WAIT: Final = 300.0
"""Seconds between two reads, whatever a provider says."""
SHORTEST_ID: Final = 6
"""Characters of an id that is no task's: a shorter one, such as the number of a face, is a word like any other."""

# What the connection or the proxy makes anew, and what would have the provider take a request for an earlier one.
_LEFT_OUT: Final = frozenset(
    """
    accept-encoding connection content-encoding content-length expect host idempotency-key keep-alive proxy-connection
    sec-fetch-site te trailer transfer-encoding upgrade
    """.split()
)
_LONGEST_EXPLANATION: Final = 300
_OPTIONS: Final = MatchOptions()


class PlanError(Exception):
    """A recording that cannot be sent again; the text names its entries, a line each, and quotes none of them."""


# Requests as they can be sent


def headers_to_send(headers: Headers) -> Headers:
    """Recorded header fields without credentials, those of the connection, and what was scrubbed."""
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _LEFT_OUT and not is_credential(name) and MARK not in value
    )


def has_credential(request: Request) -> bool:
    """Whether a recorded request went out with a credential."""
    return any(is_credential(name) for name, _ in request.headers)


def described(request: Request) -> str:
    """A request for a person: without what signs it, and without its query."""
    url = links.unsigned(request.url)
    return f"{request.method} {url.partition('?')[0]}"


def _scrubbed_place(request: Request, linked: set[str]) -> str:
    """Where a request lacks what was scrubbed; "" where it is whole. `linked` are links that will be replaced."""
    if LINK_MARK in request.url and links.unsigned(request.url) not in linked:
        return "its URL"

    def known(link: str) -> str:
        return "" if links.unsigned(link) in linked else link

    whole = request.body.decode("utf-8", "replace")
    if forms.is_urlencoded(header(request.headers, "content-type")):
        return "its body" if LINK_MARK in whole else ""
    texts = [links.edit(text, known) for text in [*json_text.strings(_text(request.body))] or [whole]]
    is_scrubbed = any(MARK in text or any(LINK_MARK in link for link in links.found(text)) for text in texts)
    return "its body" if is_scrubbed else ""


# To send all of it again


@dataclass(frozen=True, slots=True)
class Step:
    """A request to be sent again. `index` is its entry, `recorded` are the answers that its new answer stands for.

    `link` is what it follows, as links.unsigned() has it; "" for none. One that `is_polled` is repeated until its tasks
    have ended.
    """

    index: int
    request: Request
    recorded: tuple[Response, ...]
    link: str = ""
    is_polled: bool = False

    @property
    def answer(self) -> Response | None:
        """The recorded answer that the new one has to be like; None where none came."""
        return self.recorded[-1] if self.recorded else None


def refreshing(entries: Sequence[Entry]) -> list[Step]:
    """The requests of a recording, in its order. Raises PlanError for what was scrubbed.

    The reads of a job's state become one request, at the place where it was first seen at its end. Left out are errors
    that the client answered by asking for the same again, and files that were fetched before.
    """
    keys = [canonical(entry.request, _OPTIONS) for entry in entries]
    polled = _polled(entries, keys)
    covered = {index for indexes in polled.values() for index in indexes} - polled.keys()
    linked: set[str] = set()
    fetched: set[tuple[str, str, str]] = set()
    steps: list[Step] = []
    problems: list[str] = []
    for index, entry in enumerate(entries):
        request = entry.request
        link = links.unsigned(request.url) if request.method in ("GET", "HEAD") else ""
        link = link if link in linked else ""
        file = (request.method, link, header(request.headers, "range"))
        is_left_out = index in covered or (link and file in fetched) or _is_repeated(index, entries, keys)
        if not is_left_out:
            place = _scrubbed_place(request, linked)
            if place:
                problems.append(f"entry {index + 1}, {described(request)}: {place} lacks what was scrubbed")
            answers = [entries[other].response for other in polled.get(index, (index,))]
            recorded = tuple(answer for answer in answers if answer)
            steps.append(Step(index, request, recorded, link, index in polled))
            if listing.is_file(entry.response):
                fetched.add(file)
        linked.update(map(links.unsigned, _links(entry.response)))
    if problems:
        raise PlanError("\n".join(problems))
    return steps


def external_names(steps: Sequence[Step]) -> list[str]:
    """The clients' own names for jobs, which a provider takes once only."""
    return list(dict.fromkeys(filter(None, (jobs.external_id(step.request) for step in steps))))


def _polled(entries: Sequence[Entry], keys: Sequence[Key]) -> dict[int, tuple[int, ...]]:
    """Equal reads of the state of jobs, by the one that stands for all of them."""
    reads = {
        index for job in listing.sort(entries).jobs for index in job.reads if entries[index].request.method == "GET"
    }
    groups: dict[Key, list[int]] = {}
    for index in sorted(reads):
        groups.setdefault(keys[index], []).append(index)
    found: dict[int, tuple[int, ...]] = {}
    for indexes in groups.values():
        told = {index: tasks for index in indexes if (tasks := listing.tasks(entries[index].response))}
        if told:
            ended = (index for index, tasks in told.items() if all(task.is_ended for task in tasks))
            last = list(told)[-1]
            # The answer with the last state comes last: it is the one that counts.
            found[next(ended, last)] = (*(index for index in indexes if index != last), last)
    return found


def _is_repeated(index: int, entries: Sequence[Entry], keys: Sequence[Key]) -> bool:
    """Whether an exchange ended in an error that passes, and its request was sent again."""
    response = entries[index].response
    return (response is None or _is_passing(response)) and keys[index] in keys[index + 1 :]


def _is_passing(response: Response) -> bool:
    return response.status == 429 or response.status >= 500


def _links(response: Response | None) -> Iterator[str]:
    """All links in an answer."""
    if response:
        values = [*json_text.strings(_text(response.body)), header(response.headers, "location")]
        yield from (link for value in values for link in links.found(value))


class Replacements:
    """What the recording and the new run call the same: ids, links, and the clients' names, which are given."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._links: dict[str, str] = {}

    def learn(self, recorded: Response, new: Response) -> None:
        """Take up what stands at the same places of two answers; of tasks, of what is known to be the same one."""
        before, after = listing.tasks(recorded), {task.name: task for task in listing.tasks(new)}
        known = [(task, after[name]) for task in before if (name := self._names.get(task.name, task.name)) in after]
        for old, came in known:
            self._align(recorded.body[_bytes(recorded, old)], new.body[_bytes(new, came)], "")
        if not known and len(before) <= 1 and len(after) <= 1:
            self._align(recorded.body, new.body, jobs.task_id(recorded))
        locations = [header(answer.headers, "location") for answer in (recorded, new)]
        if all(locations):
            self._links[links.unsigned(locations[0])] = locations[1]

    def link(self, link: str) -> str | None:
        """What stands in the place of a link of the recording, whoever signed it; None where nothing does."""
        return self._links.get(links.unsigned(link))

    def request(self, request: Request) -> Request:
        """A recorded request with the new ids and links in path, query and body."""
        link = self.link(request.url)
        renamed = jobs.renamed(request, self._names, {})
        return replace(renamed, url=link or renamed.url, body=self._body(request))

    def _align(self, recorded: bytes, new: bytes, task_id: str) -> None:
        old, came = jobs.scalars(recorded).values, jobs.scalars(new).values
        for path, value in old.items():
            other = came.get(path, "")
            if links.is_link(value) and links.is_link(other):
                self._links[links.unsigned(value)] = other
            elif other and value != other and _is_id(path, value, task_id):
                self._names[value] = other

    def _body(self, request: Request) -> bytes:
        body, kind = request.body, header(request.headers, "content-type")
        found = forms.parts(body, kind)
        if found is not None:
            pieces: list[bytes] = []
            position = 0
            for part in found:
                value = body[part.start : part.end]
                pieces += (body[position : part.start], value if part.filename is not None else self._text(value))
                position = part.end
            return b"".join([*pieces, body[position:]])
        if forms.is_urlencoded(kind):
            pairs = parse_qsl(_text(body), keep_blank_values=True)
            changed = [(name, self._value(value)) for name, value in pairs]
            return urlencode(changed).encode() if changed != pairs else body
        return self._text(body)

    def _text(self, body: bytes) -> bytes:
        """JSON with other values in it, or one value; all other bytes stay."""
        text = _text(body)
        if not json_text.is_container(text):
            return self._value(text).encode() if text else body
        pieces: list[str] = []
        position = 0
        for part in json_text.parts(text):
            token = text[part.start : part.end]
            is_string = token[0] == '"'
            if part.is_key or token[0] in "{[":
                continue
            value = json_text.string(token) if is_string else token
            new = self._value(value)
            if new != value and (is_string or new.isdigit()):
                pieces += (text[position : part.start], json.dumps(new) if is_string else new)
                position = part.end
        return "".join([*pieces, text[position:]]).encode()

    def _value(self, value: str) -> str:
        if value in self._names:
            return self._names[value]
        return links.edit(value, lambda link: self.link(link) or link)


def _is_id(path: Path, value: str, task_id: str) -> bool:
    name = normal(str(path[-1])) if path else ""
    is_named = name == "id" or name.endswith("_id")
    return is_named and (value == task_id or len(value) >= SHORTEST_ID) and not any(mark in value for mark in MARKS)


def _bytes(response: Response, task: Task) -> slice:
    """Where a task stands in the body of an answer."""
    text = _text(response.body)
    start = len(text[: task.start].encode())
    return slice(start, start + len(text[task.start : task.end].encode()))


def unlike(step: Step, new: Response) -> str:
    """Why a new answer cannot stand for the recorded one; "" where it can."""
    recorded = step.answer
    if recorded is None:
        return ""
    if recorded.status < 400 <= new.status:
        return f"answered with {new.status}, in the recording with {recorded.status}"
    if jobs.task_id(recorded) and not jobs.task_id(new):
        return "answered without a task, in the recording with one"
    if not (step.is_polled or jobs.task_id(recorded)):
        # A list tells of other tasks, too.
        return ""
    before, after = (
        sorted(task.status for task in listing.tasks(answer) if task.is_ended) for answer in (recorded, new)
    )
    if before and before != after:
        return f"ended as {', '.join(after) or 'nothing'}, in the recording as {', '.join(before)}"
    return ""


# To bring it to its end


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


def missing(entries: Sequence[Entry]) -> Missing:
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
    pending = [_pending(job, entries) for job in found.jobs if _is_missing(job, entries, fetched, members)]
    unknown = [
        f"entry {index + 1}, {described(entries[index].request)}: had no answer and has no external_task_id, so it"
        " cannot be known whether it was paid"
        for index in found.others
        if entries[index].response is None and spending.expected(entries[index].request) != 0
    ]
    return Missing([job for job in pending if job], unknown, fetched, members)


def end(job: Job, entries: Sequence[Entry]) -> Task | None:
    """The last that a recording tells of a job; None where it tells nothing."""
    told = [task for index in job.indexes if (task := job.task(entries[index]))]
    return next((task for task in told if task.is_ended), told[-1] if told else None)


def _is_missing(job: Job, entries: Sequence[Entry], fetched: frozenset[str], members: frozenset[str]) -> bool:
    last = end(job, entries)
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


def _pending(job: Job, entries: Sequence[Entry]) -> Pending | None:
    """What is to be asked for a job: as the recording did, else as its provider's API has it."""
    asked = [entries[index] for index in job.reads if entries[index].request.method == "GET"]
    told = [entry for entry in asked if job.task(entry)]
    if asked:
        read = (told or asked)[-1].request
    elif job.creates:
        create = entries[job.creates[-1]].request
        address = _lookup_address(create, job.external_id)
        for index in job.creates if job.task_id else ():
            answer = entries[index].response
            if answer and jobs.task_id(answer):
                address = _state_address(create, answer)
        fields = tuple(field for field in create.headers if not field[0].lower().startswith("content-"))
        read = Request("GET", address, fields)
    else:
        return None
    return Pending(job.task_id, job.external_id, read, not job.task_id)


def _state_address(create: Request, answer: Response) -> str:
    """Where a task is asked for that was never read. Source: Kling API documentation, both generations; OpenAI."""
    parts, task_id = urlsplit(create.url), jobs.task_id(answer)
    values = jobs.scalars(answer.body).values
    # Elsewhere, the credential has no business.
    given = [link for path in STATUS_LINKS if origin(link := values.get(path, "")) == origin(create.url)]
    if given:
        return given[0]
    base = _new_design_base(parts)
    if base is not None:
        return _address(parts, f"{base}/tasks", {"task_ids": task_id})
    return _address(parts, f"{parts.path.rstrip('/')}/{quote(task_id, safe='')}")


def _lookup_address(create: Request, external_id: str) -> str:
    """Where a task is asked for by the client's name. Source: Kling API documentation, both generations."""
    parts = urlsplit(create.url)
    base = _new_design_base(parts)
    if base is not None:
        return _address(parts, f"{base}/tasks", {"external_task_ids": external_id})
    return _address(parts, f"{parts.path.rstrip('/')}/{quote(external_id, safe='')}")


def _new_design_base(parts: SplitResult) -> str | None:
    """What stands in front of the path of a create of Kling's new design; None for any other."""
    base, _, end = parts.path.rstrip("/").rpartition("/")
    base, _, kind = base.rpartition("/")
    return base if end and kind in new_design.MODELS else None


def _address(parts: SplitResult, path: str, query: Mapping[str, str] | None = None) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query or {}), ""))


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


def origin(url: str) -> str:
    """Scheme and host of a URL, without a default port."""
    place = links.place(url)
    return f"{place.scheme}://{place.host}"


# Reads


class Reading(enum.Enum):
    """What an answer to a read says about going on."""

    ENDED = "ended"
    PENDING = "pending"
    BUSY = "busy"
    """An error that passes, or no answer."""
    UNKNOWN = "unknown"
    """There is no such task. Source: Kling API documentation; code 1201 with 400, or a list without it."""
    REFUSED = "refused"
    """It cannot be asked for so, or not by this account."""


def reading(response: Response | None, tasks: Sequence[Task]) -> Reading:
    """What an answer says of the tasks that it was asked for, of which `tasks` are those that it tells of."""
    if response is None or _is_passing(response):
        return Reading.BUSY
    if not tasks:
        return Reading.UNKNOWN if response.status == 400 or listing.text(response) else Reading.REFUSED
    return Reading.ENDED if all(task.is_ended for task in tasks) else Reading.PENDING


def seconds_to_wait(response: Response | None, interval: float, now: datetime) -> float:
    """How long to wait before the next read: as the answer says, else the interval. `now` has a time zone."""
    for name, per_second in WAITS:
        value = header(response.headers, name).strip() if response else ""
        if value.isascii() and value.isdigit():
            return min(int(value[:12]) / per_second, LONGEST_WAIT)
        if value and name == WAITS[-1][0]:
            try:
                at = parsedate_to_datetime(value)
                return min(max((at - now).total_seconds(), 0.0), LONGEST_WAIT)
            except (ValueError, TypeError):
                continue
    return interval


def explanation(response: Response) -> str:
    """What an answer says in words about what went wrong, in one line; "" where it says nothing."""
    values = jobs.scalars(response.body).values
    # Kling says SUCCEED also where the task failed, and elsewhere why.
    found = (values.get(path, "") for path in EXPLANATIONS)
    text = next((text for text in found if text and text not in ("null", "SUCCEED", "succeed")), "")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_EXPLANATION]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""
