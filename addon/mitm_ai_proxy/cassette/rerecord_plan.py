"""The plan to send a recording again: its requests in order, and the comparison of new answers with recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..auth.header import is_credential
from ..wire import json_text
from . import forms, jobs, links, listing
from .entry import Entry, Headers, Request, Response, header
from .formatting import described
from .matching import Key, MatchOptions, canonical
from .polling import is_passing
from .sensitive import LINK_MARK, MARK

# Header fields that the connection or the proxy sets, and those that make a provider treat a request as a repeated one.
_LEFT_OUT: Final = frozenset(
    """
    accept-encoding connection content-encoding content-length expect host idempotency-key keep-alive proxy-connection
    sec-fetch-site te trailer transfer-encoding upgrade
    """.split()
)
_OPTIONS: Final = MatchOptions()


class PlanError(Exception):
    """A recording cannot be sent again. The text has a line for each such entry, and quotes none of them."""


# Requests as they can be sent


def headers_to_send(headers: Headers) -> Headers:
    """Recorded header fields without credentials, fields of the connection, and scrubbed values."""
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _LEFT_OUT and not is_credential(name) and MARK not in value
    )


def has_credential(request: Request) -> bool:
    """Whether a recorded request was sent with a credential."""
    return any(is_credential(name) for name, _ in request.headers)


def _scrubbed_place(request: Request, linked: set[str]) -> str:
    """The place of a scrubbed value in a request; "" without any. `linked` are links that will be replaced."""
    if LINK_MARK in request.url and links.unsigned(request.url) not in linked:
        return "its URL"

    def known(link: str) -> str:
        return "" if links.unsigned(link) in linked else link

    whole = request.body.decode("utf-8", "replace")
    if forms.is_urlencoded(header(request.headers, "content-type")):
        return "its body" if LINK_MARK in whole else ""
    texts = [links.edit(text, known) for text in [*json_text.strings(jobs.decoded(request.body))] or [whole]]
    is_scrubbed = any(MARK in text or any(LINK_MARK in link for link in links.found(text)) for text in texts)
    return "its body" if is_scrubbed else ""


# Sending a recording again


@dataclass(frozen=True, slots=True)
class Step:
    """A request to be sent again. `index` is its entry, `recorded` are the answers that its new answer replaces.

    `link` is the link of an earlier answer that it follows, as links.unsigned() spells it; "" for none. If `is_polled`,
    it is repeated until its tasks have ended.
    """

    index: int
    request: Request
    recorded: tuple[Response, ...]
    link: str = ""
    is_polled: bool = False

    @property
    def answer(self) -> Response | None:
        """The recorded answer that the new one is compared with; None if none was recorded."""
        return self.recorded[-1] if self.recorded else None


def refreshing(entries: Sequence[Entry]) -> list[Step]:
    """The requests of a recording, in its order. Raises PlanError if scrubbed values are needed.

    The polls of a job become one request, in the place of the first one with a final status. Left out are temporary
    errors that the client retried, and repeated downloads of a file.
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
        linked.update(map(links.unsigned, links.in_answer(entry)))
    if problems:
        raise PlanError("\n".join(problems))
    return steps


def external_names(steps: Sequence[Step]) -> list[str]:
    """The external ids in creates, which a provider accepts only once."""
    return list(dict.fromkeys(filter(None, (jobs.external_id(step.request) for step in steps))))


def _polled(entries: Sequence[Entry], keys: Sequence[Key]) -> dict[int, tuple[int, ...]]:
    """Groups of equal polls, by the index of the one that is sent for all of them."""
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
            # The answer with the last state comes last: it is the one to compare with.
            found[next(ended, last)] = (*(index for index in indexes if index != last), last)
    return found


def _is_repeated(index: int, entries: Sequence[Entry], keys: Sequence[Key]) -> bool:
    """Whether an exchange ended in a temporary error, and its request was sent again."""
    response = entries[index].response
    return (response is None or is_passing(response)) and keys[index] in keys[index + 1 :]


def unlike(step: Step, new: Response) -> str:
    """The reason why a new answer cannot replace the recorded one; "" if it can."""
    recorded = step.answer
    if recorded is None:
        return ""
    if recorded.status < 400 <= new.status:
        return f"answered with {new.status}, in the recording with {recorded.status}"
    if jobs.task_id(recorded) and not jobs.task_id(new):
        return "answered without a task, in the recording with one"
    if not (step.is_polled or jobs.task_id(recorded)):
        # A list has other tasks, too.
        return ""
    before, after = (
        sorted(task.status for task in listing.tasks(answer) if task.is_ended) for answer in (recorded, new)
    )
    if before and before != after:
        return f"ended as {', '.join(after) or 'nothing'}, in the recording as {', '.join(before)}"
    return ""
