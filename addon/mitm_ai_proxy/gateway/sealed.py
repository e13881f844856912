"""Credentials that are kept out of flows: mitmproxy's layers put them into the request when it is sent.

A flow only ever has placeholders in it, so that no window, file, export or other addon has the credential.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._events import RequestHeaders

from ..auth.header import REDACTED, Credential, redacted_query, without_redacted
from ..view import tokens
from ..wire import targets
from ..wire.header_fields import Fields
from ..wire.printable import printable
from ..wire.targets import Origin

logger = logging.getLogger(__name__)

_REDACTED: Final = REDACTED.encode()
_SEALS: Final = "ai_proxy_seals"
_JWT: Final = b"eyJ"
"""How the header and the claims of each JWT begin: `{"` in base64."""
_PARAMETERS: Final = ("self", "child", "event")


class Seal(NamedTuple):
    """What a request has in the place of its placeholders where it is sent to `origin`.

    `fields`: by name, in lower case, each placeholder with its value. `shown`: path and query as they are in the flow,
    and `target` as they are sent. `parameters`: those of the query, as they are sent, by what is shown of them.
    `closes`: the client has said that it ends its connection; that is not said to the provider, whose connection may
    be of use to a further try (RFC 9110, section 7.6.1).
    """

    origin: Origin
    fields: Mapping[bytes, tuple[tuple[bytes, bytes], ...]]
    shown: str
    target: str
    parameters: Mapping[str, str]
    closes: bool


_seals: WeakKeyDictionary[http.HTTPFlow, Seal] | None = None
_claims: Final[WeakKeyDictionary[http.HTTPFlow, tuple[tuple[str, str], ...]]] = WeakKeyDictionary()
_forgotten: WeakSet[http.HTTPFlow] = WeakSet()
"""Flows whose credential was forgotten before they were sent."""


class NotSealed(Exception):
    """A request was to be sent whose credential is forgotten already: its flow has ended."""


def install() -> bool:
    """Have mitmproxy's layers put the credentials in, once or again after a reload; False where they look different."""
    global _seals, _forgotten
    before: Any = getattr(HttpLayer, "event_to_child", None)
    if known := getattr(before, _SEALS, None):
        _seals, _forgotten = known
        return True
    if before is None or tuple(inspect.signature(before).parameters) != _PARAMETERS:
        logger.warning(
            "ai-proxy: this version of mitmproxy is not known well enough to keep credentials out of its windows "
            "while a request waits for its answer."
        )
        return False
    seals: WeakKeyDictionary[http.HTTPFlow, Seal] = WeakKeyDictionary()

    def event_to_child(self: HttpLayer, child: Layer, event: events.Event) -> CommandGenerator[None]:
        if type(event) is RequestHeaders and (seals or _forgotten):
            event = _opened(self, event, seals)
        generator: CommandGenerator[None] = before(self, child, event)
        return generator

    setattr(event_to_child, _SEALS, (seals, _forgotten))
    HttpLayer.event_to_child = event_to_child  # type: ignore[method-assign]
    _seals = seals
    return True


def is_installed() -> bool:
    """Whether requests can be sealed."""
    return _seals is not None


def seal(flow: http.HTTPFlow, origin: Origin, fields: Fields, target: str, shown_fields: Fields, shown: str) -> None:
    """Put header fields and target with placeholders into a flow; where it is sent to `origin`, the real ones are sent.

    Of `fields` and `shown_fields`, those differ that hold a credential.
    """
    forget(flow)
    _forgotten.discard(flow)
    hidden: dict[bytes, tuple[tuple[bytes, bytes], ...]] = {}
    for (name, value), (_, placeholder) in zip(fields, shown_fields, strict=True):
        if placeholder is not value:
            lower = name.lower()
            hidden[lower] = (*hidden.get(lower, ()), (placeholder, value))
    flow.request.headers.fields = shown_fields
    flow.request.path = shown
    closes = any(map(_is_close, fields))
    if _seals is not None and (hidden or shown != target or closes):
        _keep_claims(flow, hidden)
        parameters = _parameters(target, shown) if shown != target else {}
        _seals[flow] = Seal(origin, hidden, shown, target, parameters, closes)


def is_for(flow: http.HTTPFlow, origin: Origin) -> bool:
    """Whether a flow is sealed, and its credential is for this origin."""
    found = _seals.get(flow) if _seals else None
    return found is not None and found.origin == origin


def renew(flow: http.HTTPFlow, credential: Credential) -> None:
    """Have a new credential sent in the place of the one with which a flow was sealed; placeholders stay."""
    found = _seals.get(flow) if _seals else None
    if found is None or _seals is None:
        return
    fields = {**found.fields, **{name: ((_REDACTED, value),) for name, value in credential.fields.items()}}
    query, shown = credential.query, redacted_query(credential)
    parameters = {**found.parameters, **dict(zip(shown.split("&"), query.split("&"), strict=True))}
    # The target is put together when it is sent: it may have been edited.
    _keep_claims(flow, fields)
    _seals[flow] = found._replace(fields=fields, shown="", parameters=parameters)


