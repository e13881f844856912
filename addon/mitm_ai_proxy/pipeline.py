"""The steps of one request, as pure functions: requestheaders, request, outgoing, responseheaders, response.

gateway/ calls them in mitmproxy's hooks of these names and carries out the values that they return.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from . import apis, errors
from .auth.header import (
    CLIENT_FIELDS,
    NO_CREDENTIAL,
    REDACTED,
    Credential,
    redacted_query,
    without_protocol_keys,
    without_redacted,
)
from .auth.secret import Secret
from .chat import token_estimate
from .exchange import Answer, Handling, Head, Memo, NeedsBody, Upstream, Whole
from .providers.base import Provider
from .routing import purchases
from .routing.providers import Providers
from .routing.rules import Choice, Router
from .wire import content_encoding, header_fields, request_body, targets
from .wire.header_fields import Fields
from .wire.targets import Origin

BODY_LIMIT: Final = 100 * 1024 * 1024
"""Bytes of a body that is held; the limit of the Higress ai-proxy plugin."""
MAX_RATIO: Final = 50
"""How many times longer a client's body may become when it is decoded; text compresses to a tenth, base64 hardly."""
SMALL_BODY: Final = 1024 * 1024
"""Bytes up to which that does not matter."""

_MOST_ASKED: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Members of a body that limit the answer."""

_REDACTED: Final = REDACTED.encode()
"""What stands for a credential that is not kept."""
_AS_A_JOB: Final = b"x-dashscope-async"
"""Source: DashScope's API reference, asynchronous calls."""
# Removed when a request is sent without its body.
_BODY_FIELDS: Final = (b"content-length", b"content-type", b"transfer-encoding", b"expect")


class Outgoing(NamedTuple):
    """A request with its credential, as it is sent.

    `target` and `fields` hold the credential; `secret_fields` are the names of its fields (in lower case). Where the
    target holds some of it, `redacted_target` is what may be kept of that. `secrets` are the credential's values.
    `body` None stands for the client's own.
    """

    upstream: Upstream
    target: str
    fields: Fields
    body: bytes | None = None
    secret_fields: Collection[bytes] = ()
    redacted_target: str = ""
    secrets: tuple[bytes, ...] = ()


class Reply(NamedTuple):
    """The answer for the client, with the header fields as they are sent and the notes on what was changed."""

    status: int
    fields: Fields
    body: bytes
    notes: tuple[str, ...]


# Request


def chosen(router: Router, head: Head, raw: bytes) -> Choice:
    """The provider that the router chooses by a body, which is `raw` as it was sent. Raises Refusal."""
    return router.choose_with(head, client_body(head, raw))


def requestheaders(provider: Provider, head: Head) -> Upstream | NeedsBody:
    """The upstream request for a head; NeedsBody if the body has to be read. Raises Refusal."""
    found = provider.requestheaders(head)
    return _checked(found) if isinstance(found, Upstream) else found


def request(needs: NeedsBody, head: Head, raw: bytes) -> Upstream | Answer:
    """The upstream request when the body has been read, or the answer if nothing is sent.

    `raw` is the body as it was sent. Raises Refusal.
    """
    upstream = needs.rewrite(client_body(head, raw))
    if not isinstance(upstream, Upstream):
        return upstream
    # An unchanged body keeps its Content-Encoding.
    return _checked(upstream._replace(body=None) if upstream.body is raw else upstream)


def _checked(upstream: Upstream) -> Upstream:
    """The request, whose path is none that could be read as a host. Raises Refusal for another one."""
    if upstream.target.startswith("//"):
        raise errors.bad_head("Behind its prefix, the path begins with two slashes.")
    return upstream


def client_body(head: Head, raw: bytes) -> bytes:
    """The client's body without its Content-Encoding; `raw` is as it was sent. Raises Refusal (400)."""
    return decoded(raw, head.caller.content_encoding, _limit(raw))


def _limit(raw: bytes) -> int:
    """The number of bytes that a client's body may have when it is decoded."""
    return min(BODY_LIMIT, max(SMALL_BODY, MAX_RATIO * len(raw)))


