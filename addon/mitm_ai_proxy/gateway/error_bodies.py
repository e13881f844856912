"""Logs the bodies of a provider's errors (`logUpstreamErrorResponseBody`), without its credential."""

from __future__ import annotations

import logging
from typing import Final

from mitmproxy import http

from ..wire.printable import printable
from . import flows
from .flows import FlowState

logger = logging.getLogger(__name__)

LONGEST: Final = 16 * 1024
"""Bytes of a body that are logged. Source: Higress ai-proxy plugin."""


def log(flow: http.HTTPFlow, state: FlowState) -> None:
    """Log the answer of a flow, if it is an error of a provider that wants so; call it before it is rewritten."""
    response, provider = flow.response, state.provider
    if response is None or provider is None or not provider.keys.log_upstream_error_response_body:
        return
    if response.status_code < 400 or state.is_refused:
        return
    body = response.get_content(strict=False) or b""
    if state.mask:
        body = state.mask.mask(body)
    cut = f" (the first {LONGEST} of {len(body)} bytes)" if len(body) > LONGEST else ""
    logger.warning(
        "ai-proxy: %s from %s for %s, x-request-id %s%s: %s",
        response.status_code,
        state.name or provider.type,
        flows.describe(flow),
        printable(response.headers.get("x-request-id", "-")),
        cut,
        printable(body[:LONGEST].decode("utf-8", "replace")),
    )
