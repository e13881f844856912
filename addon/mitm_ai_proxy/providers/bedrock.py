"""Amazon Bedrock: Converse for all models, Claude's own Messages, and models that make embeddings and pictures.

Sources: Amazon Bedrock's API reference and user guide; Higress ai-proxy plugin, bedrock.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from ..apis import Call
from ..auth import sigv4
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat import converse_answers, invoked_messages, json_values, token_estimate, vendor_errors
from ..chat.body_edits import Notes
from ..chat.converse_models import CLAUDE, family
from ..chat.converse_upstream import Settings
from ..chat.dialects import ANTHROPIC, CONVERSE, of_client
from ..chat.target import CLAUDE as CLAUDE_MESSAGES
from ..chat.target import Target
from ..errors import Refusal, bad_body
from ..exchange import Answer, Handling, Head, NeedsBody, Upstream, Whole
from ..wire import header_fields, targets
from ..wire.header_fields import Fields
from ..wire.request_body import object_members, text_member, without_mark
from ..wire.targets import Origin
from . import bedrock_models, chats, openai_shapes
from .base import Clock
from .bedrock_keys import BedrockKeys
from .chats import CHAT, COUNT_TOKENS, MESSAGES
from .compatible import Compatible
from .openai_shapes import Listed
from .row import AddressKeys, Row

RUNTIME: Final = "bedrock"
MANTLE: Final = "bedrock-mantle"
"""The services of signatures: of the host of Converse, and of that of Claude's own Messages."""
_MANTLE_PATH: Final = "/anthropic/"
_CONTROL_PATH: Final = re.compile(r"/(foundation-models|inference-profiles)(/|$)")
_MANTLE_MODELS: Final = "anthropic."
"""What ids begin with that the host of Claude's own Messages knows: those of inference profiles do not."""
_PROFILE: Final = re.compile(r"(us|us-gov|eu|apac|jp|au|ca|sa|global)\.")
"""What stands before the id of a model in that of an inference profile."""
_VERSION: Final = b"2023-06-01"
_MOST_TOKENS: Final = b"64000"
_COUNTED: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_SERVICE: Final = "service"
_INVOKED: Final = "invoked"
_COUNT: Final = "estimate"
_LISTED: Final = "listed"
"""Names in the memo: the service of the signature; whether a Message was a stream, where InvokeModel was sent; the
estimate of tokens that were to be counted; the dialect of the client that asked for the models."""
MODELS: Final = "openai/v1/models"
_NOT_ALLOWED: Final = "AccessDeniedException"
"""The error of a key that is right, and may not do what it is used for."""


