"""The way of one request without an edge: head, body, credential; status, handling, answer. Pure.

Edges (gateway/ for mitmproxy) call it in this order and carry out what it returns. What is sent is an Outgoing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from . import errors
from .auth.header import CLIENT_FIELDS, NO_CREDENTIAL, Credential, redacted_query
from .exchange import Answer, Handling, Head, Memo, NeedsBody, Upstream, Whole
from .providers.base import Provider
from .wire import content_encoding, header_fields, targets
from .wire.header_fields import Fields
from .wire.targets import Origin

BODY_LIMIT: Final = 100 * 1024 * 1024
"""Bytes of a body that is held; the limit of the Higress ai-proxy plugin."""

# What describes a body that is not sent.
_BODY_FIELDS: Final = (b"content-length", b"content-type", b"transfer-encoding", b"expect")


class Outgoing(NamedTuple):
    """A request with its credential, as it is sent.

    `target` and `fields` hold the credential; `secret_fields` are the names of its fields (in lower case). Where the
    target holds some of it, `shown_target` is what may be kept of that. `body` None stands for the client's own.
    """

    upstream: Upstream
    target: str
    fields: Fields
    body: bytes | None = None
    secret_fields: Collection[bytes] = ()
    shown_target: str = ""


class Reply(NamedTuple):
    """An answer for the client, and what was changed of it."""

    status: int
    fields: Fields
    body: bytes
    notes: tuple[str, ...]


# The way there


def requestheaders(provider: Provider, head: Head) -> Upstream | NeedsBody:
    """Where a request goes, by its head. Raises Refusal for one that must not be forwarded."""
    return provider.requestheaders(head)


def request(needs: NeedsBody, head: Head, raw: bytes) -> Upstream:
    """Where it goes when its body, as it was sent, must be known too. Raises Refusal."""
    upstream = needs.rewrite(decoded(raw, head.caller.content_encoding))
    # What was not changed keeps its Content-Encoding.
    return upstream._replace(body=None) if upstream.body is raw else upstream


def outgoing(
    provider: Provider, head: Head, upstream: Upstream, fields: Fields | None = None, raw: bytes = b""
) -> Outgoing:
    """The request with the provider's credential.

    `fields` are the client's header fields where they are not those of the head any more; `raw` is its body where it
    was held.
    """
    fields = head.fields if fields is None else fields
    credential = provider.credential(upstream, provider.token(fields))
    without, beginnings = (CLIENT_FIELDS, provider.withheld_headers) if provider.has_credential else ((), ())
    return _outgoing(head, upstream, fields, raw, credential, without, beginnings)


def without_credential(head: Head, origin: Origin, target: str, note: str, fields: Fields | None = None) -> Outgoing:
    """A request to somebody else than the provider, such as whoever keeps its results; no credential goes with it."""
    upstream = Upstream(origin, head.method, target, notes=(note,))
    return _outgoing(head, upstream, head.fields if fields is None else fields, b"", NO_CREDENTIAL, CLIENT_FIELDS, ())


def answered_by(upstream: Upstream, origin: Origin) -> Upstream:
    """The same request where a server of ours answers it in the provider's place."""
    return upstream._replace(origin=origin)


def again(provider: Provider, head: Head, origin: Origin, memo: Memo, raw: bytes) -> Outgoing:
    """A request that was rewritten before, with its credential anew. Raises Refusal if it was for another provider."""
    if origin != provider.origin:
        raise errors.provider_changed()
    note = "replayed: rewritten before, the credential is new"
    upstream = Upstream(origin, head.method, head.target, memo=memo, notes=(note,))
    # What the client sent is not known any more: only a word for it was kept.
    credential = provider.credential(upstream, provider.token(()))
    return _outgoing(head, upstream, head.fields, raw, credential, CLIENT_FIELDS, ())


def _outgoing(
    head: Head,
    upstream: Upstream,
    fields: Fields,
    raw: bytes,
    credential: Credential,
    without: Collection[bytes],
    beginnings: tuple[bytes, ...],
) -> Outgoing:
    body = raw if upstream.body is None else upstream.body
    changes: dict[bytes, bytes | None] = {}
    if upstream.body is not None:
        changes = {b"content-encoding": None, b"content-length": _length(body)}
    if upstream.fields:
        changes.update(upstream.fields)
    if upstream.method != head.method and not body:
        changes |= dict.fromkeys(_BODY_FIELDS)
    elif body and (upstream.method != head.method or not head.has_host):
        # A GET had no length and HTTP/2 needs none, but the provider may speak HTTP/1.1.
        fields = _with_length(fields, body)
    if head.has_host:
        changes[b"host"] = upstream.origin.authority.encode()
    changes |= credential.fields
    target, shown = upstream.target, ""
    if credential.query:
        target = _with_query(upstream.target, credential.query)
        shown = _with_query(upstream.target, redacted_query(credential))
    fields = header_fields.changed(fields, changes, without, beginnings)
    return Outgoing(upstream, target, fields, upstream.body, credential.fields.keys(), shown)


def _with_query(target: str, credential: str) -> str:
    """The target with the parameters of a credential, in the place of the client's or of those that were shown."""
    path, query = targets.split_query(target)
    for parameter in credential.split("&"):
        _, query = targets.take_parameter(query, parameter.partition("=")[0])
    return targets.join_query(path, f"{query}&{credential}" if query else credential)


def _length(body: bytes) -> bytes:
    return str(len(body)).encode()


def _with_length(fields: Fields, body: bytes) -> Fields:
    if any(name.lower() == b"content-length" for name, _ in fields):
        return header_fields.changed(fields, {b"content-length": _length(body)})
    return (*fields, (b"Content-Length", _length(body)))


# The way back


def responseheaders(provider: Provider, sent: Upstream, status: int, fields: Fields) -> Handling:
    """What is to be done with an answer, by its status and header fields."""
    return provider.responseheaders(sent, status, fields)


def response(whole: Whole, status: int, fields: Fields, raw: bytes) -> Reply | None:
    """The answer for the client, of one that was held; None where it passes as it came.

    Raises JSONError for one that cannot be read: it may have been paid for, so that passing it on is better than none.
    """
    try:
        body = decoded(raw, header_fields.value(fields, b"content-encoding"))
    except errors.Refusal:
        # As it came: the provider's own judgement of what it cannot read.
        body = raw
    answer = Answer(status, body)
    rewritten = whole.rewrite(answer)
    if rewritten is answer:
        return None
    changes: dict[bytes, bytes | None] = {b"content-encoding": None, b"content-length": _length(rewritten.body)}
    for name, text in rewritten.headers.items():
        # When to come again is better known by the one who is asked.
        if name != "retry-after" or not header_fields.value(fields, b"retry-after"):
            changes[name.encode()] = text.encode("utf-8", "surrogateescape") if text is not None else None
    return Reply(rewritten.status, header_fields.changed(fields, changes), rewritten.body, rewritten.notes)


def decoded(raw: bytes, encoding: str) -> bytes:
    """A body without its Content-Encoding; the same object where it has none. Raises Refusal (400)."""
    if not encoding:
        return raw
    try:
        return content_encoding.decode(raw, encoding, BODY_LIMIT)
    except ValueError as error:
        raise errors.bad_body(f"The body {error}.", param="Content-Encoding") from None
