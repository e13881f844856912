"""Whatever clients and providers send, the core sends it to the right place or refuses it, and shows no secret.

The way of a request through the core as both edges take it, without sockets and flows, so that many can be tried.
"""

from __future__ import annotations

import contextlib
import json
import re
from random import Random
from typing import Final
from urllib.parse import unquote_to_bytes

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth.masking import mask_of
from mitm_ai_proxy.chat.dialects import DIALECTS
from mitm_ai_proxy.edges import streaming
from mitm_ai_proxy.edges.streaming import Translation
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Head, Pieces, Upstream, Whole
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.routing.providers import Providers
from mitm_ai_proxy.routing.rules import Choice, Listing
from mitm_ai_proxy.server import fields as head_fields
from mitm_ai_proxy.wire import head as heads
from mitm_ai_proxy.wire.json_edit import JSONError
from tests.hostile import configurations, test_chats, traffic
from tests.hostile.configurations import MEMBERS, SECRETS, TOKEN
from tests.hostile.inputs import Inputs, mutated
from tests.hostile.traffic import CLIENT_KEY, Answered, Asked

CHAT_PATHS: Final = (b"/v1/chat/completions", b"/v1/messages", b"/v1/messages?beta=true")
_TOKENS: Final = {"apiTokens": [*SECRETS[2:]]}
CHATS: Final = [
    registry.read({"provider": provider}, {})
    for provider in (
        *({"type": kind} | _TOKENS for kind in ("gemini", "qwen", "cohere", "minimax", "ollama", "zhipuai", "dify")),
        {"type": "claude", "modelMapping": {"*": "claude-opus-4-8"}} | _TOKENS,
        {"type": "bedrock", "awsAccessKey": SECRETS[0], "awsSecretKey": SECRETS[1], "awsRegion": "us-east-1"},
    )
]
SHORTEST: Final = 8
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET: Final = re.compile(rb"/(?!/)[^\x00-\x20\x7f]*")
_TURNS: Final = {b".", b".."}
_BROKEN: Final = re.compile(rb"[\r\n\0]")


def test_no_exchange_of_the_core_fails_goes_astray_or_shows_a_secret(inputs: Inputs) -> None:
    configured = [registry.providers(configuration) for configuration in [*configurations.read(), *CHATS]]
    for random in inputs.of(300):
        asked = traffic.request(random) if random.random() < 0.6 else _chat(random)
        answered = _chat_answer(random) if asked.target in CHAT_PATHS else traffic.answer(random)
        for providers in random.sample(configured, 5):
            _exchange(random, providers, asked, answered, inputs)


def _exchange(random: Random, providers: Providers, asked: Asked, answered: Answered, inputs: Inputs) -> None:
    """A request through one configuration: what is sent of it, and what the client gets for a provider's answer."""
    inputs.tally["exchanges"] += 1
    head = Head("GET", "/")
    try:
        heads.check(asked.method, asked.target, asked.fields)
        target = asked.target.decode("utf-8", "surrogateescape")
        head = head_fields.head(asked.method.decode(), target, asked.fields, is_tls=False)
        provider, found = _routed(providers, head, asked.body)
        if isinstance(found, Answer):
            inputs.tally["answered here"] += 1
            json.loads(found.body)
            return
        outgoing = pipeline.outgoing(provider, head, found, head.fields, asked.body)
    except Refusal as refusal:
        inputs.tally["refused"] += 1
        _check_refusal(refusal, head)
        return
    inputs.tally["sent"] += 1
    _check_sent(outgoing, provider, asked)
    _answered(random, provider, outgoing, head, answered)


def _chat(random: Random) -> Asked:
    """A chat, perhaps with damage."""
    asked = traffic.request(random)._replace(method=b"POST", target=random.choice(CHAT_PATHS))
    body = random.choice((test_chats.REQUEST, test_chats.OWN))
    if random.random() < 0.5:
        body = mutated(random, body, test_chats.WORDS, 3)
    fields = [field for field in asked.fields if not field[0].lower().startswith((b"content-", b"transfer-"))]
    fields += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    return asked._replace(body=body, fields=tuple(fields))


def _chat_answer(random: Random) -> Answered:
    """A stream or an answer of some vendor's, perhaps with damage."""
    is_stream = random.random() < 0.6
    body = random.choice(list(test_chats.STREAMS.values()) if is_stream else test_chats.ANSWERS)
    if random.random() < 0.6:
        body = mutated(random, body, test_chats.WORDS, 4)
    kind = b"text/event-stream" if is_stream else b"application/json"
    if is_stream and body.startswith(b"\x00\x00"):
        kind = b"application/vnd.amazon.eventstream"
    status = random.choice((200, 200, 200, 400, 429, 500))
    return Answered(b"HTTP/1.1", status, b"OK", ((b"Content-Type", kind),), traffic.pieces(random, body))


