"""Logs the bodies of a provider's errors (`logUpstreamErrorResponseBody`), without its credential."""

from __future__ import annotations

import logging
from typing import Final

from .. import pipeline
from ..auth.masking import Mask
from ..errors import Refusal
from ..providers.base import Provider
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.printable import printable

logger = logging.getLogger(__name__)

LONGEST: Final = 16 * 1024
"""Bytes of a body that are logged. Source: Higress ai-proxy plugin."""


def log(
    provider: Provider, status: int, fields: Fields, raw: bytes, mask: Mask | None, name: str, described: str
) -> None:
    """Log an answer, if it is an error of a provider that wants so; call it before it is rewritten.

    `name`: of the provider; `described`: the request.
    """
    if status < 400 or not provider.keys.log_upstream_error_response_body:
        return
    try:
        body = pipeline.decoded(raw, header_fields.value(fields, b"content-encoding"))
    except Refusal:
        body = raw
    if mask:
        body = mask.mask(body)
    cut = f" (the first {LONGEST} of {len(body)} bytes)" if len(body) > LONGEST else ""
    logger.warning(
        "ai-proxy: %s from %s for %s, x-request-id %s%s: %s",
        status,
        name,
        described,
        printable(header_fields.value(fields, b"x-request-id") or "-"),
        cut,
        printable(body[:LONGEST].decode("utf-8", "replace")),
    )
