"""OpenAI's Videos API on top of Kling's: translates each request and its answer.

What takes two upstream requests is done with a redirect: the client sends the second one (see redirects.py).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote

import msgspec

from .. import exchange
from ..errors import Refusal, bad_body
from ..exchange import NO_MEMO, Answer, Head, NeedsBody, Upstream, Whole, without_surrogates
from ..wire import json_edit, targets
from ..wire.targets import Origin
from . import api_versions, create, error_codes, forms, models, pages, pictures, redirects, tasks, video_object
from .document import Document, encoded
from .error_codes import is_printable
from .idempotency import PREFIX, Idempotency
from .ids import NO_PARAMETERS, VideoParameters, add_parameters, split_parameters
from .redirects import SOURCE, Source, source_of
from .task_kinds import (
    HINT,
    IMAGE2VIDEO,
    IMAGE_FIELDS,
    OMNI_VIDEO,
    TASK_KINDS,
    TEXT2VIDEO,
    VIDEO_EXTEND,
    TaskKind,
    kind_of,
    prefix_edits,
)

LIST: Final = "openai/v1/listvideos"
CONTENT: Final = "openai/v1/retrievevideocontent"
REMIX: Final = "openai/v1/videoremix"
EDIT: Final = "openai/v1/videoedits"
EXTEND: Final = "openai/v1/videoextensions"
CHARACTER: Final = "openai/v1/videocharacters"
RETRIEVE_CHARACTER: Final = "openai/v1/retrievevideocharacter"

ELEMENTS: Final = "/v1/general/advanced-custom-elements"
"""Kling's path for what OpenAI calls a character."""

UNSUPPORTED_REASONS: Final = {
    "openai/v1/deletevideo": "Kling keeps a file for 30 days and deletes none on request.",
}
"""By API name, a sentence on why Kling has no such API."""


class Job(NamedTuple):
    """What the answer to a request is translated with. As plain values (`memo`) it is saved with the flow.

    `what` is the kind of request: retrieve, content, list, character, source (the first request of a follow-up), or,
    where Kling charges for it, create or make (the second request of a follow-up). `kind` is the name of a TaskKind.
    `asked` goes into the video id. `name` is the external_task_id of a create, and `repeated` whether the client may
    have sent it before. `api` is the API of a follow-up, `target` the client's path and query, for a redirect.
    """

    what: str
    kind: str = ""
    is_openai: bool = True
    asked: VideoParameters = NO_PARAMETERS
    prompt: str | None = None
    name: str = ""
    repeated: bool = False
    api: str = ""
    page: pages.Page | None = None
    target: str = ""

    @classmethod
    def of(cls, memo: exchange.Memo) -> Job | None:
        """The job in a memo; None if it is empty."""
        if not memo:
            return None
        given = dict(memo)
        if "asked" in given:
            given["asked"] = VideoParameters(*given["asked"])
        if "page" in given:
            given["page"] = pages.Page(*given["page"])
        if "target" in given:
            given["target"] = given["target"].encode("latin-1").decode("utf-8", "surrogateescape")
        return cls(**given)

    @property
    def memo(self) -> exchange.Memo:
        """The fields that differ from their defaults, as plain values."""
        defaults = self._field_defaults
        found = {name: value for name, value in self._asdict().items() if value != defaults.get(name)}
        # A lone surrogate, which JSON may hold, would break the file in which mitmproxy saves a flow.
        if "asked" in found:
            found["asked"] = [without_surrogates(text) for text in self.asked]
        if self.page:
            found["page"] = list(self.page)
        if self.prompt is not None:
            found["prompt"] = without_surrogates(self.prompt)
        if self.target:
            # A target may hold any byte; a redirect has to repeat it exactly.
            found["target"] = self.target.encode("utf-8", "surrogateescape").decode("latin-1")
        return found

    @property
    def is_paid(self) -> bool:
        """Whether Kling charges for the request."""
        return self.what in ("create", "make")


NATIVE_CREATES: Final = {name: Job("create", name, is_openai=False).memo for name in TASK_KINDS}
"""The memo of a create in Kling's own words, which is answered in these, by the kind of its task."""


class Routes(Protocol):
    """What VideosApi uses of its provider: the origin, and paths with the base paths."""

    @property
    def origin(self) -> Origin:
        """The origin that requests are sent to."""

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """Path and query of a capability, with ids and the client's query."""

    def with_base_path(self, path: str) -> str:
        """A path with the base paths prepended."""


