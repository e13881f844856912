"""What would become of a request, which is not sent: the upstream request and the reasons, or the answer given here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from typing import Final, NamedTuple

from .. import pipeline
from ..auth.header import is_credential, is_secret_field
from ..chat import callers
from ..chat.dialects import DIALECTS
from ..errors import Refusal
from ..exchange import Answer, Head, NeedsBody
from ..pipeline import Outgoing
from ..routing.providers import Providers
from ..routing.rules import Listing
from ..wire import head as heads
from ..wire.header_fields import Fields
from ..wire.printable import printable
from ..wire.targets import join_query, split_query
from .blocks import document_lines
from .messages import Message

CREDENTIAL: Final = "$CREDENTIAL"
"""What stands for a credential in a line for curl: a variable of the shell."""
_HIDDEN: Final = "[the credential]"


class Explained(NamedTuple):
    """What would become of a request: `outgoing`, or `answer` given here. `notes` are the reasons."""

    outgoing: Outgoing | None
    answer: Answer | None
    notes: tuple[str, ...]


def explain(providers: Providers, method: str, target: str, fields: Fields, body: bytes) -> Explained:
    """What the gateway would do with a request of a client; `fields` are its header fields."""
    head = Head(method, target, callers.read(target, fields), fields)
    notes: list[str] = []
    try:
        heads.check(method.encode(), target.encode(), fields)
        return _sent(providers, head, body, notes)
    except Refusal as refusal:
        dialect = DIALECTS[head.caller.dialect]
        return Explained(None, Answer(refusal.status, dialect.refusal(refusal), dict(refusal.headers)), tuple(notes))


def _sent(providers: Providers, head: Head, body: bytes, notes: list[str]) -> Explained:
    provider = providers.only
    if provider is None:
        assert providers.router
        choice = providers.router.choose(head)
        if choice is None:
            choice = pipeline.chosen(providers.router, head, body)
        notes.append(choice.note)
        if isinstance(choice, Listing):
            return Explained(None, Answer(200, choice.body), tuple(notes))
        provider, head = choice.provider, choice.head
    found = pipeline.requestheaders(provider, head)
    done = pipeline.request(found, head, body) if isinstance(found, NeedsBody) else found
    notes += done.notes
    if isinstance(done, Answer):
        return Explained(None, done, tuple(notes))
    return Explained(pipeline.outgoing(provider, head, done, None, body), None, tuple(notes))


def lines(explained: Explained, body: bytes) -> list[str]:
    """The request or the answer, and the reasons, as lines. `body` is the client's own."""
    if explained.outgoing is not None:
        shown = _request(explained.outgoing, body)
    else:
        assert explained.answer is not None
        answer = explained.answer
        shown = [f"nothing is sent; the answer is {answer.status}:", "", *document_lines(json.loads(answer.body))]
    why = [f"  {printable(note)}" for note in explained.notes if note]
    return [*shown, *([""] if why else []), *why]


def _request(outgoing: Outgoing, body: bytes) -> list[str]:
    upstream = outgoing.upstream
    target = outgoing.redacted_target or outgoing.target
    sent = body if outgoing.body is None else outgoing.body
    fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in outgoing.fields}
    message = Message(upstream.method, target, fields, sent)
    head = [f"  {printable(name)}: {_value(outgoing, name, value)}" for name, value in fields.items()]
    return [
        f"{upstream.method} {upstream.origin}{printable(target)}",
        *head,
        *(["", *message.lines([])[2:]] if sent else []),
    ]


def _value(outgoing: Outgoing, name: str, value: str) -> str:
    return _HIDDEN if _is_secret(outgoing, name) else printable(value)


def _is_secret(outgoing: Outgoing, name: str) -> bool:
    key = name.lower().encode("latin-1")
    return key in outgoing.secret_fields or is_secret_field(key)


def curl(outgoing: Outgoing, body: bytes) -> str:
    """The upstream request as a line for a shell, with `$CREDENTIAL` for what is secret."""
    upstream = outgoing.upstream
    sent = body if outgoing.body is None else outgoing.body
    secret = {name for name, _ in outgoing.fields if _is_secret(outgoing, name.decode("latin-1"))}
    target = outgoing.redacted_target or outgoing.target
    return curl_line(upstream.method, str(upstream.origin), target, outgoing.fields, sent, secret)


def curl_line(method: str, origin: str, target: str, fields: Fields, body: bytes, secret: Collection[bytes]) -> str:
    """A request as a line for a shell; `secret` are the names of header fields that hold a credential.

    Where one stands, in a field or in the query, the line has `$CREDENTIAL`; all else is quoted.
    """
    parts = ["curl", "-X", shlex.quote(method)]
    for name, value in fields:
        text, word = name.decode("latin-1"), value.decode("latin-1")
        if text.lower() in _NOT_FOR_CURL:
            continue
        if name in secret:
            scheme = "Bearer " if word.startswith("Bearer ") or text.lower() == "authorization" else ""
            parts.append(f"-H {_shell(f'{text}: {scheme}', '')}")
        else:
            parts.append(f"-H {shlex.quote(f'{text}: {word}')}")
    if body:
        try:
            parts.append(f"--data-raw {shlex.quote(body.decode())}")
        except UnicodeDecodeError:
            parts.append("--data-binary @BODY")
    path, query = split_query(target)
    hidden = [_hidden(parameter) for parameter in query.split("&")]
    return " ".join([*parts, _shell(*f"{origin}{join_query(path, '&'.join(hidden))}".split(_HOLE))])


_HOLE: Final = "\0"
_NOT_FOR_CURL: Final = frozenset(("host", "content-length", "accept-encoding", "connection"))


def _hidden(parameter: str) -> str:
    """A parameter of a query, with a hole for a credential; Google's clients send their key as `key`."""
    name, equals, _ = parameter.partition("=")
    return f"{name}={_HOLE}" if equals and (name == "key" or is_credential(name)) else parameter


def _shell(*texts: str) -> str:
    """Texts in quotes of a shell, with the variable between them."""
    return f'"{CREDENTIAL}"'.join(shlex.quote(text) if text else "" for text in texts)
