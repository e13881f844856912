"""What ai.health prints."""

from __future__ import annotations

import re

from mitm_ai_proxy import registry
from mitm_ai_proxy.edges import health_report
from mitm_ai_proxy.routing.health import Place

LONG = "sk-a-token-that-is-long-enough-Zx4Q"


def test_each_token_has_a_line_with_its_state_and_no_secret() -> None:
    text = f"provider: {{type: openai, apiTokens: [{LONG}, short], failover: {{enabled: true, failureThreshold: 1}}}}"
    providers = registry.providers(registry.read(text, {}))
    health = providers.health
    health.fail(Place("", 0), "500", is_providers=False)
    health.rest_for(Place("", 1), 20, "429, Retry-After 20 s")
    title, first, second = health_report.lines(providers)
    assert title == "openai at https://api.openai.com: in use"
    assert re.fullmatch(
        r"  token 1 \(\.\.\.Zx4Q\): left out since \d\d:\d\d:\d\d \(500\), tried again in (60|59) s", first
    )
    assert re.fullmatch(r"  token 2 \(\.\.\.\): in use, rests for (20|19) s \(429, Retry-After 20 s\)", second)