MapModel = Callable[[str], "tuple[str, str | None]"]
Notes: TypeAlias = tuple[str, ...]

_JSON: Final = {b"content-type": b"application/json"}
# The answer has to be decoded, and is small.
_PLAIN_ANSWER: Final = {b"accept-encoding": b"identity"}


class VideosApi:
    """OpenAI's Videos API of one configured Kling provider.

    `map_model` returns the model and the pattern of modelMapping that matched. `clock` gives Unix time in seconds;
    `speed` is how many times faster than Kling the provider is. Methods that translate a request take the client's
    query, `is_openai` (whether the client gets OpenAI's objects) and the notes so far.
    """

    def __init__(self, routes: Routes, map_model: MapModel, api: str, clock: Callable[[], float], speed: float) -> None:
        self._routes = routes
        self._map_model = map_model
        self._v2 = api == api_versions.V2
        self._clock = clock
        self._speed = speed
        self._idempotency = Idempotency(clock)

    # Requests

    def retrieve(self, head: Head, kind: TaskKind, task_id: str, query: str, is_openai: bool, notes: Notes) -> Upstream:
        """Retrieve a task."""
        task_id, asked = split_parameters(task_id)
        memo = Job("retrieve", kind.name, asked=asked).memo if is_openai else NO_MEMO
        return self._upstream(head.method, self._task_path(kind, task_id, query), memo, notes)

    def content(self, head: Head, kind: TaskKind, task_id: str, query: str, notes: Notes) -> Upstream:
        """Download a video: Kling is asked for the task, and the answer is a redirect to its file."""
        variant, query = targets.pop_parameter(query, "variant")
        if variant not in (None, "", "video"):
            raise Refusal(400, f"Kling has no {variant[:40]!r} of a video.", code="invalid_value", param="variant")
        target = self._task_path(kind, split_parameters(task_id)[0], query)
        return self._upstream(head.method, target, Job("content", kind.name).memo, notes)

    def listing(self, head: Head, query: str, is_openai: bool, notes: Notes) -> Upstream | NeedsBody:
        """List videos: one page of one of Kling's lists. Raises Refusal (400) for an invalid query."""
        page = pages.page(query, self._families)
        memo = Job("list", is_openai=is_openai, page=page, target=head.target).memo
        if not self._v2:
            place = f"pageNum={page.place}&pageSize={page.limit}"
            target = self._routes.upstream_path(_FAMILIES[page.family].create, {}, place)
            return self._upstream(head.method, target, memo if is_openai else NO_MEMO, notes)

        def ask(_: bytes) -> Upstream:
            target = self._routes.with_base_path(api_versions.TASKS)
            body = api_versions.v2_page(page.limit, page.place)
            fields = _PLAIN_ANSWER | _JSON if is_openai else _JSON
            return Upstream(self._routes.origin, "POST", target, fields, body, memo if is_openai else NO_MEMO, notes)

        return NeedsBody(self._routes.origin, ask, notes)

    def follow_up(self, head: Head, api: str, video_id: str, query: str, is_openai: bool, notes: Notes) -> NeedsBody:
        """A remix, an edit or an extension: the first request retrieves the source video, the second one creates."""
        source, _ = targets.pop_parameter(query, SOURCE)
        job = Job("make" if source else "source", is_openai=is_openai, api=api, target=head.target)

        def make(body: bytes) -> Upstream:
            document = forms.document_of(head, body)
            if source:
                return self._follow_up_upstream(head, job, document, source_of(source), forms.prompt(document), notes)
            return self._source_upstream(head, job, video_id, document, notes)

        return NeedsBody(self._routes.origin, make, notes)

    def character(
        self, head: Head, character_id: str | None, query: str, is_openai: bool, notes: Notes
    ) -> Upstream | NeedsBody:
        """Create a character (`character_id` None) or retrieve one: Kling's elements."""
        path = ELEMENTS if character_id is None else f"{ELEMENTS}/{character_id}"
        target = targets.join_query(self._routes.with_base_path(path), query)
        memo = Job("character").memo if is_openai else NO_MEMO
        if character_id is not None:
            return self._upstream(head.method, target, memo, notes)

        def make(body: bytes) -> Upstream:
            element = forms.element(forms.document_of(head, body))
            fields = _PLAIN_ANSWER | _JSON if is_openai else _JSON
            all_notes = (*notes, "the character becomes an element of Kling's")
            return Upstream(self._routes.origin, head.method, target, fields, element, memo, all_notes)

        return NeedsBody(self._routes.origin, make, notes)

    def is_needed(self, head: Head, body: bytes, members: list[json_edit.Member]) -> bool:
        """Whether a create in JSON has to be translated: it has something that Kling's API lacks."""
        if self._v2 or head.caller.idempotency_key:
            return True
        model = None
        for member in members:
            if member.key in create.OPENAI_FIELDS:
                return True
            if member.key == "model":
                model = member
        if model is None or not body.startswith(b'"sora-', model.start):
            return False
        word = json_edit.string_value(body, model)
        return word is not None and models.sora_mode(word) is not None and self._map_model(word)[1] is None

    def create(
        self, head: Head, body: bytes, members: list[json_edit.Member] | None, is_openai: bool, notes: Notes
    ) -> Upstream:
        """Translate a create, from JSON with these members or (None) from a form. Raises Refusal (400)."""
        document = forms.document_of(head, body) if members is None else Document.from_json(body, members)
        asked = document.text("model") or document.text("model_name") or ""
        model_name, pattern = self._map_model(asked)
        created = create.translate(document, asked, model_name if pattern is not None else None)
        field = next((name for name in document.names if name in IMAGE_FIELDS), None)
        kind = IMAGE2VIDEO if field else TEXT2VIDEO
        why = f"{kind.name}: the body has {field or 'no image field'}"
        job = Job("create", is_openai=is_openai, asked=created.parameters, prompt=created.prompt, target=head.target)
        return self._create_upstream(head, job, kind, document, (*notes, *created.notes, why), TEXT2VIDEO.create)

    def _source_upstream(self, head: Head, job: Job, video_id: str, document: Document, notes: Notes) -> Upstream:
        if job.api == EXTEND and self._v2:
            raise bad_body("Kling's new design extends no video.", param="video")
        prompt = forms.prompt(document)
        if not video_id:
            link = document.value("video")
            if job.api == EDIT and isinstance(link, str) and pictures.is_web_url(link):
                return self._follow_up_upstream(head, job._replace(what="make"), document, Source(link), prompt, notes)
            video_id = forms.video_id(document)
        kind = kind_of(video_id) or TEXT2VIDEO
        task_id, asked = split_parameters(video_id.removeprefix(kind.prefix))
        targets.check_id("video_id", task_id)
        if job.api == EXTEND:
            model = self._model(asked.model)
            row = models.MODELS.get(model)
            if row and not row.extends:
                raise bad_body(f"Kling extends no video of {model}; it does those of V1, V1.5 and V1.6.", param="video")
        all_notes = (*notes, f"{job.api} needs the file of {task_id}: it is asked for first")
        target = self._task_path(kind, task_id, "")
        memo = job._replace(kind=kind.name).memo
        return Upstream(self._routes.origin, "GET", target, _PLAIN_ANSWER, b"", memo, all_notes)

    def _follow_up_upstream(
        self, head: Head, job: Job, document: Document, source: Source, prompt: str, notes: Notes
    ) -> Upstream:
        seconds = document.pop("seconds")
        document.pop("video")
        if job.api == EXTEND:
            if self._v2:
                raise bad_body("Kling's new design extends no video.", param="video")
            if seconds is not None and str(seconds) not in ("4", "5"):
                raise bad_body("Kling extends a video by 4 to 5 seconds, not more.", param="seconds")
            document.pop("model")
            document.set("video_id", source.link)
            if head.caller.retries and self._idempotency.was_sent(EXTEND, document.body()):
                raise Refusal(
                    400,
                    "Kling cannot tell whether an extension was accepted before, so it is not sent again; "
                    "look for it in Kling's own list, GET /v1/videos/video-extend.",
                    code="not_repeated",
                )
            name = self._idempotency.external_task_id(EXTEND, document.body(), 0, "")
            length = str(int(float(source.seconds)) + 5) if source.seconds else ""
            extended = job._replace(name=name, asked=VideoParameters("", length, ""), prompt=prompt)
            return self._create_upstream(head, extended, VIDEO_EXTEND, document, notes, EXTEND)
        if seconds is not None:
            raise bad_body("An edited video keeps its length.", param="seconds")
        create.lift_metadata(document, [])
        create.convert(document)
        asked = document.text("model") or ""
        document.pop("model")
        # A modelMapping with "*" may name a model that cannot edit.
        model = self._model(asked)
        name = model if model in models.OMNI_MODELS else models.OMNI_MODELS[0]
        document.set("model_name", name)
        if not self._v2:
            document.set("video_list", [{"video_url": source.link, "refer_type": "base"}])
        all_notes = (*notes, f"model {asked or '(none)'} became {name}, which edits videos")
        edited = job._replace(asked=VideoParameters(asked or name, source.seconds, ""), prompt=prompt)
        return self._create_upstream(head, edited, OMNI_VIDEO, document, all_notes, job.api, source.link)

    def _model(self, asked: str) -> str:
        """Kling's name of the model that a client asked for; "" if it asked for none."""
        if not asked:
            return ""
        model, pattern = self._map_model(asked)
        if pattern is None and models.sora_mode(asked) is not None:
            return models.DEFAULT_MODEL
        return model

    def _create_upstream(
        self,
        head: Head,
        job: Job,
        kind: TaskKind,
        document: Document,
        notes: Notes,
        api: str,
        base: str | None = None,
    ) -> Upstream:
        """The upstream request of a create, with an external_task_id, in the format of the API version in use."""
        caller = head.caller
        if self._v2:
            # May refuse, and has to do so before an external_task_id is taken.
            api_versions.v2_create(document, base)
        name = job.name
        # An extension has no such field.
        if (
            "external_task_id" not in document
            and kind is not VIDEO_EXTEND
            and (caller.is_openai_sdk or caller.idempotency_key)
        ):
            name = self._idempotency.external_task_id(api, document.body(), caller.retries, caller.idempotency_key)
            document.set("external_task_id", name)
            notes = (*notes, f"external_task_id {name}: a repetition finds this task and buys no other")
        elif not self._v2 and is_printable(own := document.text("external_task_id") or ""):
            name = own
        _, query = targets.split_query(head.target)
        _, query = targets.pop_parameter(query, SOURCE)
        _, query = targets.pop_parameter(query, HINT)
        if self._v2:
            path, body = api_versions.v2_create(document, base)
            target = targets.join_query(self._routes.with_base_path(path), query)
        else:
            target, body = self._routes.upstream_path(kind.create, {}, query), document.body()
        repeated = bool(caller.retries or caller.idempotency_key)
        memo = job._replace(kind=kind.name, name=name, repeated=repeated).memo
        return Upstream(self._routes.origin, head.method, target, _PLAIN_ANSWER | _JSON, body, memo, notes)

    def _upstream(self, method: str, target: str, memo: exchange.Memo, notes: Notes) -> Upstream:
        """A request that keeps the client's body."""
        return Upstream(self._routes.origin, method, target, memo=memo, notes=notes)

    def _task_path(self, kind: TaskKind, task_id: str, query: str) -> str:
        if not self._v2:
            return self._routes.upstream_path(kind.retrieve, {"video_id": task_id}, query)
        path, own = targets.split_query(api_versions.v2_task(task_id))
        return targets.join_query(self._routes.with_base_path(path), targets.merge_queries(own, query))

    @property
    def _families(self) -> list[str]:
        return [pages.ALL_TASKS] if self._v2 else list(_FAMILIES)

    # Answers

    def responseheaders(self, memo: exchange.Memo) -> Whole | None:
        """How the answer to a request with this memo is rewritten; None if it is passed on."""
        job = Job.of(memo)
        return Whole(functools.partial(self._rewritten, job)) if job else None

    def error(self, memo: exchange.Memo) -> None:
        """Record that a request ended without an answer."""
        job = Job.of(memo)
        if job:
            self._record_result(job, answered=False)

    def _rewritten(self, job: Job, answer: Answer) -> Answer:
        """The answer for the client. Raises json_edit.JSONError for one that is passed on and is no JSON object."""
        if job.is_openai or job.what in ("content", "source"):
            return self._translated(job, answer)
        if job.name:
            document = _decoded(answer.body)
            envelope = tasks.envelope(document)
            if _is_success(answer, document, envelope):
                self._record_result(job, answered=True)
            else:
                duplicate = self._duplicate_answer(job, envelope)
                if duplicate:
                    return duplicate
                self._forget_refused(job, answer, envelope)
        return self._with_prefix(job, answer)

    def _translated(self, job: Job, answer: Answer) -> Answer:
        """The answer as OpenAI's object or error, or as a redirect."""
        document = _decoded(answer.body)
        envelope = tasks.envelope(document)
        if not _is_success(answer, document, envelope):
            duplicate = self._duplicate_answer(job, envelope)
            if duplicate:
                return duplicate
            self._forget_refused(job, answer, envelope)
            message = envelope.message
            if envelope.code is None and not message:
                message = f"The provider's answer (status {answer.status}) is not Kling's."
            return error_codes.answer(answer.status, envelope.code, message, envelope.request_id)
        if job.what == "character":
            return _character(answer, envelope)
        if job.what == "list":
            return self._page(job, answer, envelope)
        found = tasks.task(envelope.data)
        if found is None:
            if job.is_paid:
                self._record_result(job, answered=False)
                return error_codes.answer(502, None, "Kling's answer names no task.", envelope.request_id)
            return error_codes.answer(404, 1203, "Kling knows no such task.", envelope.request_id)
        if job.what == "content":
            return redirects.to_file(found)
        if job.what == "source":
            link = found.video_id if job.api == EXTEND else found.url
            return redirects.to_second_step(job.target, found, link)
        if job.is_paid:
            self._record_result(job, answered=True)
        return self._video(job, answer, envelope, found)

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
        if not (job.name and error_codes.is_duplicate(envelope.code, envelope.message)):
            return None
        if job.repeated:
            self._record_result(job, answered=True)
            video_id = TASK_KINDS[job.kind].prefix + add_parameters(quote(job.name, safe=""), job.asked)
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

    def _forget_refused(self, job: Job, answer: Answer, envelope: tasks.Envelope) -> None:
        self._record_result(job, answered=False)
        is_doubtful = error_codes.is_doubtful(answer.status, envelope.code, envelope.message)
        if job.api == EXTEND and job.name and not is_doubtful:
            self._idempotency.record_refusal(job.name)

    def _video(self, job: Job, answer: Answer, envelope: tasks.Envelope, found: tasks.Task) -> Answer:
        kind = TASK_KINDS[job.kind]
        video_id = kind.prefix + add_parameters(found.task_id, job.asked)
        video = video_object.video(video_id, found, job.asked, self._clock(), job.prompt, self._speed)
        edits = _openai_member_edits(answer.body, video)
        if job.is_paid and not self._v2:
            edits += prefix_edits(answer.body, kind)
        headers = {**video_object.poll_headers(self._speed), **_request_id(envelope)}
        return Answer(answer.status, json_edit.apply(answer.body, edits), headers)

    def _page(self, job: Job, answer: Answer, envelope: tasks.Envelope) -> Answer:
        page = job.page
        assert page
        found = tasks.tasks(envelope.data)
        if found is None:
            return error_codes.answer(502, None, "Kling's answer is no list of tasks.", envelope.request_id)
        # Items that are no tasks count too: they filled the page.
        count = len(envelope.data) if isinstance(envelope.data, list) else len(found)
        place = api_versions.v2_place(envelope.data) if self._v2 else None
        next_page = (
            (page._replace(place=place) if place else None)
            if self._v2
            else pages.next_page(page, count, self._families)
        )
        if not found and next_page is not None:
            # An SDK stops at an empty page, though the next list may have videos.
            return redirects.to_page(job.target, next_page.cursor)
        prefix = "" if self._v2 else _FAMILIES[page.family].prefix
        now = self._clock()
        videos = [
            json.dumps(video_object.video(prefix + task.task_id, task, NO_PARAMETERS, now, speed=self._speed)).encode()[
                :-1
            ]
            + b', "data": %s}' % encoded(raw)
            for raw, task in found
        ]
        ends = {
            "first_id": prefix + found[0][1].task_id if found else None,
            "last_id": next_page.cursor if next_page else (prefix + found[-1][1].task_id if found else None),
            "has_more": next_page is not None,
            "code": envelope.code,
            "message": envelope.message,
            "request_id": envelope.request_id,
        }
        body = b'{"object": "list", "data": [%s], %s' % (b", ".join(videos), json.dumps(ends).encode()[1:])
        return Answer(answer.status, body, _request_id(envelope))


def _is_success(answer: Answer, document: Any, envelope: tasks.Envelope) -> bool:
    return 200 <= answer.status < 300 and envelope.code in (0, None) and isinstance(document, dict)


_FAMILIES: Final = {"t2v": TEXT2VIDEO, "i2v": IMAGE2VIDEO}


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
