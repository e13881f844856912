"""The plugin with several providers and tokens: what is tried again while it is recorded is tried again in a replay."""

from __future__ import annotations

from tests.e2e import moody
from tests.e2e.moody import Moody
from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest

KEYS = {{"retryOnFailure": True, "failover": {{"enabled": True, "failureThreshold": 1}}, "concurrency": 1}}

@pytest.fixture(scope="session")
def ai_proxy_config():
    one = {{"id": "one", "type": "openai", "apiTokens": ["key-a", "key-b"], "providerDomain": "{one}", **KEYS}}
    two = {{"id": "two", "type": "openai", "apiTokens": "key-c", "providerDomain": "{two}", **KEYS}}
    return {{"providers": [one, two], "routes": [{{"path": "/*", "provider": ["one", "two"]}}]}}
"""
TEST = """
import pytest

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

@pytest.mark.parametrize("number", [1, 2, 3])
def test_it(client, ai_proxy, number):
    assert client.ask("POST", "/v1/chat/completions", {**BODY, "n": number}).status == 200
    assert client.ask("POST", "/v1/images/generations", {"model": "m", "prompt": str(number)}).status == 200
    assert not ai_proxy.cassette.misses
"""


def test_tries_are_replayed_whatever_tests_ran_before(project: Project) -> None:
    one, two = Moody(), Moody()
    try:
        one.mood = lambda request: moody.refusal(429, (b"retry-after", b"50"))
        project.write(conftest=CONFTEST.format(one=one.origin, two=two.origin), test_tries=TEST)
        project.run("--ai-record=once").assert_outcomes(passed=3)
        # Both keys of the first provider rest after the first test.
        assert ([request.token for request in one.received], len(two.received)) != ([], 0)
        assert len(one.received) < len(two.received)
        asked = len(one.received), len(two.received)
        project.run("--ai-strict").assert_outcomes(passed=3)
        project.run("--ai-strict", "-k", "3").assert_outcomes(passed=1, deselected=2)
        assert (len(one.received), len(two.received)) == asked
        assert not any("key-" in (project.path / name).read_text() for name in project.cassettes())
    finally:
        one.close()
        two.close()
