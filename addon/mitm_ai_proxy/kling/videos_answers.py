"""OpenAI's Videos API on top of Kling's: translates the answers. See videos_api.py for the requests."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec

from .. import exchange
from ..exchange import Answer, Handling, Whole
from ..wire import header_fields, json_edit
from ..wire.header_fields import Fields
from . import api_versions, error_codes, pages, redirects, tasks, video_object
from .document import encoded
from .error_codes import is_printable
from .idempotency import PREFIX, Idempotency
from .ids import NO_PARAMETERS, VideoParameters, add_parameters, split_parameters
from .job import EXTEND, Job
from .task_kinds import HINT, LISTED, PREFIXES, TASK_KINDS, TEXT2VIDEO, TaskKind, prefix_edits


class VideosAnswers:
    """The answers of one configured Kling provider.

    `clock` gives Unix time in seconds; `speed` is how many times faster than Kling the provider is. `idempotency` is
    told what became of creates.
    """

    def __init__(self, idempotency: Idempotency, is_v2: bool, clock: Callable[[], float], speed: float) -> None:
        self._idempotency = idempotency
        self._is_v2 = is_v2
        self._clock = clock
        self._speed = speed

    def responseheaders(self, memo: exchange.Memo, status: int, fields: Fields, is_signed: bool) -> Handling | None:
        """How the answer to a request with this memo is rewritten; None if it is passed on.

        `is_signed`: the request had a token that was signed by this machine's clock.
        """
        job = Job.of(memo)
        if job is None and (status != 401 or not is_signed):
            return None
        date = header_fields.value(fields, b"date") if is_signed else ""
        rewrite = functools.partial(self._rewritten, job) if job else self._with_clock_note
        return Whole(functools.partial(rewrite, date))

    def error(self, memo: exchange.Memo) -> None:
        """Record that a request ended without an answer."""
        job = Job.of(memo)
        if job:
            self._record_result(job, answered=False)

    def _rewritten(self, job: Job, date: str, answer: Answer) -> Answer:
        """The answer for the client. Raises json_edit.JSONError for one that is passed on and is no JSON object.

        `date`: the Date of the answer, if that can explain why a token was refused.
        """
        if job.is_openai or job.what in ("content", "source"):
            return self._translated(job, date, answer)
        if job.name:
            document = _decoded(answer.body)
            envelope = tasks.envelope(document)
            if _is_success(answer, document, envelope):
                self._record_result(job, answered=tasks.answered(document) is not None)
            else:
                duplicate = self._duplicate_answer(job, envelope)
                if duplicate:
                    return duplicate
                self._record_failure(job, answer, envelope)
        return self._with_clock_note(date, self._with_prefix(job, answer))

    def _translated(self, job: Job, date: str, answer: Answer) -> Answer:
        """The answer as OpenAI's object or error, or as a redirect."""
        document = _decoded(answer.body)
        envelope = tasks.envelope(document)
        if not _is_success(answer, document, envelope):
            return self._refused(job, date, answer, document, envelope)
        if job.what == "character":
            return _character(answer, envelope)
        if job.what == "list":
            return self._page(job, answer, envelope)
        found = tasks.answered(document)
        if found is None:
            if job.is_paid:
                return self._unreadable(job, answer)
            message = self._with_hint(job, "Kling knows no such task.")
            return error_codes.answer(404, 1203, message, envelope.request_id)
        if job.what == "content":
            return redirects.to_file(found)
        if job.what == "source":
            link = found.video_id if job.api == EXTEND else found.url
            return redirects.to_second_step(job.target, found, link)
        if job.is_paid:
            self._record_result(job, answered=True)
        return self._video(job, answer, envelope, found)

    def _refused(self, job: Job, date: str, answer: Answer, document: Any, envelope: tasks.Envelope) -> Answer:
        """OpenAI's error for an answer that is none of success, or a redirect for a create that was accepted before."""
        is_2xx = 200 <= answer.status < 300
        if job.is_paid and is_2xx and not isinstance(document, dict):
            return self._unreadable(job, answer)
        duplicate = self._duplicate_answer(job, envelope)
        if duplicate:
            return duplicate
        self._record_failure(job, answer, envelope)
        message, code = envelope.message, envelope.code
        if code is None and not message:
            message = f"The provider's answer (status {answer.status}) is not Kling's."
        if code in error_codes.CLOCK:
            message = _sentences(message, error_codes.clock_difference(date, self._clock()))
        # 1203 is a model or a path that Kling does not have.
        if code != 1203 and error_codes.meaning(answer.status, code, message).status == 404:
            message = self._with_hint(job, message)
        repeats = not (job.is_paid and is_2xx)
        return error_codes.answer(answer.status, code, message, envelope.request_id, repeats_unknown=repeats)

    def _with_hint(self, job: Job, message: str) -> str:
        """The message for a task that is not there, with what to add to an id that names no kind."""
        if not job.is_guessed or self._is_v2:
            return message
        others = ", ".join(prefix for prefix in PREFIXES if prefix != TASK_KINDS[job.kind].prefix)
        query = "" if job.what == "source" else f", or ?{HINT}= to the address (such as ?{HINT}=image2video)"
        add = f"for another, add its prefix ({others}){query}."
        return _sentences(message, f"The id names no kind, so {job.kind} was asked: {add}")

    def _unreadable(self, job: Job, answer: Answer) -> Answer:
        """A 2xx answer to a create that names no task: passed on, since a repetition could buy a second one."""
        self._record_result(job, answered=False)
        note = "the answer names no task and is passed on: the create may have been accepted"
        return Answer(answer.status, answer.body, {"x-should-retry": "false"}, (note,))

    def _with_clock_note(self, date: str, answer: Answer) -> Answer:
        """The answer, with a note if it refuses a token because this machine's clock is wrong."""
        if not date or answer.status != 401 or tasks.envelope(_decoded(answer.body)).code not in error_codes.CLOCK:
            return answer
        difference = error_codes.clock_difference(date, self._clock())
        return answer._replace(notes=(*answer.notes, difference)) if difference else answer

    def _with_prefix(self, job: Job, answer: Answer) -> Answer:
        """Kling's answer to a create, with the prefix of its kind on `task_id` and `data.task_id`."""
        if not job.is_paid or not 200 <= answer.status < 300:
            return answer
        kind = TASK_KINDS[job.kind]
        edits = prefix_edits(answer.body, kind)
        if not edits:
            return answer
        note = f"task_id prefixed with {kind.prefix}: a later retrieve finds {kind.name} by it"
        return Answer(answer.status, json_edit.apply(answer.body, edits), notes=(note,))

    def _record_result(self, job: Job, *, answered: bool) -> None:
        if job.name:
            self._idempotency.record_result(job.name, answered)

    def _duplicate_answer(self, job: Job, envelope: tasks.Envelope) -> Answer | None:
        """The answer to a create that Kling refused because its external_task_id is in use; None for other refusals.

        A retry is redirected to the task of the first attempt. A first attempt is told to retry, with another id.
        """
        if not (job.name and error_codes.is_duplicate(envelope.message)):
            return None
        if job.repeated:
            self._record_result(job, answered=True)
            name = quote(job.name, safe="")
            if job.is_told or (job.is_openai and name.startswith(PREFIX)):
                name = _with_parameters(name, job.asked)
            video_id = TASK_KINDS[job.kind].prefix + name
            note = "the first attempt was accepted: the client is sent to that task"
            return redirects.to_video(job.target, video_id)._replace(notes=(note,))
        if job.name.startswith(PREFIX):
            self._idempotency.record_taken(job.name)
            again = error_codes.answer(
                409, None, "An equal create was made before; send it again.", envelope.request_id
            )
            headers = {**again.headers, "x-should-retry": "true", "retry-after-ms": "1"}
            note = "an equal create is older than this proxy: the client sends it again, under another name"
            return Answer(409, again.body, headers, (note,))
        return None

    def _record_failure(self, job: Job, answer: Answer, envelope: tasks.Envelope) -> None:
        if error_codes.is_doubtful(answer.status, envelope.code, envelope.message):
            self._record_result(job, answered=False)
        elif job.name:
            self._idempotency.record_refusal(job.name)

    def _video(self, job: Job, answer: Answer, envelope: tasks.Envelope, found: tasks.Task) -> Answer:
        kind = TASK_KINDS[job.kind]
        parameters = job.asked if job.asked != NO_PARAMETERS else _parameters(found)
        name = found.external_task_id or job.name
        if job.is_paid and name and not name.startswith(PREFIX) and not job.is_told:
            # A name of the client's own tells a list nothing, and an id is the same everywhere.
            video_id = self._video_id(kind, found, NO_PARAMETERS, is_sure=False)
        else:
            video_id = self._video_id(kind, found, parameters, is_sure=not job.is_guessed)
        video = video_object.video(video_id, found, parameters, self._clock(), job.prompt, self._speed)
        edits = _openai_member_edits(answer.body, video)
        if job.is_paid and not self._is_v2:
            edits += prefix_edits(answer.body, kind)
        headers = {**video_object.poll_headers(self._speed), **_request_id(envelope)}
        return Answer(answer.status, json_edit.apply(answer.body, edits), headers)

    def _video_id(self, kind: TaskKind, found: tasks.Task, parameters: VideoParameters, *, is_sure: bool) -> str:
        """The id of a video, the same in all answers. v2 does not tell the kind, which may be in the parameters."""
        prefix = kind.prefix
        if self._is_v2 and not is_sure:
            ours = found.external_task_id.startswith(PREFIX)
            prefix = TASK_KINDS.get(parameters.kind, TEXT2VIDEO).prefix if ours else ""
        return prefix + add_parameters(found.task_id, parameters)

    def _page(self, job: Job, answer: Answer, envelope: tasks.Envelope) -> Answer:
        page = job.page
        assert page
        found = tasks.tasks(envelope.data)
        if found is None:
            return error_codes.answer(502, None, "Kling's answer is no list of tasks.", envelope.request_id)
        # Items that are no tasks count too: they filled the page.
        count = len(envelope.data) if isinstance(envelope.data, list) else len(found)
        place = api_versions.v2_place(envelope.data) if self._is_v2 else None
        next_page = (
            (page._replace(place=place) if place else None)
            if self._is_v2
            else pages.next_page(page, count, self._families)
        )
        if not found and next_page is not None:
            # An SDK stops at an empty page, though the next list may have videos.
            return redirects.to_page(job.target, next_page.cursor)
        kind, now = LISTED.get(page.family, TEXT2VIDEO), self._clock()
        ids, videos = [], []
        for raw, task in found:
            parameters = _parameters(task)
            ids.append(self._video_id(kind, task, parameters, is_sure=False))
            video = video_object.video(ids[-1], task, parameters, now, speed=self._speed)
            videos.append(json.dumps(video).encode()[:-1] + b', "data": %s}' % encoded(raw))
        ends = {
            "first_id": ids[0] if ids else None,
            "last_id": next_page.cursor if next_page else (ids[-1] if ids else None),
            "has_more": next_page is not None,
            "code": envelope.code,
            "message": envelope.message,
            "request_id": envelope.request_id,
        }
        body = b'{"object": "list", "data": [%s], %s' % (b", ".join(videos), json.dumps(ends).encode()[1:])
        return Answer(answer.status, body, _request_id(envelope))

    @property
    def _families(self) -> list[str]:
        return families(self._is_v2)


