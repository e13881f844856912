"""OpenAI's Videos API over Kling: what each request becomes, and what its answer becomes, one upstream for each.

Where two steps are needed, the client is sent on by a redirect; what the second step needs travels in the link.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from ..errors import Refusal, bad_body
from ..exchange import Answer, Body, Exchange, plain
from ..wire import json_edit, targets
from . import api_versions, create, error_codes, forms, models, pages, pictures, redirects, tasks, video_object
from .document import Document, encoded
from .error_codes import is_printable
from .ids import NOTHING, Memo, split_memo, with_memo
from .paid_once import PREFIX, PaidOnce
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
"""Where Kling has what OpenAI calls a character."""

WHY_NOT: Final = {
    "openai/v1/deletevideo": "Kling keeps a file for 30 days and deletes none on request.",
}
"""Why an API of OpenAI's has no counterpart, in a sentence."""


@dataclass(slots=True)
class Job:
    """What was decided on the way there, for the way back. Plain values: it is kept with a flow that is saved."""

    what: str
    kind: str = ""
    is_openai: bool = True
    memo: list[str] = field(default_factory=lambda: list(NOTHING))
    prompt: str | None = None
    name: str = ""
    repeated: bool = False
    family: str = ""
    place: str = ""
    limit: int = 0

    @classmethod
    def of(cls, exchange: Exchange) -> Job | None:
        """The job of an exchange; None where there is none."""
        return cls(**exchange.plan) if exchange.plan else None

    def keep(self, exchange: Exchange) -> None:
        """Write the job into its exchange."""
        # Half a surrogate pair, which JSON may hold, would break the file that mitmproxy saves a flow in.
        self.memo = [plain(text) for text in self.memo]
        self.prompt = None if self.prompt is None else plain(self.prompt)
        exchange.plan = {name: getattr(self, name) for name in self.__slots__}


class Routes(Protocol):
    """What the front needs of a provider: its paths, base paths included."""

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """Path and query of a capability, with ids and the client's query."""

    def with_base_path(self, path: str) -> str:
        """A path with the base paths in front."""


MapModel = Callable[[str], "tuple[str, str | None]"]


