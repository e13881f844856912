"""Traffic that is only looked at: it passes unchanged, streams as they arrive, and keeps no credential in its flow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mitmproxy import http

from ..auth.header import is_credential, redacted
from ..chat.dialects import DIALECTS, OPENAI
from ..exchange import PASS
from ..view import ai, prices
from ..wire import targets
from . import streams

OPTION: Final = "ai_inspect"


def begin_answer(flow: http.HTTPFlow, may_stream: bool) -> None:
    """Redact the request of an AI API, which has been sent; stream an answer that is a stream, with a copy to show."""
    response = flow.response
    if response is None or not ai.knows(flow.request.path):
        return
    redact(flow)
    streams.begin_answer(flow, response, PASS, DIALECTS[OPENAI], may_stream)


def end_answer(flow: http.HTTPFlow) -> None:
    """Show what was streamed, and say in the comment what it was."""
    response = flow.response
    if response is None or not ai.knows(flow.request.path):
        return
    note = streams.show_stream(response) if response.stream else ""
    spent = ai.spent(flow.request.path, response.get_content(strict=False) or b"")
    cost = ai.spent_text(spent, prices.LIST_PRICES, flow.request.timestamp_start)
    flow.comment = "; ".join(filter(None, (spent.model, cost, note)))


def redact(flow: http.HTTPFlow) -> None:
    """Replace the credentials in header fields and query of a request to an AI API by a placeholder."""
    if ai.knows(flow.request.path):
        headers = flow.request.headers
        headers.fields = redacted(headers.fields, ())
        path, query = targets.split_query(flow.request.path)
        flow.request.path = targets.join_query(path, "&".join(map(_shown, query.split("&"))))


def _shown(parameter: str) -> str:
    """A parameter of a query; Google's clients send their key as `key`."""
    name, equals, _ = parameter.partition("=")
    return f"{name}=redacted" if equals and (name == "key" or is_credential(name)) else parameter


def hints(host: str, port: int, folder: Path) -> str:
    """What to paste, so that an application's traffic passes through the proxy at this address."""
    proxy = f"http://{host}:{port}"
    authority = folder.expanduser() / "mitmproxy-ca-cert.pem"
    return "\n".join(
        (
            "INSPECT: all traffic passes unchanged; chats, jobs and calls of AI APIs are shown. Paste one of:",
            f"  Claude Code  HTTPS_PROXY={proxy} NODE_EXTRA_CA_CERTS={authority} claude",
            f"  Codex        HTTPS_PROXY={proxy} SSL_CERT_FILE={authority} codex",
            f"  Node         NODE_USE_ENV_PROXY=1 HTTPS_PROXY={proxy} NODE_EXTRA_CA_CERTS={authority} node app.js",
            f"  Python       HTTPS_PROXY={proxy} SSL_CERT_FILE={authority} python app.py",
            f"  curl         curl --proxy {proxy} --cacert {authority} https://api.openai.com/v1/models",
        )
    )