def outgoing(
    provider: Provider,
    head: Head,
    upstream: Upstream,
    fields: Fields | None = None,
    raw: bytes = b"",
    token: int | None = None,
) -> Outgoing:
    """The request with the provider's credential.

    `fields` are the client's header fields where they are not those of the head any more; `raw` is its body where it
    was held. `token` is the index of the provider's token, if it was chosen already.
    """
    fields = head.fields if fields is None else fields
    token = upstream.token if token is None else token
    own = provider.token(fields) if token is None else provider.tokens[token]
    credential = provider.credential(_with_body(upstream, raw), own)
    without, prefixes = (CLIENT_FIELDS, provider.withheld_headers) if provider.withholds_credential else ((), ())
    return _outgoing(head, upstream, fields, raw, credential, without, prefixes)


def without_credential(head: Head, origin: Origin, target: str, note: str, fields: Fields | None = None) -> Outgoing:
    """A request to another host than the provider's, such as one that serves its files; all credentials are removed."""
    upstream = Upstream(origin, head.method, target, notes=(note,))
    return _outgoing(head, upstream, head.fields if fields is None else fields, b"", NO_CREDENTIAL, CLIENT_FIELDS, ())


def linked(provider: Provider, head: Head, target: str) -> Upstream:
    """A request to a link of the provider's own API: its path and query are sent as they are, with the credential."""
    return Upstream(provider.origin, head.method, target, notes=(f"sent to {provider.origin}: the link as it is",))


def keeps(providers: Providers, provider: Provider, target: str) -> bool:
    """Whether a client's GET of this path and query is sent to one of the providers with the same ones."""
    if providers.serving(target) is not provider:
        return False
    try:
        found = provider.requestheaders(Head("GET", target))
    except errors.Refusal:
        return False
    return isinstance(found, Upstream) and found.target == target


def rewritten(provider: Provider, head: Head, raw: bytes) -> Upstream | Answer:
    """The upstream request, or the answer, of a request whose body has been read: `raw`. Raises Refusal."""
    found = requestheaders(provider, head)
    return request(found, head, raw) if isinstance(found, NeedsBody) else found


def most_tokens(body: bytes) -> int:
    """The tokens of a model that a request may use, estimated: its own, and as many as it asks for in the answer."""
    found = token_estimate.estimate(body)
    return found + max([request_body.whole_number(body, name) for name in _MOST_ASKED], default=0)


def done_by(upstream: Upstream, head: Head, raw: bytes) -> str:
    """What a request may have done that a second one would do again, in words; "" for nothing but its answer.

    `raw` is the client's body as it was sent. What nobody knows may have bought something.
    """
    if apis.is_repeatable(upstream.method):
        return ""
    if not upstream.is_repeatable:
        return purchases.SOMETHING
    if header_fields.value(head.fields, _AS_A_JOB):
        return purchases.A_JOB
    try:
        body = client_body(head, raw) if upstream.body is None else upstream.body
    except errors.Refusal:
        return purchases.SOMETHING
    return purchases.may_buy(upstream.target, body)


def answered_by(upstream: Upstream, origin: Origin) -> Upstream:
    """The same request where a server of ours answers it in the provider's place."""
    return upstream._replace(origin=origin)


def resend(provider: Provider, head: Head, origin: Origin, memo: Memo, raw: bytes) -> Outgoing:
    """A finished request, which is rewritten already, as a person has it sent again: with a new credential.

    `raw` is its body. Raises Refusal if the provider changed.
    """
    if origin not in provider.origins:
        raise errors.provider_changed()
    target, encoding = without_redacted(head.target), header_fields.value(head.fields, b"content-encoding")
    cost = "" if apis.is_repeatable(head.method) else ", which may cost again"
    notes = [f"sent to {origin} again, as a person asked{cost}: rewritten before, the credential is new"]
    if not provider.has_credential and any(value == _REDACTED for _, value in head.fields):
        notes.append("the client's own credential is not kept, so it is sent without one")
    try:
        body = decoded(raw, encoding)
    except errors.Refusal:
        body = raw  # as it was sent
    asked = provider.again(Upstream(origin, head.method, target, body=body, memo=memo, notes=tuple(notes)))
    upstream = asked._replace(body=None) if asked.body is body else asked
    credential = provider.credential(_with_body(upstream, raw), provider.token(()))
    fields = tuple(field for field in head.fields if field[1] != _REDACTED or field[0].lower() in credential.fields)
    return _outgoing(head, upstream, fields, raw, credential, CLIENT_FIELDS, ())


