"""Variations of a recording: its jobs fail, are refused or slow, or their results are gone."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from ..wire import json_edit
from ..wire.json_edit import Edit, JSONError, Member
from . import jobs, links, listing
from .entry import MOST_REPEATS, Entry, Headers, Request, Response
from .listing import Job, Task, results, tasks, text
from .recorded_api import Errors, json_object

POLLS: Final = 10
"""The default number of further polls for a slow job."""
RETRIES: Final = 9
"""The number of retries of a refused create that are refused too: SDKs and other gateways retry."""

# By the status for success, in Kling's two APIs, OpenAI's and Runway's.
_FAILED: Final = {"succeed": "failed", "succeeded": "failed", "completed": "failed", "SUCCEEDED": "FAILED"}
_UNFINISHED: Final = {
    "succeed": "processing",
    "succeeded": "processing",
    "completed": "in_progress",
    "SUCCEEDED": "RUNNING",
}

_REASONS: Final = ("task_status_msg", "message", "failure")
"""Members for the reason why a task failed; a task without any of them gets OpenAI's `error`."""
_FAILURE_CODE: Final = "server_error"
_EMPTIED: Final = listing.RESULTS | {"billing", "completed_at", "expires_at"}
"""Members that are empty or null until a task succeeds."""

_SHORTEST_ID: Final = 6
"""Characters of an id; a shorter string may be any other value."""

_JSON: Final = "application/json"
# The answer of S3 and of CDNs that copy it. That of Kling's CDN is not known.
_EXPIRED: Final = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
_ABOUT_BODY = re.compile(r"(?i)content-.*|transfer-encoding|etag|last-modified|accept-ranges|expires|cache-control")


class VariationError(ValueError):
    """A variation cannot be made. The message says why, and quotes no body or header."""


@dataclass(frozen=True, slots=True)
class Variation:
    """A variation: exactly one of its members is set, else it raises VariationError.

    `failed`: the jobs fail with this message. `error`: their creates are refused with this error code of the provider.
    `content_gone`: the links to their results have expired. `slow`: the jobs take this number of further polls.
    """

    failed: str | None = None
    error: int | None = None
    content_gone: bool = False
    slow: int | None = None

    def __post_init__(self) -> None:
        if sum(getattr(self, field.name) != field.default for field in fields(self)) != 1:
            raise VariationError("a variation is one of failed, error, content_gone and slow")
        if self.slow is not None and not 1 <= self.slow <= MOST_REPEATS:
            raise VariationError(f"a job is slower by 1 to {MOST_REPEATS} polls")


def check_code(code: int, errors: Errors) -> None:
    """Raise VariationError for an error code that the provider does not have."""
    if code not in errors.error_codes:
        known = ", ".join(map(str, errors.error_codes))
        raise VariationError(f"{errors.name} has no error code {code}; it has {known or 'none'}")


def vary(entries: Sequence[Entry], variation: Variation, errors: Errors) -> list[Entry]:
    """The entries of a recording with a variation; exchanges that could not have happened then are left out.

    Raises VariationError if no job can be varied so, and for an error code that the provider does not have.
    """
    if variation.error is not None:
        check_code(variation.error, errors)
    found = listing.sort(entries).jobs
    try:
        if variation.failed is not None:
            return _failed(entries, found, variation.failed, errors)
        if variation.error is not None:
            return _refused(entries, found, variation.error, errors)
        if variation.slow is not None:
            return _slow(entries, found, variation.slow, errors)
        return _gone(entries, found)
    except JSONError as error:
        raise VariationError(f"an answer that tells of a job {error}") from None


def _failed(entries: Sequence[Entry], found: Sequence[Job], message: str, errors: Errors) -> list[Entry]:
    names = {job.task_id for job in found}
    varied: dict[int, Entry] = {}
    for index, entry in enumerate(entries):
        response = _with_other_status(entry.response, names, _FAILED, errors.paid_members, message)
        if response:
            varied[index] = _noted(replace(entry, response=response), "the job fails")
    if not varied:
        raise VariationError("no job in it succeeds, so that none can fail")
    successes = [job for job in found if any(_is_success(job.task(entries[index])) for index in job.indexes)]
    removed = _followers(entries, found, successes)
    for job in successes:
        removed.update(job.files)
        for index in (*job.creates, *job.reads):
            varied[index] = replace(varied.get(index, entries[index]), units=None, price=None)
    return [varied.get(index, entry) for index, entry in enumerate(entries) if index not in removed]


