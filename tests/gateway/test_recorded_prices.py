"""The recording stage writes the provider's prices into the cassette."""

from __future__ import annotations

from pathlib import Path

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.gateway.recorded import Recorded
from tests.cassette.charges import DONE, poll_entry

PROVIDERS = {
    "kling": "provider: {type: kling, apiTokens: [a-key-of-nobody]}",
    "generic": "provider: {type: generic, genericHost: 'https://gateway.test'}",
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_exchange_is_recorded_with_what_it_cost(provider: str, tmp_path: Path) -> None:
    recorded, configuration = Recorded(), registry.read(PROVIDERS[provider], {})
    recorded.insert(Opening(tmp_path / "a.har", Mode.ALL))
    recorded.prepare(configuration, registry.providers(configuration))()
    assert recorded.cassette
    recorded.cassette.record(poll_entry(DONE))
    assert [(entry.units, entry.price) for entry in recorded.cassette.recorded] == [(3.0, 0.42)]
