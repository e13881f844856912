"""Traffic that is only looked at: it passes unchanged, streams as they arrive, and keeps no credential in its flow."""

from __future__ import annotations

import functools
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mitmproxy import ctx, http
from mitmproxy.addonmanager import Loader

from .. import registry
from ..auth.header import redacted, redacted_target
from ..chat.dialects import DIALECTS, OPENAI
from ..exchange import PASS
from ..view import ai, prices
from ..wire.targets import Origin
from . import flows, guard, sealed, streams
from .guard import fail_closed
from .stages import StageError
from .strangers import own_origin

logger = logging.getLogger(__name__)

_LONGEST: Final = 4 * 1024 * 1024
"""Bytes of an answer, also decoded, in which its model and its tokens are looked for."""
_AGENTS: Final = ("anthropic.com", "claude.ai", "claude.com", "openai.com", "chatgpt.com")
"""Domains where agents sign in, ask for settings and report what they do, with the key that they use for chats."""


class Inspected:
    """The addon. While it `is_active`, the gateway handles no flow, and has no configuration."""

    name = "ai_proxy_inspect"
    option: Final = "ai_inspect"

    def __init__(self) -> None:
        self.is_active = False
        self._streams = True

    def declare(self, loader: Loader) -> None:
        """Declare its option: a str, since mitmproxy would silently drop the script for a value that is no bool."""
        loader.add_option(self.option, str, "false", "true: change nothing, use no configuration; show chats and jobs.")

    def set_option(self, busy: Sequence[str], *, is_running: bool) -> None:
        """Apply its option; `busy` are the stages that are active. Raises StageError."""
        value = getattr(ctx.options, self.option)
        if value not in ("true", "false"):
            raise StageError(f"{self.option} takes true or false.")
        if value == str(self.is_active).lower():
            return
        if is_running:
            raise StageError(f"{self.option} can only be set at the start.")
        if busy:
            raise StageError(f"{self.option} changes nothing, so it does not go with {' and '.join(busy)}.")
        self.is_active = True

    def configure(self, updated: set[str]) -> None:
        """Take the option of mitmproxy's that streams are held by."""
        if "stream_large_bodies" in updated:
            self._streams = bool(ctx.options.stream_large_bodies)

    def running(self) -> None:
        """Log what to paste."""
        here = own_origin()
        logger.info("%s", hints(here.host, here.port, Path(ctx.options.confdir)))

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Keep the credentials of a request to an AI API out of its flow; they are sent."""
        request = flow.request
        if flow.live and sealed.is_installed() and _is_api(request):
            origin = Origin(request.scheme, request.host, request.port)
            fields, path = request.headers.fields, request.path
            sealed.seal(flow, origin, fields, path, redacted(fields), redacted_target(path))

    @fail_closed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Redact the request of an AI API, which has been sent; stream an answer that is a stream, with a copy."""
        response = flow.response
        redact(flow)
        if response is None or not ai.knows(flow.request.path):
            return
        streams.begin_answer(flow, response, PASS, DIALECTS[OPENAI], self._streams)

    @fail_closed
    def response(self, flow: http.HTTPFlow) -> None:
        """Show what was streamed, and say in the comment what it was."""
        response = flow.response
        if response is None or not ai.knows(flow.request.path):
            return
        note = streams.show_stream(response) if response.stream else ""
        spent = ai.spent(flow.request.path, flows.content(response, _LONGEST))
        cost = ai.spent_text(spent, prices.LIST_PRICES, flow.request.timestamp_start)
        flow.comment = "; ".join(filter(None, (spent.model, cost, note)))
        flow.metadata[flows.LISTED] = {}

    @fail_closed
    def error(self, flow: http.HTTPFlow) -> None:
        """Redact a flow whose connection broke."""
        redact(flow)

    def stop(self, flow: http.HTTPFlow) -> None:
        """Answer 500 or kill the flow after a hook raised (see fail_closed)."""
        guard.stop(flow, None)


def redact(flow: http.HTTPFlow) -> None:
    """Replace the credentials in header fields and query of a request to an AI API by a placeholder."""
    if _is_api(flow.request):
        sealed.forget(flow)
        headers = flow.request.headers
        headers.fields = redacted(headers.fields)
        flow.request.path = redacted_target(flow.request.path)


def _is_api(request: http.Request) -> bool:
    """Whether a request is one of an AI API: by its path, or by its host, where any path takes the same key."""
    return ai.knows(request.path) or _is_of_vendor(request.pretty_host)


@functools.lru_cache(1024)
def _is_of_vendor(host: str) -> bool:
    name = host.lower().rstrip(".")
    return name in registry.public_hosts() or any(name == domain or name.endswith(f".{domain}") for domain in _AGENTS)


def hints(host: str, port: int, folder: Path) -> str:
    """What to paste, so that an application's traffic passes through the proxy at this address."""
    proxy = f"http://{host}:{port}"
    through = f"HTTPS_PROXY={proxy}"
    authority = shlex.quote(str(folder.expanduser() / "mitmproxy-ca-cert.pem"))
    return "\n".join(
        (
            "INSPECT: all traffic passes unchanged; chats, jobs and calls of AI APIs are shown. Paste one of:",
            f"  Claude Code  {through} NODE_EXTRA_CA_CERTS={authority} claude",
            f"  Codex        {through} SSL_CERT_FILE={authority} codex",
            f"  Node         NODE_USE_ENV_PROXY=1 {through} NODE_EXTRA_CA_CERTS={authority} node app.js"
            "  # Node 22.21, 24 or later",
            f"  Python       {through} SSL_CERT_FILE={authority} REQUESTS_CA_BUNDLE={authority} python app.py",
            f"  curl         curl --proxy {proxy} --cacert {authority} https://api.openai.com/v1/models",
        )
    )