class Front:
    """The front of one configured Kling. `clock` gives Unix time in seconds; `speed`: how much faster than Kling."""

    def __init__(self, routes: Routes, map_model: MapModel, api: str, clock: Callable[[], float], speed: float) -> None:
        self._routes = routes
        self._map_model = map_model
        self._v2 = api == api_versions.V2
        self._clock = clock
        self._speed = speed
        self._paid = PaidOnce(clock)

    # The way there

    def retrieve(self, exchange: Exchange, kind: TaskKind, task_id: str, query: str, is_openai: bool) -> None:
        """A task's state, as Kling or as OpenAI would tell it."""
        task_id, memo = split_memo(task_id)
        exchange.path = self._task_path(kind, task_id, query)
        if is_openai:
            exchange.answer_body = Body.READ
            Job("retrieve", kind.name, memo=list(memo)).keep(exchange)

    def content(self, exchange: Exchange, kind: TaskKind, task_id: str, query: str) -> None:
        """A video's file: its link is asked for here, and the client is sent there without any credential."""
        variant, query = targets.take_parameter(query, "variant")
        if variant not in (None, "", "video"):
            raise Refusal(400, f"Kling has no {variant[:40]!r} of a video.", code="invalid_value", param="variant")
        exchange.path = self._task_path(kind, split_memo(task_id)[0], query)
        exchange.answer_body = Body.READ
        Job("content", kind.name).keep(exchange)

    def listing(self, exchange: Exchange, query: str, is_openai: bool) -> None:
        """One page of one of Kling's lists."""
        page = pages.page(query, self._families)
        if self._v2:
            exchange.path = self._routes.with_base_path(api_versions.TASKS)
            exchange.upstream_method, exchange.upstream_content_type = "POST", "application/json"
            exchange.request_body = Body.READ
        else:
            place = f"pageNum={page.place}&pageSize={page.limit}"
            exchange.path = self._routes.upstream_path(_FAMILIES[page.family].create, {}, place)
        if is_openai:
            exchange.answer_body = Body.READ
        Job("list", is_openai=is_openai, family=page.family, place=page.place, limit=page.limit).keep(exchange)

    def follow_up(self, exchange: Exchange, api: str, video_id: str, query: str, is_openai: bool) -> None:
        """A remix, an edit or an extension: of a video that is asked for first, or, sent on by a redirect, made."""
        source, _ = targets.take_parameter(query, SOURCE)
        exchange.request_body = exchange.answer_body = Body.READ
        Job("make" if source else "source", is_openai=is_openai, family=api, place=source or video_id).keep(exchange)

    def character(self, exchange: Exchange, character_id: str | None, query: str, is_openai: bool) -> None:
        """A character to make (None) or to look up: an element of Kling's."""
        path = ELEMENTS if character_id is None else f"{ELEMENTS}/{character_id}"
        exchange.path = targets.join_query(self._routes.with_base_path(path), query)
        if is_openai:
            exchange.answer_body = Body.READ
        if character_id is None:
            exchange.request_body = Body.READ
        Job("character", is_openai=is_openai).keep(exchange)

    def rewrite_request(self, exchange: Exchange, body: bytes) -> bytes | None:
        """The body of a request that is no create; None where it is none of the front's."""
        job = Job.of(exchange)
        if job is None:
            return None
        if job.what == "list":
            return api_versions.v2_page(job.limit, job.place)
        document = forms.document_of(exchange, body)
        if job.what == "character":
            exchange.upstream_content_type = "application/json"
            exchange.note("the character becomes an element of Kling's")
            return forms.element(document)
        if job.what == "source":
            return self._source(exchange, job, document)
        return self._make(exchange, job, document, source_of(job.place), forms.prompt(document))

    def is_needed(self, exchange: Exchange, body: bytes, members: list[json_edit.Member]) -> bool:
        """Whether a create in JSON has anything that Kling's own API does not."""
        if self._v2 or exchange.client.idempotency_key:
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

    def create(self, exchange: Exchange, body: bytes, members: list[json_edit.Member] | None, is_openai: bool) -> bytes:
        """The body of a create, from JSON with these members or from a form."""
        job = Job("create", is_openai=is_openai)
        document = forms.document_of(exchange, body) if members is None else Document.of_json(body, members)
        asked = document.text("model") or document.text("model_name") or ""
        model_name, pattern = self._map_model(asked)
        created = create.translate(document, asked, model_name if pattern is not None else None)
        for note in created.notes:
            exchange.note(note)
        field = next((name for name in document.names if name in IMAGE_FIELDS), None)
        kind = IMAGE2VIDEO if field else TEXT2VIDEO
        exchange.note(f"{kind.name}: the body has {field or 'no image field'}")
        return self._send(exchange, job, kind, document, created.memo, created.prompt)

    def _source(self, exchange: Exchange, job: Job, document: Document) -> bytes:
        if job.family == EXTEND and self._v2:
            raise bad_body("Kling's new design extends no video.", param="video")
        prompt = forms.prompt(document)
        video_id = job.place
        if not video_id:
            link = document.value("video")
            if job.family == EDIT and isinstance(link, str) and pictures.is_web_url(link):
                job.what = "make"
                return self._make(exchange, job, document, Source(link), prompt)
            video_id = forms.video_id(document)
        kind = kind_of(video_id) or TEXT2VIDEO
        task_id, memo = split_memo(video_id.removeprefix(kind.prefix))
        targets.check_id("video_id", task_id)
        if job.family == EXTEND:
            model = self._model(memo.model)
            row = models.MODELS.get(model)
            if row and not row.extends:
                raise bad_body(f"Kling extends no video of {model}; it does those of V1, V1.5 and V1.6.", param="video")
        exchange.upstream_method = "GET"
        exchange.path = self._task_path(kind, task_id, "")
        exchange.note(f"{job.family} needs the file of {task_id}: it is asked for first")
        job.kind = kind.name
        job.keep(exchange)
        return b""

    def _make(self, exchange: Exchange, job: Job, document: Document, source: Source, prompt: str) -> bytes:
        seconds = document.take("seconds")
        document.take("video")
        if job.family == EXTEND:
            if self._v2:
                raise bad_body("Kling's new design extends no video.", param="video")
            if seconds is not None and str(seconds) not in ("4", "5"):
                raise bad_body("Kling extends a video by 4 to 5 seconds, not more.", param="seconds")
            document.take("model")
            document.put("video_id", source.link)
            if exchange.client.retries and self._paid.knows(EXTEND, document.body()):
                raise Refusal(
                    400,
                    "Kling cannot tell whether an extension was accepted before, so it is not sent again; "
                    "look for it in Kling's own list, GET /v1/videos/video-extend.",
                    code="not_repeated",
                )
            job.name = self._paid.name(EXTEND, document.body(), 0, "")
            length = str(int(float(source.seconds)) + 5) if source.seconds else ""
            return self._send(exchange, job, VIDEO_EXTEND, document, Memo("", length, ""), prompt)
        if seconds is not None:
            raise bad_body("An edited video keeps its length.", param="seconds")
        create.lift_metadata(document, [])
        create.convert(document)
        asked = document.text("model") or ""
        document.take("model")
        # A model for creates, as a modelMapping with "*" names one, edits nothing.
        model = self._model(asked)
        name = model if model in models.OMNI_MODELS else models.OMNI_MODELS[0]
        exchange.note(f"model {asked or '(none)'} became {name}, which edits videos")
        document.put("model_name", name)
        if not self._v2:
            document.put("video_list", [{"video_url": source.link, "refer_type": "base"}])
        memo = Memo(asked or name, source.seconds, "")
        return self._send(exchange, job, OMNI_VIDEO, document, memo, prompt, source.link)

    def _model(self, asked: str) -> str:
        """Kling's name for the model that a client asked for; "" where it asked for none."""
        if not asked:
            return ""
        model, pattern = self._map_model(asked)
        if pattern is None and models.sora_mode(asked) is not None:
            return models.DEFAULT_MODEL
        return model

    def _send(
        self,
        exchange: Exchange,
        job: Job,
        kind: TaskKind,
        document: Document,
        memo: Memo,
        prompt: str | None,
        base: str | None = None,
    ) -> bytes:
        """Name the create so that it is paid once, and put it into the words of the API in use."""
        client = exchange.client
        job.memo, job.prompt = list(memo), prompt
        if self._v2:
            # What is refused here has no name yet.
            api_versions.v2_create(document, base)
        # An extension has no such field.
        if (
            "external_task_id" not in document
            and kind is not VIDEO_EXTEND
            and (client.is_openai or client.idempotency_key)
        ):
            job.name = self._paid.name(str(exchange.api), document.body(), client.retries, client.idempotency_key)
            document.put("external_task_id", job.name)
            exchange.note(f"external_task_id {job.name}: a repetition finds this task and buys no other")
        elif not self._v2 and is_printable(own := document.text("external_task_id") or ""):
            job.name = own
        job.repeated = bool(client.retries or client.idempotency_key)
        exchange.task_kind = job.kind = kind.name
        exchange.upstream_content_type = "application/json"
        _, query = targets.split_query(exchange.client_path)
        _, query = targets.take_parameter(query, SOURCE)
        _, query = targets.take_parameter(query, HINT)
        if self._v2:
            path, body = api_versions.v2_create(document, base)
            exchange.path = targets.join_query(self._routes.with_base_path(path), query)
        else:
            exchange.path, body = self._routes.upstream_path(kind.create, {}, query), document.body()
        job.keep(exchange)
        return body

    def _task_path(self, kind: TaskKind, task_id: str, query: str) -> str:
        if not self._v2:
            return self._routes.upstream_path(kind.retrieve, {"video_id": task_id}, query)
        path, own = targets.split_query(api_versions.v2_task(task_id))
        return targets.join_query(self._routes.with_base_path(path), targets.merge_queries(own, query))

    @property
    def _families(self) -> list[str]:
        return [pages.ANY] if self._v2 else list(_FAMILIES)

    # The way back

    def rewrite_answer(self, exchange: Exchange, answer: Answer) -> Answer | None:
        """The answer for the client; None where it is Kling's own business."""
        job = Job.of(exchange)
        if job is None or not (job.is_openai or job.name or job.what in ("content", "source")):
            return None
        document = _decoded(answer.body)
        envelope = tasks.envelope(document)
        good = 200 <= answer.status < 300 and envelope.code in (0, None) and isinstance(document, dict)
        if not good:
            return self._refused(exchange, job, answer, envelope)
        if not (job.is_openai or job.what in ("content", "source")):
            self._settle(job, answered=True)
            return None
        if job.what == "character":
            return _character(answer, envelope)
        found = tasks.task(envelope.data)
        if job.what == "list":
            return self._page(exchange, job, answer, envelope)
        if found is None:
            if job.what in ("create", "make"):
                self._settle(job, answered=False)
                return error_codes.answer(502, None, "Kling's answer names no task.", envelope.request_id)
            return error_codes.answer(404, 1203, "Kling knows no such task.", envelope.request_id)
        if job.what == "content":
            return redirects.to_file(found)
        if job.what == "source":
            return redirects.to_second_step(exchange, found, found.video_id if job.family == EXTEND else found.url)
        if job.what in ("create", "make"):
            self._settle(job, answered=True)
        return self._video(job, answer, envelope, found)

    def give_up(self, exchange: Exchange) -> None:
        """The exchange ended without an answer."""
        job = Job.of(exchange)
        if job:
            self._settle(job, answered=False)

    def _settle(self, job: Job, *, answered: bool) -> None:
        if job.name:
            self._paid.settle(job.name, answered)

    def _refused(self, exchange: Exchange, job: Job, answer: Answer, envelope: tasks.Envelope) -> Answer | None:
        duplicate = bool(job.name) and error_codes.is_duplicate(envelope.code, envelope.message)
        if duplicate and job.repeated:
            self._settle(job, answered=True)
            video_id = TASK_KINDS[job.kind].prefix + with_memo(quote(job.name, safe=""), Memo(*job.memo))
            exchange.note("the first attempt was accepted: the client is sent to that task")
            return redirects.to_video(exchange, video_id)
        if duplicate and job.name.startswith(PREFIX):
            self._paid.taken(job.name)
            exchange.note("an equal create is older than this proxy: the client sends it again, under another name")
            message = "An equal create was made before; send it again."
            again = error_codes.answer(409, None, message, envelope.request_id)
            return Answer(409, again.body, {**again.headers, "x-should-retry": "true", "retry-after-ms": "1"})
        self._settle(job, answered=False)
        if (
            job.family == EXTEND
            and job.name
            and not error_codes.is_doubtful(answer.status, envelope.code, envelope.message)
        ):
            self._paid.forget(job.name)
        if not (job.is_openai or job.what in ("content", "source")):
            return None
        message = envelope.message
        if envelope.code is None and not message:
            message = f"The provider's answer (status {answer.status}) is not Kling's."
        return error_codes.answer(answer.status, envelope.code, message, envelope.request_id)

    def _video(self, job: Job, answer: Answer, envelope: tasks.Envelope, found: tasks.Task) -> Answer:
        kind = TASK_KINDS[job.kind]
        memo = Memo(*job.memo)
        video_id = kind.prefix + with_memo(found.task_id, memo)
        video = video_object.video(video_id, found, memo, self._clock(), job.prompt, self._speed)
        edits = _spliced(answer.body, video)
        if job.what in ("create", "make") and not self._v2:
            edits += prefix_edits(answer.body, kind)
        headers = {**video_object.poll_after(self._speed), **_request_id(envelope)}
        return Answer(answer.status, json_edit.apply(answer.body, edits), headers)

    def _page(self, exchange: Exchange, job: Job, answer: Answer, envelope: tasks.Envelope) -> Answer:
        page = pages.Page(job.family, job.place, job.limit)
        found = tasks.tasks(envelope.data)
        if found is None:
            return error_codes.answer(502, None, "Kling's answer is no list of tasks.", envelope.request_id)
        # What is no task counts: it filled the page.
        count = len(envelope.data) if isinstance(envelope.data, list) else len(found)
        place = api_versions.v2_place(envelope.data) if self._v2 else None
        following = (
            (page._replace(place=place) if place else None)
            if self._v2
            else pages.following(page, count, self._families)
        )
        if not found and following is not None:
            # An SDK stops at an empty page, though another list may follow.
            return redirects.to_page(exchange, following.cursor)
        prefix = "" if self._v2 else _FAMILIES[page.family].prefix
        now = self._clock()
        videos = [
            json.dumps(video_object.video(prefix + task.task_id, task, NOTHING, now, speed=self._speed)).encode()[:-1]
            + b', "data": %s}' % encoded(raw)
            for raw, task in found
        ]
        ends = {
            "first_id": prefix + found[0][1].task_id if found else None,
            "last_id": following.cursor if following else (prefix + found[-1][1].task_id if found else None),
            "has_more": following is not None,
            "code": envelope.code,
            "message": envelope.message,
            "request_id": envelope.request_id,
        }
        body = b'{"object": "list", "data": [%s], %s' % (b", ".join(videos), json.dumps(ends).encode()[1:])
        return Answer(answer.status, body, _request_id(envelope))