def families(is_v2: bool) -> list[str]:
    """The names of Kling's lists of videos, in the order in which a client pages through them."""
    return [pages.ALL_TASKS] if is_v2 else list(LISTED)


def split_id(video_id: str) -> tuple[str, VideoParameters]:
    """What Kling knows a video by, its task id or external_task_id, and the parameters, from an id without its prefix.

    An external_task_id that was chosen here has parameters of its own (see idempotency.py): they stay in it.
    """
    name, parameters = split_parameters(video_id)
    if not name.startswith(PREFIX) or _has_parameters(name):
        return name, parameters
    # See _with_parameters().
    return (name[:-1] if name.endswith("-") and name != video_id else video_id), parameters


def _with_parameters(name: str, parameters: VideoParameters) -> str:
    """An external_task_id as an id with parameters beside any of its own: a retrieve by it gets OpenAI's object."""
    is_bare = name.startswith(PREFIX) and not _has_parameters(name)
    video_id = add_parameters(f"{name}-" if is_bare else name, parameters)
    return video_id if split_id(video_id)[0] == name else name


def _has_parameters(name: str) -> bool:
    return split_parameters(name)[0] != name


def _parameters(task: tasks.Task) -> VideoParameters:
    """What a create asked for, from the name that it was given here."""
    name = task.external_task_id
    return split_parameters(name)[1] if name.startswith(PREFIX) else NO_PARAMETERS


