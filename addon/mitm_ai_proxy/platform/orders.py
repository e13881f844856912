"""Reads what clients order: the body of a create as one of Kling's, with its price, and what is the platform's own."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from ..config.keys import nearest
from ..errors import Refusal, bad_body
from ..kling import create, models, picture_fields
from ..kling.document import Document, encoded
from ..kling.fields import FIELDS
from ..wire.request_body import object_members, without_mark
from . import addresses, money
from .scheduling import PRIORITIES
from .settings import NO_LIMITS, TenantSettings

TEXT_TO_VIDEO: Final = "/v1/videos/text2video"
IMAGE_TO_VIDEO: Final = "/v1/videos/image2video"

LONGEST_BODY: Final = 25 << 20
LONGEST_METADATA: Final = 16 << 10
_OWN: Final = ("account", "callback_url", "metadata", "priority")
_NAMED_BY_US: Final = "external_task_id"
_KLINGS: Final = frozenset(FIELDS) - {"image_list", "video_list", "callback_url", _NAMED_BY_US, "model_name"}
"""Fields of a create from text or a picture."""
KNOWN: Final = ("model", *sorted(_KLINGS), *_OWN)
"""Fields of a create. `model_name` is taken for `model`, too."""
_MODES: Final = {"standard": models.STD, "professional": models.PRO}
"""Kling's words for those of older clients."""
_DEFAULT_SECONDS: Final = 5
_SHOWN: Final = 40


class Draft(NamedTuple):
    """What a client orders, before it has been accepted: see Order. `notes`: what was changed, in a line each."""

    path: str
    model: str
    body: str
    prompt: str
    seconds: float
    estimate: int
    priority: int = 0
    metadata: str = "{}"
    callback_url: str = ""
    has_name: bool = True
    pinned_to: str = ""
    notes: tuple[str, ...] = ()


def read(body: bytes, tenant: TenantSettings = NO_LIMITS) -> Draft:
    """Read the body of a create of the platform's own API. Raises Refusal (400, 413), which names the field."""
    if len(body) > LONGEST_BODY:
        raise Refusal(413, f"The body is longer than {LONGEST_BODY >> 20} MB.", code="body_too_large")
    body = without_mark(body)
    document = Document.from_json(body, object_members(body))
    if "model_name" in document:
        if "model" in document:
            raise bad_body("model and model_name say the same; give one.", param="model_name")
        document.rename("model_name", "model")
    refuse_unknown(document, KNOWN)
    own = take_own(document)
    metadata = _metadata(document.pop("metadata"))
    asked = document.text("model") or models.DEFAULT_MODEL
    refuse_model(asked)
    _set_defaults(document, models.MODELS[asked])
    document.set("model", asked)
    notes: list[str] = []
    return priced(document, create.translate(document, asked, asked), tenant, notes)._replace(
        metadata=metadata, **own, notes=tuple(notes)
    )


def read_openai(document: Document, tenant: TenantSettings = NO_LIMITS) -> Draft:
    """Read a create of OpenAI's Videos API, whose members `document` holds. Raises Refusal (400) as read() does."""
    pictures = {
        field: name
        for name in document.names
        if name in picture_fields.NAMES
        for field in ([picture_fields.NAMES[name]] if picture_fields.NAMES[name] else picture_fields.FRAMES)
    }
    try:
        return _read_openai(document, tenant)
    except Refusal as refused:
        name = pictures.get(refused.param or "", refused.param)
        if name == refused.param:
            raise
        raise bad_body(f"{name}: {refused.message}", param=name) from None


def _read_openai(document: Document, tenant: TenantSettings) -> Draft:
    refuse_unknown(document, (*KNOWN, *sorted(create.OPENAI_FIELDS), *sorted(picture_fields.NAMES)))
    own = take_own(document)
    asked = document.text("model") or ""
    is_sora = not asked or models.sora_mode(asked) is not None
    if not is_sora:
        refuse_model(asked)
    notes: list[str] = []
    created = create.translate(document, asked, None)
    refuse_unknown(document, ("model_name", *_KLINGS))
    return priced(document, created, tenant, notes)._replace(**own, notes=(*created.notes, *notes))


def refuse_unknown(document: Document, known: tuple[str, ...]) -> None:
    """Refuse (400) a member that is none of these."""
    for name in document.names:
        if name == _NAMED_BY_US and name not in known:
            raise bad_body(f"{name} is not taken: the platform names each task by its job.", param=name)
        if name not in known:
            raise bad_body(f"{name[:40]} is no field of a create{nearest(name[:40], known)}", param=name[:40])