_FAMILIES: Final = {"t2v": TEXT2VIDEO, "i2v": IMAGE2VIDEO}


def _decoded(body: bytes) -> Any:
    """A decoded answer; None where it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        # Takes half a surrogate pair, which a cut text may have.
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _spliced(body: bytes, ours: dict[str, Any]) -> list[json_edit.Edit]:
    """The edits that put members of OpenAI's before those of an object, which stay."""
    members = json_edit.members(body)
    place = body.index(b"{") + 1
    text = json.dumps(ours).encode()[1:-1]
    return [
        json_edit.Edit(place, place, text + (b", " if members else b"")),
        # A gateway's own members of those names must not overrule ours.
        *(
            json_edit.Edit(member.key_start, member.key_end, json_edit.string(f"provider_{member.key}"))
            for member in members
            if member.key in ours
        ),
    ]


def _request_id(envelope: tasks.Envelope) -> dict[str, str | None]:
    return {"x-request-id": envelope.request_id} if is_printable(envelope.request_id) else {}


def _character(answer: Answer, envelope: tasks.Envelope) -> Answer:
    """OpenAI's character for an answer about an element, beside Kling's envelope."""
    task = tasks.task(envelope.data)
    if task is None:
        return error_codes.answer(404, 1203, "Kling knows no such element.", envelope.request_id)
    character = {"id": task.task_id, "name": task.element_name or None, "created_at": (task.created or 0) // 1000}
    edits = _spliced(answer.body, character)
    return Answer(answer.status, json_edit.apply(answer.body, edits), _request_id(envelope))
