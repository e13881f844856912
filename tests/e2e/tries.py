"""What tests of further tries have in common: requests, how a provider may fail, and configurations."""

from __future__ import annotations

import json
from pathlib import Path

from mitmproxy import http
from mitmproxy.io import FlowReader

from tests.chat import converse
from tests.e2e import moody
from tests.e2e.moody import CLOSE, GARBAGE, RESET, SILENCE, Mood, Moody

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
JSON = {"Content-Type": "application/json"}
CHUNK, DONE = b'data: {"choices": []}\n\n', b"data: [DONE]\n\n"
STREAM = moody.stream(CHUNK, DONE)
OVERLOADED = b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n'
_BOTH = (b"Content-Length", b"Transfer-Encoding")


def _said(kind: bytes, *pieces: bytes) -> Mood:
    return Mood(200, pieces, ((b"content-type", kind),))


FAILURES = {
    "429": moody.refusal(429),
    "500": moody.refusal(500),
    "a long 500": moody.refusal(503, body=b"x" * 300_000),
    "a 500 without its end": moody.refusal(500)._replace(end="close"),
    "closed": CLOSE,
    "reset": RESET,
    "garbage": GARBAGE,
    "a head that is not valid": Mood(
        0, (), (), "close", b"HTTP/1.1 200 OK\r\n%b: 2\r\n%b: chunked\r\n\r\n0\r\n\r\n" % _BOTH
    ),
    "half a body": Mood(200, (b'{"a',), end="close"),
    "half a body, reset": Mood(200, (b'{"a',), end="reset"),
    "an error as the first event": moody.stream(OVERLOADED),
    "an error as the first event, in pieces": moody.stream(b": wait\n\n", OVERLOADED[:20], OVERLOADED[20:], DONE),
    "an exception as the first frame": Mood(
        200,
        (converse.frame("throttlingException", {"message": "no"}, "exception"), b"more"),
        ((b"content-type", b"application/vnd.amazon.eventstream"),),
    ),
    "an error as the first line": _said(b"application/x-ndjson", b'{"error": "no"}\n', b'{"done": true}\n'),
    "an error in a list": _said(b"application/json", b'[{"error": {"code"', b': 503, "message": "no"}}\n', b"]"),
    "an error in a whole answer": _said(b"application/json", b'{"base_resp": {"status_code": 1002}}'),
    "half of the first event": moody.stream(CHUNK[:9], end="close"),
}
SILENT = {"silence": SILENCE, "half of the first event, then silence": moody.stream(CHUNK[:9], end="silence")}
TOKENS = "provider: {{type: openai, apiTokens: [a, b, c], providerDomain: '{}', retryOnFailure: {}}}"
"""One provider with three tokens."""


def in_order(first: Moody, second: Moody, more: str = "", route: str = "{path: /v1/*, provider: [one, two]}") -> str:
    """Two providers, each with a token, which are tried in their order."""
    return (
        "providers:\n"
        f"- {{id: one, type: openai, apiTokens: token-one, providerDomain: '{first.origin}'{more}}}\n"
        f"- {{id: two, type: openai, apiTokens: token-two, providerDomain: '{second.origin}'{more}}}\n"
        f"routes: [{route}]"
    )


def tokens(provider: Moody) -> list[str]:
    """The tokens that have arrived."""
    return [request.token for request in provider.received]


def flows_of(path: Path) -> list[http.HTTPFlow]:
    """Those in a file of mitmproxy's."""
    with path.open("rb") as file:
        return [flow for flow in FlowReader(file).stream() if isinstance(flow, http.HTTPFlow)]