def renewed(provider: Provider, upstream: Upstream, target: str, raw: bytes, token: Secret | None) -> Credential:
    """The credential of a request whose path, query and body (as it is sent) may have been edited; they hold none.

    `target` may have parameters that are redacted. Raises Refusal.
    """
    return provider.credential(upstream._replace(target=without_redacted(target), body=raw), token)


def _with_body(upstream: Upstream, raw: bytes) -> Upstream:
    """The request with the client's own body in it, if it was held: a signature is of what is sent."""
    return upstream if upstream.body is not None else upstream._replace(body=raw)


def _outgoing(
    head: Head,
    upstream: Upstream,
    fields: Fields,
    raw: bytes,
    credential: Credential,
    without: Collection[bytes],
    prefixes: tuple[bytes, ...],
) -> Outgoing:
    body = raw if upstream.body is None else upstream.body
    changes: dict[bytes, bytes | None] = {}
    if upstream.body is not None:
        changes = {b"content-encoding": None, b"content-length": _length(body)}
    if without:
        fields = without_protocol_keys(fields)
    if upstream.fields:
        changes.update(upstream.fields)
    if upstream.method != head.method and not body:
        changes |= dict.fromkeys(_BODY_FIELDS)
    elif body and (upstream.method != head.method or not head.has_host):
        # A GET and HTTP/2 have no Content-Length, but the provider may need it (HTTP/1.1).
        fields = _with_length(fields, body)
    if head.has_host:
        changes[b"host"] = upstream.origin.authority.encode()
    changes |= credential.fields
    target, shown = upstream.target, ""
    if credential.query:
        target = _with_query(upstream.target, credential.query)
        shown = _with_query(upstream.target, redacted_query(credential))
    fields = header_fields.changed(fields, changes, without, prefixes)
    return Outgoing(upstream, target, fields, upstream.body, credential.fields.keys(), shown, credential.values)


def _with_query(target: str, credential: str) -> str:
    """The target with the query parameters of a credential, which replace parameters of the same names."""
    path, query = targets.split_query(target)
    for parameter in credential.split("&"):
        _, query = targets.pop_parameter(query, parameter.partition("=")[0])
    return targets.join_query(path, f"{query}&{credential}" if query else credential)


def _length(body: bytes) -> bytes:
    return str(len(body)).encode()


def _with_length(fields: Fields, body: bytes) -> Fields:
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        # It frames the body, and a length beside it could be read as another one's (RFC 9112, section 6.2).
        return fields
    if any(name.lower() == b"content-length" for name, _ in fields):
        return header_fields.changed(fields, {b"content-length": _length(body)})
    return (*fields, (b"Content-Length", _length(body)))


# Response


def responseheaders(provider: Provider, sent: Upstream, status: int, fields: Fields) -> Handling:
    """What is done with an answer, by its status and header fields."""
    return provider.responseheaders(sent, status, fields)


def response(whole: Whole, status: int, fields: Fields, raw: bytes) -> Reply | None:
    """The client's answer, from an answer that was held; None if it is passed on unchanged.

    Raises JSONError for an answer that cannot be read. It should be passed on: the client may have paid for it.
    """
    try:
        body = decoded(raw, header_fields.value(fields, b"content-encoding"))
    except errors.Refusal:
        # The provider's rewrite() handles a body that it cannot read.
        body = raw
    answer = Answer(status, body)
    rewritten = whole.rewrite(answer)
    if rewritten is answer:
        return None
    changes: dict[bytes, bytes | None] = {}
    if rewritten.body is not raw:
        changes = {b"content-encoding": None, b"content-length": _length(rewritten.body)}
    for name, text in rewritten.headers.items():
        # The upstream's own Retry-After is kept.
        if name != "retry-after" or not header_fields.value(fields, b"retry-after"):
            changes[name.encode()] = text.encode("utf-8", "surrogateescape") if text is not None else None
    return Reply(rewritten.status, header_fields.changed(fields, changes), rewritten.body, rewritten.notes)


def decoded(raw: bytes, encoding: str, limit: int = BODY_LIMIT) -> bytes:
    """A body without its Content-Encoding; the same object if it has none. `limit` is in bytes.

    Raises Refusal (400).
    """
    if not encoding:
        return raw
    try:
        return content_encoding.decode(raw, encoding, limit)
    except ValueError as error:
        raise errors.bad_body(f"The body {error}.", param="Content-Encoding") from None