def _routed(providers: Providers, head: Head, body: bytes) -> tuple[Provider, Upstream | Answer]:
    choice: Choice | Listing | None
    if providers.only:
        choice = Choice(providers.only, "", head, tuple(providers.by_id))
    else:
        assert providers.router
        choice = providers.router.choose(head) or pipeline.chosen(providers.router, head, body)
        if isinstance(choice, Listing):
            return providers.main, Answer(200, choice.body)
    provider, head = choice.provider, choice.head
    return provider, pipeline.rewritten(provider, head, body)


def _check_refusal(refusal: Refusal, head: Head) -> None:
    assert 400 <= refusal.status < 500, refusal
    assert CLIENT_KEY not in refusal.message
    dialect = DIALECTS[head.caller.dialect]
    document = json.loads(dialect.refusal(refusal))
    error = document.get("error", document)
    assert set(error) == MEMBERS[dialect.name]
    assert error["message"]


def _check_sent(outgoing: Outgoing, provider: Provider, asked: Asked) -> None:
    upstream, keys = outgoing.upstream, provider.keys
    assert upstream.origin in provider.origins
    assert TOKEN.fullmatch(upstream.method.encode())
    target = outgoing.target.encode("utf-8", "surrogateescape")
    assert _TARGET.fullmatch(target), target
    path, base = target.partition(b"?")[0], keys.provider_base_path.encode()
    assert path == base or path.startswith(base + b"/"), path
    assert not _TURNS & set(re.split(rb"[/\\]", unquote_to_bytes(path))), path
    names = [name.lower() for name, _ in outgoing.fields]
    for name, value in outgoing.fields:
        assert TOKEN.fullmatch(name), name
        assert not _CONTROL.search(value), (name, value)
    hosts = [value for name, value in outgoing.fields if name.lower() == b"host"]
    assert hosts == [upstream.origin.authority.encode()]
    body = asked.body if outgoing.body is None else outgoing.body
    lengths = [value for name, value in outgoing.fields if name.lower() == b"content-length"]
    assert lengths in ([], [b"%d" % len(body)]), (lengths, len(body))
    assert names.count(b"authorization") <= 1 or not provider.withholds_credential
    if provider.has_credential:
        whole = target + repr(outgoing.fields).encode()
        assert outgoing.secrets
        assert all(secret in whole for secret in outgoing.secrets)
        assert not any(CLIENT_KEY.encode() in value for _, value in outgoing.fields)
    shown = repr((upstream, outgoing.redacted_target))
    assert not any(secret in shown for secret in SECRETS), shown


def _answered(random: Random, provider: Provider, outgoing: Outgoing, head: Head, answered: Answered) -> None:
    """Take a provider's answer, which may repeat the credential, and look at what the client gets."""
    # A short one is not masked, as it may be any word.
    sent = [secret for secret in map(_bare, outgoing.secrets) if len(secret) >= SHORTEST]
    secrets = {*map(str.encode, SECRETS), *sent}
    mask = mask_of(outgoing.secrets)
    if sent and random.random() < 0.2:
        answered = _repeating(random, answered, random.choice(sent))
    status, fields = answered.status, head_fields.end_to_end(answered.fields)
    handling = pipeline.responseheaders(provider, outgoing.upstream, status, fields)
    if isinstance(handling, Whole):
        got = b"".join(answered.pieces)
        with contextlib.suppress(JSONError):
            if reply := pipeline.response(handling, status, fields, got):
                status, fields, got = reply.status, reply.fields, reply.body
        if mask:
            fields, got = streaming.masked_whole(mask, fields, got)
        lengths = [value for name, value in fields if name.lower() == b"content-length"]
        assert lengths in ([], [b"%d" % len(got)])
    else:
        pieces = streaming.masked(handling, mask) if isinstance(handling, Pieces) else streaming.passed(mask)
        before, fields = fields, streaming.answer_fields(fields, pieces, is_http1=False)
        fields = mask.fields(fields) if mask else fields
        translation = Translation(pieces, before, fields, DIALECTS[head.caller.dialect], lambda: None)
        got = b"".join(b"".join(translation(piece)) for piece in (*answered.pieces, b""))
    assert 200 <= status < 600
    known = set(answered.fields)
    for name, value in fields:
        assert (name, value) in known or (TOKEN.fullmatch(name) and not _BROKEN.search(value)), (name, value)
    shown = repr(fields).encode() + got
    assert not any(secret in shown for secret in secrets), shown


def _bare(value: bytes) -> bytes:
    """A credential without its scheme."""
    return value.rpartition(b" ")[2]


def _repeating(random: Random, answered: Answered, secret: bytes) -> Answered:
    body = random.choice((b'{"a": "%b"}', b"%b", b"data: %b\n\n")) % secret
    fields = tuple(field for field in answered.fields if field[0] not in (b"Content-Length", b"Content-Encoding"))
    return answered._replace(pieces=traffic.pieces(random, body), fields=(*fields, (b"X-Echo", secret)))