def _refused(entries: Sequence[Entry], found: Sequence[Job], code: int, errors: Errors) -> list[Entry]:
    varied: dict[int, Entry] = {}
    refused: list[Job] = []
    removed: set[int] = set()
    for job in found:
        create = next((index for index in job.creates if _is_accepted(entries[index].response)), None)
        if create is None:
            continue
        entry = replace(entries[create], response=_refusal(entries[create], code, errors), units=None, price=None)
        varied[create] = _noted(replace(entry, repeats=RETRIES), f"the create is refused with {code}")
        refused.append(job)
        removed.update(index for index in job.indexes if index > create)
    if not refused:
        raise VariationError("no create of a job in it is accepted, so that none can be refused")
    names = {job.task_id for job in refused}
    lists = {index for index, entry in enumerate(entries) if any(task.name in names for task in tasks(entry.response))}
    removed |= (lists - varied.keys()) | _followers(entries, found, refused)
    return [varied.get(index, entry) for index, entry in enumerate(entries) if index not in removed]


def _gone(entries: Sequence[Entry], found: Sequence[Job]) -> list[Entry]:
    note = "the result is gone"
    shown = {links.unsigned(value): value for value in results(entries, found) if links.is_link(value)}
    varied = list(entries)
    downloaded: set[str] = set()
    for job in found:
        hosts = {links.place(entries[index].request.url).host for index in (*job.creates, *job.reads)}
        for index in job.files:
            entry = entries[index]
            place = links.unsigned(entry.request.url)
            downloaded.add(place)
            if entry.response and 200 <= entry.response.status < 300:
                is_link = place in shown or links.place(place).host not in hosts
                varied[index] = _noted(replace(entry, response=_expired(entry, is_link)), note)
    # Results that were not downloaded are gone, too.
    end = max((entry.started + entry.milliseconds / 1000 for entry in entries), default=0.0)
    for place, link in shown.items():
        if place not in downloaded:
            entry = Entry(end, 0.0, Request("GET", link), None)
            varied.append(_noted(replace(entry, response=_expired(entry, is_link=True)), note))
    if varied == list(entries):
        raise VariationError("no job in it has a result, so that none can be gone")
    return varied


def _slow(entries: Sequence[Entry], found: Sequence[Job], polls: int, errors: Errors) -> list[Entry]:
    changed = list(entries)
    before: dict[int, Entry] = {}
    """By the index of a final poll that was the first one: the poll to insert before it."""
    delays = [0.0] * len(entries)
    note = "the job is slow"
    for job in found:
        told = [(index, task) for index in job.reads if (task := job.task(entries[index]))]
        end = next((index for index, task in told if task.is_ended), None)
        if end is None:
            continue
        last = max((index for index, _ in told if index < end), default=None)
        if last is not None:
            repeats = entries[last].repeats + polls
            if repeats > MOST_REPEATS:
                raise VariationError(f"no answer can be repeated more than {MOST_REPEATS} times")
            changed[last] = _noted(replace(entries[last], repeats=repeats), note)
            asked, later = last, [index for index in job.indexes if index > last]
        else:
            # One answer may have several jobs.
            poll = before.get(end) or _noted(entries[end], note)
            response = _with_other_status(poll.response, {job.task_id}, _UNFINISHED, errors.paid_members)
            if response is None:
                continue
            before[end] = replace(poll, response=response, units=None, price=None, repeats=polls - 1)
            asked, later = job.indexes[0], [index for index in job.indexes if index >= end]
        for index in later:
            delays[index] = max(delays[index], polls * (entries[later[0]].started - entries[asked].started))
    if not before and changed == list(entries):
        raise VariationError("no job in it is seen to end, so that none can take longer")
    varied: list[Entry] = []
    for index, entry in enumerate(changed):
        if index in before:
            varied.append(before[index])
        varied.append(replace(entry, started=entry.started + delays[index]))
    return varied


def _noted(entry: Entry, note: str) -> Entry:
    return replace(entry, notes=(*entry.notes, f"varied: {note}"))


def _is_success(task: Task | None) -> bool:
    return task is not None and task.status in _FAILED


def _is_accepted(response: Response | None) -> bool:
    """Whether a create may have created a job; True if no answer came."""
    return response is None or 200 <= response.status < 300


# Exchanges that depend on jobs