def refuse_model(name: str) -> None:
    """Refuse (400) a model that is not known, or that Kling has retired; what is in service is offered."""
    offered = [known for known in models.MODELS if known not in models.RETIRED]
    if name in models.RETIRED:
        message = f"Kling has retired {name}. Use {models.DEFAULT_MODEL}, or another of {', '.join(offered)}."
        raise Refusal(400, message, code="model_retired", param="model")
    if name not in offered:
        message = f"model {name[:40]!r} makes no video here; those that do: {', '.join(reversed(offered))}."
        raise Refusal(400, message, code="model_unknown", param="model")


def take_own(document: Document) -> dict[str, Any]:
    """Take the members out that are the platform's own, but for `metadata`: as members of a Draft."""
    own: dict[str, Any] = {}
    priority = document.pop("priority")
    if priority is not None:
        if isinstance(priority, bool) or priority not in PRIORITIES:
            raise bad_body(f"priority is none of {', '.join(map(str, PRIORITIES))}.", param="priority")
        own["priority"] = int(priority)
    account = document.pop("account")
    if account is not None:
        if not isinstance(account, str) or not account:
            raise bad_body("account is no name of an account.", param="account")
        own["pinned_to"] = account
    url = document.pop("callback_url")
    if url is not None:
        own["callback_url"] = _receiver(url)
    return own


def priced(document: Document, created: create.Created, tenant: TenantSettings, notes: list[str]) -> Draft:
    """The draft of a create whose members are Kling's. Raises Refusal (400) where its price is not known."""
    is_picture = any(name in document for name in picture_fields.FRAMES)
    path = IMAGE_TO_VIDEO if is_picture else TEXT_TO_VIDEO
    body = document.body()
    estimate = estimated(path, json.loads(body), tenant, notes)
    seconds = float(created.parameters.seconds or _DEFAULT_SECONDS)
    return Draft(path, document.text("model_name") or "", body.decode(), created.prompt or "", seconds, estimate)


def estimated(path: str, body: dict[str, Any], tenant: TenantSettings, notes: list[str]) -> int:
    """The price of a create in milli-units. Raises Refusal (400) where it is not known, unless the tenant may."""
    estimate = money.estimate(path, body)
    if estimate is not None:
        return estimate
    if tenant.unknown_price is None:
        raise _unpriced(path, body)
    notes.append("the price is not known: unknownPrice of the tenant is reserved")
    return round(tenant.unknown_price * money.MILLI)


def _unpriced(path: str, body: dict[str, Any]) -> Refusal:
    """400 for a create without a price; names the field without which it had one."""
    for name in body:
        rest = {known: value for known, value in body.items() if known != name}
        is_text = path == IMAGE_TO_VIDEO and not any(frame in rest for frame in picture_fields.FRAMES)
        if money.estimate(TEXT_TO_VIDEO if is_text else path, rest) is not None:
            shown = json.dumps(body[name], ensure_ascii=False)[:_SHOWN]
            message = f"Kling does not take {name} {shown}, or not together with the other fields."
            return bad_body(message, param="model" if name == "model_name" else name)
    message = "Kling's price list does not say what this costs: several fields are wrong, or do not go together."
    return Refusal(400, message, code="unknown_price")


def _set_defaults(document: Document, row: models.Model) -> None:
    """Say what Kling would choose by itself, so that the price is certain."""
    mode = document.value("mode")
    if mode is None:
        document.pop("mode")
        if row.modes:
            document.set("mode", models.STD)
    elif isinstance(mode, str) and mode in _MODES:
        document.set("mode", _MODES[mode])
    if document.value("duration") is None:
        document.set("duration", _DEFAULT_SECONDS)


def _receiver(value: Any) -> str:
    try:
        addresses.receiver(value if isinstance(value, str) else "")
    except addresses.NotAllowed as error:
        raise bad_body(f"callback_url {error}.", param="callback_url") from None
    return str(value)


def _metadata(value: Any) -> str:
    if value is None:
        return "{}"
    text = encoded(value)
    if not isinstance(value, dict) or len(text) > LONGEST_METADATA:
        raise bad_body(f"metadata is no object of at most {LONGEST_METADATA >> 10} KB.", param="metadata")
    return text.decode()
