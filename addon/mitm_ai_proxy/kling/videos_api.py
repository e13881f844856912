"""OpenAI's Videos API on top of Kling's: translates the requests. See videos_answers.py for the answers.

What takes two upstream requests is done with a redirect: the client sends the second one (see redirects.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from .. import exchange
from ..errors import Refusal, bad_body
from ..exchange import NO_MEMO, Head, NeedsBody, Upstream
from ..wire import json_edit, targets
from ..wire.request_body import text_member
from ..wire.targets import Origin
from . import api_versions, create, forms, models, pages, picture_fields, pictures
from .document import Document
from .error_codes import is_printable
from .fields import whole
from .idempotency import Idempotency
from .ids import NO_PARAMETERS, VideoParameters, split_parameters
from .job import EDIT, EXTEND, Job
from .redirects import SOURCE, Source, source_of
from .task_kinds import (
    HINT,
    IMAGE2VIDEO,
    LISTED,
    OMNI_VIDEO,
    TEXT2VIDEO,
    VIDEO_EXTEND,
    TaskKind,
    kind_of,
)
from .videos_answers import VideosAnswers, families, split_id

ELEMENTS: Final = "/v1/general/advanced-custom-elements"
"""Kling's path for what OpenAI calls a character."""

UNSUPPORTED_REASONS: Final = {
    "openai/v1/deletevideo": "Kling keeps a file for 30 days and deletes none on request.",
}
"""By API name, a sentence on why Kling has no such API."""


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
    query, `is_openai` (whether the client gets OpenAI's objects), `is_told` (see job.py), `is_guessed` (nothing says
    that a task is of this kind), and the notes so far.
    """

    def __init__(self, routes: Routes, map_model: MapModel, api: str, clock: Callable[[], float], speed: float) -> None:
        self._routes = routes
        self._map_model = map_model
        self._v2 = api == api_versions.V2
        self._clock = clock
        self._speed = speed
        self._idempotency = Idempotency(clock)
        self.answers = VideosAnswers(self._idempotency, self._v2, clock, speed)

    def begin_recording(self, run: str) -> None:
        """Give creates names of this recording run."""
        self._idempotency.begin_run(run)

    def record_token(self, memo: exchange.Memo, token: int) -> None:
        """Record with which token a request is sent, by its index: the account that may accept a create."""
        if name := memo.get("name"):
            self._idempotency.record_token(name, token)

    # Requests

    def retrieve(
        self, head: Head, kind: TaskKind, task_id: str, query: str, is_openai: bool, is_guessed: bool, notes: Notes
    ) -> Upstream:
        """Retrieve a task."""
        task_id, asked = split_id(task_id)
        memo = Job("retrieve", kind.name, asked=asked, is_guessed=is_guessed).memo if is_openai else NO_MEMO
        return self._upstream(head.method, self._task_path(kind, task_id, query), memo, notes)

    def content(self, head: Head, kind: TaskKind, task_id: str, query: str, is_guessed: bool, notes: Notes) -> Upstream:
        """Download a video: Kling is asked for the task, and the answer is a redirect to its file."""
        variant, query = targets.pop_parameter(query, "variant")
        if variant not in (None, "", "video"):
            raise Refusal(400, f"Kling has no {variant[:40]!r} of a video.", code="invalid_value", param="variant")
        target = self._task_path(kind, split_id(task_id)[0], query)
        return self._upstream(head.method, target, Job("content", kind.name, is_guessed=is_guessed).memo, notes)

    def listing(self, head: Head, query: str, is_openai: bool, notes: Notes) -> Upstream | NeedsBody:
        """List videos: one page of one of Kling's lists. Raises Refusal (400) for an invalid query."""
        page = pages.page(query, families(self._v2))
        memo = Job("list", is_openai=is_openai, page=page, target=head.target).memo
        if not self._v2:
            place = f"pageNum={page.place}&pageSize={page.limit}"
            target = self._routes.upstream_path(LISTED[page.family].create, {}, place)
            return self._upstream(head.method, target, memo if is_openai else NO_MEMO, notes)

        def ask(_: bytes) -> Upstream:
            target = self._routes.with_base_path(api_versions.TASKS)
            body = api_versions.v2_page(page.limit, page.place)
            fields = _PLAIN_ANSWER | _JSON if is_openai else _JSON
            return Upstream(self._routes.origin, "POST", target, fields, body, memo if is_openai else NO_MEMO, notes)

        return NeedsBody(self._routes.origin, ask, notes)

    def follow_up(
        self, head: Head, api: str, video_id: str, query: str, is_openai: bool, is_told: bool, notes: Notes
    ) -> NeedsBody:
        """A remix, an edit or an extension: the first request retrieves the source video, the second one creates."""
        source, _ = targets.pop_parameter(query, SOURCE)
        what = "make" if source else "source"
        job = Job(what, is_openai=is_openai, api=api, target=head.target, is_told=is_told)

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

    def is_openais(self, body: bytes, members: list[json_edit.Member] | None) -> bool:
        """Whether a create, with these members in JSON or (None) a form, can only be meant for OpenAI's API.

        Raises Refusal (400) for a model that cannot be read.
        """
        if members is None:
            return True
        model = None
        for member in members:
            if member.key in create.ONLY_OPENAI_FIELDS:
                return True
            if member.key == "model":
                model = member
        if model is None or not body.startswith(b'"sora-', model.start):
            return False
        found = text_member(body, members, "model")
        return found is not None and models.sora_mode(found[1]) is not None and self._map_model(found[1])[1] is None

    def is_needed(self, head: Head, members: list[json_edit.Member], is_openais: bool) -> bool:
        """Whether a create in JSON has to be translated: it has something that Kling's API lacks."""
        if is_openais or self._v2 or head.caller.idempotency_key:
            return True
        return any(member.key in create.OPENAI_FIELDS for member in members)

    def create(
        self,
        head: Head,
        body: bytes,
        members: list[json_edit.Member] | None,
        is_openai: bool,
        is_told: bool,
        notes: Notes,
    ) -> Upstream:
        """Translate a create, from JSON with these members or (None) from a form. Raises Refusal (400)."""
        document = forms.document_of(head, body) if members is None else Document.from_json(body, members)
        asked = document.text("model") or document.text("model_name") or ""
        model_name, pattern = self._map_model(asked)
        created = create.translate(document, asked, model_name if pattern is not None else None)
        field = next((name for name in picture_fields.FRAMES if name in document), None)
        kind = IMAGE2VIDEO if field else TEXT2VIDEO
        why = f"{kind.name}: the body has {field or 'no image field'}"
        asked_for = self._with_kind(created.parameters, kind)
        job = Job("create", "", is_openai, asked_for, created.prompt, target=head.target, is_told=is_told)
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
        task_id, asked = split_id(video_id.removeprefix(kind.prefix))
        targets.check_id("video_id", task_id)
        if job.api == EXTEND:
            model = self._model(asked.model)
            row = models.MODELS.get(model)
            if row and not row.extends:
                raise bad_body(f"Kling extends no video of {model}; it does those of V1, V1.5 and V1.6.", param="video")
        all_notes = (*notes, f"{job.api} needs the file of {task_id}: it is asked for first")
        target = self._task_path(kind, task_id, "")
        memo = job._replace(kind=kind.name, is_guessed=kind_of(video_id) is None).memo
        return Upstream(self._routes.origin, "GET", target, _PLAIN_ANSWER, b"", memo, all_notes)

    def _follow_up_upstream(
        self, head: Head, job: Job, document: Document, source: Source, prompt: str, notes: Notes
    ) -> Upstream:
        seconds = document.pop("seconds")
        document.pop("video")
        if job.api == EXTEND:
            if self._v2:
                raise bad_body("Kling's new design extends no video.", param="video")
            if seconds is not None and whole(seconds) not in (4, 5):
                raise bad_body("Kling extends a video by 4 to 5 seconds, not more.", param="seconds")
            create.refuse_frames(document)
            document.pop("model")
            document.set("video_id", source.link)
            if head.caller.retries and self._idempotency.was_sent(EXTEND, document.canonical()):
                raise Refusal(
                    400,
                    "Kling cannot tell whether an extension was accepted before, so it is not sent again; "
                    "look for it in Kling's own list, GET /v1/videos/video-extend.",
                    code="not_repeated",
                )
            name = self._idempotency.choose(EXTEND, document.canonical()).name
            length = str(int(float(source.seconds)) + 5) if source.seconds else ""
            extended = job._replace(name=name, asked=VideoParameters("", length, ""), prompt=prompt)
            return self._create_upstream(head, extended, VIDEO_EXTEND, document, notes, EXTEND)
        if seconds is not None:
            raise bad_body("An edited video keeps its length.", param="seconds")
        create.lift_metadata(document, [])
        create.refuse_frames(document)
        create.convert(document, [])
        asked = document.text("model") or ""
        document.pop("model")
        # A modelMapping with "*" may name a model that cannot edit.
        model = self._model(asked)
        name = model if model in models.OMNI_MODELS else models.OMNI_MODELS[0]
        document.set("model_name", name)
        if not self._v2:
            document.set("video_list", [{"video_url": source.link, "refer_type": "base"}])
        all_notes = (*notes, f"model {asked or '(none)'} became {name}, which edits videos")
        parameters = self._with_kind(VideoParameters(asked or name, source.seconds, ""), OMNI_VIDEO)
        edited = job._replace(asked=parameters, prompt=prompt)
        return self._create_upstream(head, edited, OMNI_VIDEO, document, all_notes, job.api, source.link)

    def _with_kind(self, parameters: VideoParameters, kind: TaskKind) -> VideoParameters:
        """The parameters with the kind of their task, where Kling's answers do not tell it."""
        return parameters._replace(kind=kind.name) if self._v2 and kind is not TEXT2VIDEO else parameters

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
        name, repeated, token = job.name, bool(caller.retries or caller.idempotency_key), None
        # An extension has no such field.
        if (
            "external_task_id" not in document
            and kind is not VIDEO_EXTEND
            and (caller.is_openai_sdk or caller.idempotency_key or job.is_openai)
        ):
            # In the new design, the link of an edited video is not in the document.
            content = document.canonical() + (base or "").encode("utf-8", "replace")
            name, repeated, token = self._idempotency.choose(
                api, content, caller.retries, caller.idempotency_key, job.asked, is_numbered=caller.is_openai_sdk
            )
            document.set("external_task_id", name)
            named = split_parameters(name)[1]
            if named != NO_PARAMETERS:
                # Those of an equal create, whose model may have another name, or of the first one with this key.
                job = job._replace(asked=named)
            why = "an equal create may have been accepted under it" if repeated else "a repetition finds this task"
            notes = (*notes, f"external_task_id {name}: {why} and buys no other")
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
        memo = job._replace(kind=kind.name, name=name, repeated=repeated).memo
        fields = _PLAIN_ANSWER | _JSON
        return Upstream(self._routes.origin, head.method, target, fields, body, memo, notes, token=token)

    def _upstream(self, method: str, target: str, memo: exchange.Memo, notes: Notes) -> Upstream:
        """A request that keeps the client's body."""
        return Upstream(self._routes.origin, method, target, memo=memo, notes=notes)

    def _task_path(self, kind: TaskKind, task_id: str, query: str) -> str:
        if not self._v2:
            return self._routes.upstream_path(kind.retrieve, {"video_id": task_id}, query)
        path, own = targets.split_query(api_versions.v2_task(task_id))
        return targets.join_query(self._routes.with_base_path(path), targets.merge_queries(own, query))