class Bedrock(Compatible):
    """See its row."""

    keys: BedrockKeys
    checks_needs = True
    is_simulated_natively = True
    withheld_headers = (*Compatible.withheld_headers, b"x-amz-")

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        assert isinstance(keys, BedrockKeys)
        super().__init__(keys, clock)
        is_own = not (keys.base_url or keys.provider_domain)
        self._mantle = Origin.parse(f"bedrock-mantle.{keys.aws_region}.api.aws") if is_own else self.origin
        self._control = Origin.parse(f"bedrock.{keys.aws_region}.amazonaws.com") if is_own else self.origin
        self._pair: sigv4.AwsKeys | None = None
        if keys.aws_access_key and not keys.api_tokens:
            self._pair = sigv4.AwsKeys(keys.aws_access_key, keys.aws_secret_key, keys.aws_session_token)

    def own_origin(self) -> Origin:
        """The host of Converse in the region."""
        assert isinstance(self.keys, BedrockKeys)
        return Origin.parse(f"bedrock-runtime.{self.keys.aws_region or 'us-east-1'}.amazonaws.com")

    @property
    def origins(self) -> tuple[Origin, ...]:
        """That of Converse, that of Claude's own Messages, and that of the list of models."""
        return tuple(dict.fromkeys((self.origin, self._mantle, self._control)))

    def target(self, api: str) -> Target:
        """With what the configuration says of Converse."""
        keys = self.keys
        found = super().target(api)
        if api != CHAT:
            return found
        positions = keys.bedrock_prompt_cache_point_positions
        settings = Settings(keys.bedrock_additional_fields, keys.prompt_cache_retention)
        return found._replace(settings=settings if positions is None else settings._replace(positions=positions))

    # Credentials

    @property
    def has_credential(self) -> bool:
        """Whether there is a token or an access key."""
        return bool(self.keys.api_tokens or self.keys.aws_access_key)

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """A token as the host takes it; with an access key, the signature of the request as it is sent."""
        is_mantle = upstream.memo.get(_SERVICE) == MANTLE
        if self._pair is None:
            if token is not None and is_mantle:
                return Credential({b"x-api-key": token.reveal().encode()})
            return super().credential(upstream, token)
        scope = sigv4.Scope(self.keys.aws_region, MANTLE if is_mantle else RUNTIME)
        request = sigv4.Request(upstream.method, upstream.origin.authority, upstream.target, upstream.body or b"")
        return sigv4.sign(request, self._pair, scope, self.clock())

    # Requests

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """As elsewhere; a body that is signed is read first."""
        found = super().requestheaders(head)
        if isinstance(found, Upstream):
            path = targets.split_query(found.target)[0]
            if _MANTLE_PATH in path:
                found = found._replace(origin=self._mantle, memo={**found.memo, _SERVICE: MANTLE})
            elif _CONTROL_PATH.search(path) or head.caller.host == self._control.authority:
                found = found._replace(origin=self._control)
            if self._pair is not None:
                return NeedsBody(found.origin, functools.partial(_with_body, found), found.notes)
        return found

    def call(self, head: Head, call: Call, query: str, notes: Notes) -> Upstream | NeedsBody:
        """Messages go to Claude itself, or are translated."""
        name = call.api.name
        if name == MODELS and head.method == "GET":
            memo = {_LISTED: of_client(head.caller.dialect)}
            target = self.upstream_path(MODELS, {}, "")
            notes = (f"sent to {self._control}: {name} of {self.type}",)
            upstream = Upstream(self._control, "GET", target, chats.READABLE, memo=memo, notes=notes)
            return upstream._replace(is_repeatable=True)
        if head.method != "POST":
            raise self.unsupported(f"{head.method} {call.api.path}", name)
        if name == MESSAGES:
            return NeedsBody(self.origin, functools.partial(self._message, head, query, notes), notes)
        return super().call(head, call, query, notes)

    def needs_model(self, api: str) -> bool:
        """Whether the model is in the path."""
        return "{model}" in self.capabilities[api]

    def for_model(self, upstream: Upstream, model: str | None) -> Upstream:
        """The request for a model. Raises Refusal (400) for one that is none."""
        return upstream._replace(target=targets.fill(upstream.target, {"model": _segment(model or "")}))

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """The request to Converse or ConverseStream of a model."""
        target = self.for_model(upstream, model).target
        path, query = targets.split_query(target)
        if is_stream and path.endswith("/converse"):
            target = targets.join_query(f"{path}-stream", query)
        accept = b"application/vnd.amazon.eventstream" if is_stream else b"application/json"
        return upstream._replace(target=target, fields={**upstream.fields, b"accept": accept})

    def _runtime(self, model: str, action: str, query: str) -> str:
        """The target of an action of a model on the host of Converse."""
        path = self.with_base_path(f"{self.base}/model/{_segment(model)}/{action}")
        return targets.join_query(path, query)

    def _message(self, head: Head, query: str, notes: Notes, body: bytes) -> Upstream:
        """A request of Anthropic's Messages, by its model: to Claude as it is, else to Converse."""
        model = self._model_of(body)
        upstream = Upstream(self.origin, "POST", "", notes=notes, is_repeatable=self.is_repeatable(head, MESSAGES))
        if family(model).vendor != CLAUDE:
            _, query = targets.pop_parameter(query, "beta")
            notes = (f"{self._sent_to}: {MESSAGES} as {self._chats.named(CHAT)} of {self.type}",)
            upstream = upstream._replace(target=self.upstream_path(CHAT, {}, query), notes=notes)
            return self._translated(upstream, MESSAGES, CHAT, body)
        memo = self._chats.memo(MESSAGES)
        fields: dict[bytes, bytes | None] = dict(chats.READABLE if memo else {})
        if not model.startswith(_MANTLE_MODELS):
            return self._invoked_message(head, query, upstream, memo, model, body)
        if not header_fields.value(head.fields, b"anthropic-version"):
            fields[b"anthropic-version"] = _VERSION
        target = self.upstream_path(MESSAGES, {}, query)
        notes = (f"sent to {self._mantle}: {MESSAGES} of {self.type}",)
        memo = {**memo, _SERVICE: MANTLE}
        upstream = upstream._replace(origin=self._mantle, target=target, fields=fields, memo=memo, notes=notes)
        return self._native(upstream, MESSAGES, True, body)

    def _invoked_message(
        self, head: Head, query: str, upstream: Upstream, memo: Mapping[str, Any], model: str, body: bytes
    ) -> Upstream:
        """The same through InvokeModel, which takes the ids of inference profiles, and ARNs."""
        found = self._native(upstream, MESSAGES, True, body)
        sent = found.body or b""
        is_stream = json_values.request_object(sent).flag("stream") or False
        betas = header_fields.value(head.fields, b"anthropic-beta")
        sent, notes = invoked_messages.request(sent, betas)
        _, query = targets.pop_parameter(query, "beta")
        fields: dict[bytes, bytes | None] = {b"anthropic-version": None, b"anthropic-beta": None, **chats.READABLE}
        return found._replace(
            target=self._runtime(model, "invoke-with-response-stream" if is_stream else "invoke", query),
            fields={**fields, b"content-type": b"application/json"},
            body=sent,
            memo={**memo, _INVOKED: is_stream},
            notes=(*found.notes, *notes),
        )

    def _model_of(self, body: bytes) -> str:
        """The model of a request, after modelMapping."""
        body = without_mark(body)
        found = text_member(body, object_members(body), "model")
        if found is None or not found[1]:
            raise bad_body("model is missing.", param="model")
        return self.map_model(found[1])[0]

    def lacking(self, head: Head, call: Call, query: str) -> Upstream | NeedsBody:
        """Tokens of a request for Claude are counted by Bedrock, others are estimated."""
        if call.api.name == COUNT_TOKENS and head.method == "POST":
            notes = (f"{self._sent_to}: {COUNT_TOKENS} of {self.type}",)
            return NeedsBody(self.origin, functools.partial(self._count, notes), notes)
        return super().lacking(head, call, query)

    def _count(self, notes: Notes, body: bytes) -> Upstream | Answer:
        try:
            model = self._model_of(body)
            if family(model).vendor != CLAUDE:
                return chats.estimated(body)
            root = json_values.request_object(without_mark(body)).members
            mapped = {**root, "model": json_values.encode(model), "max_tokens": _MOST_TOKENS}
            document = json_values.encode({name: json_values.raw(bytes(value)) for name, value in mapped.items()})
            written = self._chats.translated(MESSAGES, CHAT, document)
        except Refusal:
            # Counting is advice: what is wrong is told when the request itself is sent.
            return chats.estimated(body)
        converse = {name: value for name, value in json_values.members(written.body).items() if name in _COUNTED}
        return Upstream(
            self.origin,
            "POST",
            self._runtime(_PROFILE.sub("", model, count=1) if _PROFILE.match(model) else model, "count-tokens", ""),
            fields={**written.fields, b"accept": b"application/json"},
            body=json_values.encode({"input": {"converse": converse}}),
            memo={_COUNT: token_estimate.estimate(body)},
            notes=(*notes, *written.notes),
            is_repeatable=True,
        )

    # Answers

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """As elsewhere; those of Claude itself, whose errors may be Amazon's, and counts of tokens."""
        memo = sent.memo
        if memo.get(_SERVICE) == MANTLE and status >= 400 and self.keys.protocol != "original":
            return Whole(lambda answer: _own_error(answer, fields))
        if (is_stream := memo.get(_INVOKED)) is not None:
            return self._chats.handling(memo, invoked_messages.handling(is_stream, status, fields), status, fields)
        if (client := memo.get(_LISTED)) is not None:
            return Whole(lambda answer: _models(answer, fields, client, self.keys.model_mapping.models))
        if (estimate := memo.get(_COUNT)) is not None:
            return Whole(lambda answer: _counted(answer, estimate))
        return super().responseheaders(sent, status, fields)


