"""The upstream request of a body, for tests of what is always sent."""

from __future__ import annotations

from mitm_ai_proxy import pipeline
from mitm_ai_proxy.exchange import Head, NeedsBody, Upstream


def rewritten(needs: NeedsBody, body: bytes) -> Upstream:
    """The request with a body, which is not answered here."""
    found = needs.rewrite(body)
    assert isinstance(found, Upstream)
    return found


def requested(needs: NeedsBody, head: Head, raw: bytes) -> Upstream:
    """The same, with the body as it was sent."""
    found = pipeline.request(needs, head, raw)
    assert isinstance(found, Upstream)
    return found