def _followers(entries: Sequence[Entry], found: Sequence[Job], without: Sequence[Job]) -> set[int]:
    """The exchanges, by index, of jobs whose create has the id or a result of a job in `without`."""
    known = {*(job.task_id for job in without), *map(links.unsigned, results(entries, without))}
    needed = {value for value in known if len(value) >= _SHORTEST_ID}
    followers = [job for job in found if any(needed & _named_by(entries[index].request) for index in job.creates)]
    return {index for job in followers for index in job.indexes}


def _named_by(request: Request) -> set[str]:
    """All ids and links in a create that may name another job or its result."""
    values = map(links.unsigned, jobs.scalars(request.body).values.values())
    try:
        segments = urlsplit(request.url).path.split("/")
    except ValueError:
        segments = []
    return {*values, *map(unquote, segments)}


# Varied answers


def _with_other_status(
    response: Response | None,
    names: set[str],
    words: Mapping[str, str],
    paid: Collection[str],
    reason: str | None = None,
) -> Response | None:
    """The answer with other statuses for those of these jobs that have succeeded in it; None if none has.

    `words` are the new statuses by the recorded ones; members in `paid` are removed.
    """
    found = [task for task in tasks(response) if task.name in names and task.status in words]
    if response is None or not found:
        return None
    document = text(response)
    pieces: list[str] = []
    position = 0
    for task in found:
        object_ = _without_members(document[task.start : task.end].encode(), paid)
        changed = _without_result(object_, task.member, words[task.status], reason)
        pieces += (document[position : task.start], changed.decode())
        position = task.end
    body = "".join([*pieces, document[position:]]).encode()
    return replace(response, body=body, headers=_with_length(response.headers, response.body, body), chunks=())


def _without_members(document: bytes, names: Collection[str]) -> bytes:
    """A JSON object without the members that have these names."""
    for name in names:
        members = json_edit.members(document)
        document = json_edit.apply(document, json_edit.remove(members, [item for item in members if item.key == name]))
    return document


def _without_result(document: bytes, member: str, status: str, reason: str | None) -> bytes:
    """A task's object with another status, without members of a success, and with the reason if there is one."""
    members = json_edit.members(document)
    changes = {item.key: _empty(document, item) for item in members if item.key in _EMPTIED}
    changes[member] = json_edit.string(status)
    if reason is not None:
        texts = {item.key for item in members if document[item.start : item.start + 1] in (b'"', b"n")}
        known = next((name for name in _REASONS if name in texts), _REASONS[0] if member == "task_status" else None)
        changes[known or "error"] = _json(reason if known else {"code": _FAILURE_CODE, "message": reason})
    edits = [Edit(item.start, item.end, changes[item.key]) for item in members if item.key in changes]
    for name in changes.keys() - {item.key for item in members}:
        edits.append(Edit(members[-1].end, members[-1].end, b"," + _json(name) + b":" + changes[name]))
    return json_edit.apply(document, edits)


def _empty(document: bytes, member: Member) -> bytes:
    return {b"{": b"{}", b"[": b"[]"}.get(document[member.start : member.start + 1], b"null")


def _refusal(entry: Entry, code: int, errors: Errors) -> Response:
    """The error answer to a create."""
    recorded = json_object(entry.response.body) if entry.response else None
    status, body, headers = errors.error_answer(code, entry.request.url, recorded or {})
    return _answer(entry.response, status, _json(body), more=tuple(headers.items()))


def _expired(entry: Entry, is_link: bool) -> Response:
    """The answer to a download of an expired result: a CDN's for a link, else that of OpenAI's API."""
    if is_link:
        found = _answer(entry.response, 403, _EXPIRED, "application/xml")
    else:
        error = {"message": "The video has expired.", "type": "invalid_request_error", "param": None, "code": None}
        found = _answer(entry.response, 404, _json({"error": error}))
    return replace(found, body=b"") if entry.request.method == "HEAD" else found


def _answer(recorded: Response | None, status: int, body: bytes, kind: str = _JSON, more: Headers = ()) -> Response:
    """An answer that replaces a recorded one, and keeps its header fields except those about the body."""
    kept = [field for field in recorded.headers if not _ABOUT_BODY.fullmatch(field[0])] if recorded else []
    described = (("Content-Type", kind), ("Content-Length", str(len(body))))
    return Response(status, HTTPStatus(status).phrase, (*kept, *described, *more), body)


def _with_length(headers: Headers, before: bytes, after: bytes) -> Headers:
    """The header fields with the Content-Length of a changed body."""
    old, new = str(len(before)), str(len(after))
    return tuple((k, new if k.lower() == "content-length" and v.strip() == old else v) for k, v in headers)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