def _with_body(upstream: Upstream, body: bytes) -> Upstream:
    return upstream._replace(body=body)


def _own_error(answer: Answer, fields: Fields) -> Answer:
    """An error of Claude's host: the same object if it is Anthropic's, else one that is."""
    try:
        document = json_values.decode(answer.body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        return answer
    fault = converse_answers.read_error(answer.body, answer.status, fields)
    return vendor_errors.answer(fault, ANTHROPIC, vendor_errors.id_headers(fields, ANTHROPIC))


def _models(answer: Answer, fields: Fields, client: str, known: tuple[str, ...]) -> Answer:
    """The list of Bedrock's models as the client's dialect has it, or its error.

    Who may chat need not be allowed to list, and an endpoint of one's own need not have the list: then it is that of
    the names that modelMapping has, where it has any.
    """
    notes: Notes = ()
    try:
        if answer.status == 200:
            found = [
                Listed(one["modelId"], one.get("modelName") or one["modelId"], one.get("providerName") or "amazon")
                for one in json_values.decode(answer.body)["modelSummaries"]
            ]
        else:
            fault = converse_answers.read_error(answer.body, answer.status, fields)
            if not known or not (answer.status == 404 or fault.code == _NOT_ALLOWED):
                return vendor_errors.answer(fault, client, vendor_errors.id_headers(fields, client))
            found = [Listed(name, name, "bedrock") for name in known]
            notes = (f"Bedrock answered {answer.status}: these are the models of modelMapping",)
    except (ValueError, KeyError, TypeError, AttributeError):
        return vendor_errors.answer(vendor_errors.broken("has no list of models"), client)
    body = json_values.encode(openai_shapes.models(found, client))
    return Answer(200, body, {"content-type": "application/json"}, notes)


def _segment(model: str) -> str:
    """A model as a segment of the path, whether it is escaped already or not. Raises Refusal (400)."""
    plain = unquote(model)
    if plain in ("", ".", "..") or not plain.isprintable():
        raise bad_body("The model is no id of a model.", param="model")
    return quote(plain, safe="")


def _counted(answer: Answer, estimate: int) -> Answer:
    """The count, or the estimate where Bedrock does not count for this model."""
    try:
        count = json_values.decode(answer.body)["inputTokens"] if answer.status == 200 else None
    except (ValueError, KeyError, TypeError):
        count = None
    notes = () if isinstance(count, int) else (f"Bedrock counts no tokens here ({answer.status}): they are estimated",)
    return Answer(
        200,
        json_values.encode({"input_tokens": count if isinstance(count, int) else estimate}),
        {"content-type": "application/json"},
        notes,
    )


ROW: Final = Row(
    "bedrock",
    "",
    "",
    frozenset(),
    "Amazon Bedrock: all chat models through Converse, Claude's also as Messages, embeddings and pictures. Requests"
    " are signed with `awsAccessKey`, or sent with an API key of Bedrock's.",
    site="https://docs.aws.amazon.com/bedrock/",
    elsewhere={
        CHAT: "/model/{model}/converse",
        MESSAGES: "/anthropic/v1/messages",
        **dict.fromkeys(bedrock_models.CONVERSIONS, "/model/{model}/invoke"),
        MODELS: "/foundation-models",
    },
    variable="AWS_BEARER_TOKEN_BEDROCK",
    key_instead=("awsAccessKey", "awsSecretKey"),
    needs=("awsRegion",),
    chat=Target("Bedrock", CONVERSE),
    messages=CLAUDE_MESSAGES,
    conversions=bedrock_models.CONVERSIONS,
    keys=BedrockKeys,
    kind=Bedrock,
)