def _sentences(message: str, hint: str) -> str:
    """Kling's message, which may lack its full stop, and what there is to say about it, which may be nothing."""
    if not message or not hint:
        return message or hint
    return f"{message}{'' if message.endswith('.') else '.'} {hint}"


def _is_success(answer: Answer, document: Any, envelope: tasks.Envelope) -> bool:
    return 200 <= answer.status < 300 and envelope.code in (0, None) and isinstance(document, dict)


def _decoded(body: bytes) -> Any:
    """The decoded answer; None if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        # Accepts a lone surrogate, which a truncated text may have.
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _openai_member_edits(body: bytes, ours: dict[str, Any]) -> list[json_edit.Edit]:
    """The edits that insert OpenAI's members before those of a JSON object; `ours` wins where a name is in both."""
    members = json_edit.members(body)
    place = body.index(b"{") + 1
    text = json.dumps(ours).encode()[1:-1]
    return [
        json_edit.Edit(place, place, text + (b", " if members else b"")),
        # A gateway in front of Kling may have members of the same names.
        *(
            json_edit.Edit(member.key_start, member.key_end, json_edit.string(f"provider_{member.key}"))
            for member in members
            if member.key in ours
        ),
    ]


def _request_id(envelope: tasks.Envelope) -> dict[str, str | None]:
    return {"x-request-id": envelope.request_id} if is_printable(envelope.request_id) else {}


def _character(answer: Answer, envelope: tasks.Envelope) -> Answer:
    """OpenAI's character, from an answer with an element; Kling's members are kept."""
    task = tasks.task(envelope.data)
    if task is None:
        return error_codes.answer(404, 1203, "Kling knows no such element.", envelope.request_id)
    character = {"id": task.task_id, "name": task.element_name or None, "created_at": (task.created or 0) // 1000}
    edits = _openai_member_edits(answer.body, character)
    return Answer(answer.status, json_edit.apply(answer.body, edits), _request_id(envelope))