def _keep_claims(flow: http.HTTPFlow, hidden: Mapping[bytes, tuple[tuple[bytes, bytes], ...]]) -> None:
    values = [(name, value) for name, pairs in hidden.items() for _, value in pairs if _JWT in value]
    texts = [(name.decode("latin-1"), tokens.unsigned(value.decode("utf-8", "replace"))) for name, value in values]
    if texts or flow in _claims:
        _claims[flow] = tuple([(name, text) for name, text in texts if text])


def claims_of(flow: http.HTTPFlow) -> tuple[tuple[str, str], ...]:
    """The JWTs in a flow's request without their signatures, by the names of their fields; they are not saved."""
    return _claims.get(flow, ())


def drop_placeholders(flow: http.HTTPFlow) -> None:
    """Take the placeholders out of a request that is made of what a flow shows: what they stood for is not kept."""
    headers = flow.request.headers
    headers.fields = tuple(field for field in headers.fields if field[1] != _REDACTED)
    flow.request.path = without_redacted(flow.request.path)


def forget(flow: http.HTTPFlow) -> None:
    """Forget the credential of a request that is not sent any more."""
    if _seals and _seals.pop(flow, None):
        _forgotten.add(flow)


def led_away(flow: http.HTTPFlow) -> None:
    """Say that a request whose credential was forgotten goes to a server of ours: placeholders may be sent."""
    _forgotten.discard(flow)


def fields_of(flow: http.HTTPFlow) -> Fields:
    """The header fields of a flow's request as they are sent, with its credential; they are not to be shown."""
    fields = flow.request.headers.fields
    found = _seals.get(flow) if _seals else None
    return _filled(fields, found) if found else fields


def target_of(flow: http.HTTPFlow) -> str:
    """Path and query of a flow's request as they are sent, with its credential; they are not to be shown."""
    path = flow.request.path
    found = _seals.get(flow) if _seals else None
    return _target(path, found) if found else path


def sent(flow: http.HTTPFlow) -> http.Request:
    """A flow's request as it would be sent now; it is not to be shown."""
    found = _seals.get(flow) if _seals else None
    return _unsealed(flow.request, found) if found else flow.request


def _parameters(target: str, shown: str) -> dict[str, str]:
    real, placeholders = (targets.split_query(text)[1].split("&") for text in (target, shown))
    if len(real) != len(placeholders):
        return {}
    return {placeholder: own for own, placeholder in zip(real, placeholders, strict=True) if own != placeholder}


def _opened(layer: HttpLayer, event: RequestHeaders, seals: WeakKeyDictionary[http.HTTPFlow, Seal]) -> RequestHeaders:
    """The event with the credential in its request, if it is that of a sealed flow; the flow keeps its placeholders.

    Raises NotSealed for a request that would be sent with placeholders: its client left while it was on its way.
    """
    flow = getattr(layer.streams.get(event.stream_id), "flow", None)
    if flow in _forgotten:
        raise NotSealed
    found = seals.pop(flow, None) if flow is not None and event.request is flow.request else None
    return dataclasses.replace(event, request=_unsealed(event.request, found)) if found else event


def _unsealed(sealed: http.Request, found: Seal) -> http.Request:
    """The request with its credential; without it where it is led elsewhere than the credential is for."""
    data = sealed.data
    fields, path = sealed.headers.fields, sealed.path
    if (data.host, data.port, data.scheme) == (found.origin.host, found.origin.port, found.origin.scheme.encode()):
        fields, path = _filled(fields, found), _target(path, found)
    else:
        placeholders = {_REDACTED, *(placeholder for pairs in found.fields.values() for placeholder, _ in pairs)}
        fields = tuple((name, value) for name, value in fields if value not in placeholders)
        if found.fields or found.parameters:
            logger.warning(
                "ai-proxy: a request was led to %s after its credential had been set for %s; it was sent without it.",
                printable(f"{data.host}:{data.port}"),
                found.origin,
            )
    if found.closes:
        fields = tuple([field for field in fields if not _is_close(field)])
    # As copy.copy() does, in a third of the time.
    request, headers = http.Request.__new__(type(sealed)), http.Headers()
    request.data = http.RequestData.__new__(type(data))
    headers.fields = fields
    vars(request.data).update(vars(data), headers=headers, path=path.encode("utf-8", "surrogateescape"))
    vars(request).update(vars(sealed), data=request.data)
    return request


def _filled(fields: Fields, found: Seal) -> Fields:
    """The fields with the credential; a value that was edited stays."""
    left = {name: [*pairs] for name, pairs in found.fields.items()}
    filled = []
    for field in fields:
        for pair in left.get(field[0].lower(), ()):
            if pair[0] == field[1]:
                left[field[0].lower()].remove(pair)
                filled.append((field[0], pair[1]))
                break
        else:
            filled.append(field)
    return tuple(filled)


def _is_close(field: tuple[bytes, bytes]) -> bool:
    return field[0].lower() == b"connection" and field[1].lower() == b"close"


def _target(path: str, found: Seal) -> str:
    if path == found.shown:
        return found.target
    beginning, query = targets.split_query(path)
    parts = [found.parameters.get(part, part) for part in query.split("&")]
    return targets.join_query(beginning, "&".join(parts))
