"""A proxy for a whole module or session, alone and beside that of a test."""

from __future__ import annotations

import json

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]

APPLICATION = """
import pytest
from client import Client

# An application that is started once and keeps the address that it was given.
@pytest.fixture(scope="session")
def application(ai_proxy_session):
    application = Client(ai_proxy_session.url)
    yield application
    application.close()
"""
TESTS = """
import os
import pytest
from client import Client

@pytest.fixture(scope="module")
def first(application):
    return application.create("in a fixture").json()["id"]

def test_one(application, first):
    assert application.ask("GET", f"/v1/videos/{first}").status == 200

def test_between_has_its_own(application, ai_proxy, ai_proxy_session):
    assert ai_proxy.url == ai_proxy_session.url
    before = len(ai_proxy_session.requests)
    assert application.create("in a test").status == 200
    assert (len(ai_proxy.requests), len(ai_proxy_session.requests)) == (1, before)

def test_other(application, first):
    # The simulated provider still knows the job.
    assert application.ask("GET", f"/v1/videos/{first}").status == 200

class TestOfModule:
    def test_module(self, application, ai_proxy_module, ai_proxy_session):
        assert application.create("in the module").status == 200
        assert ai_proxy_module.cassette.path.name == "ai_proxy_module.har"
        assert [request.json()["prompt"] for request in ai_proxy_module.requests] == ["in the module"]

    def test_module_again(self, application, ai_proxy_module):
        assert len(ai_proxy_module.requests) == 1
"""
MISSES = """
import pytest

def test_gets_over_it(application):
    assert application.create("not recorded").status == 400

def test_is_not_blamed(application):
    pass

@pytest.fixture
def late(application):
    yield
    application.create("not recorded either")

def test_fixture_asks_at_its_end(late):
    pass

def test_is_not_blamed_either(application):
    pass
"""


def test_a_proxy_of_a_session_serves_an_application_that_lives_as_long(project: Project) -> None:
    project.write(conftest=APPLICATION, test_app=TESTS)
    recorded = project.run("--ai-record=once", "--ai-simulate")
    recorded.assert_outcomes(passed=5)
    recorded.stdout.fnmatch_lines(["5 recorded; recording cost nothing"])
    folder = "cassettes/test_app"
    assert project.cassettes() == {
        "cassettes/ai_proxy_session.har",
        f"{folder}/test_between_has_its_own.har",
        f"{folder}/ai_proxy_module.har",
    }
    document = json.loads((project.path / "cassettes/ai_proxy_session.har").read_text())
    assert [entry["request"]["method"] for entry in document["log"]["entries"]] == ["POST", "GET", "GET"]

    project.write(test_misses=MISSES)
    result = project.run("--ai-strict")
    result.assert_outcomes(passed=8, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_fixture_asks_at_its_end*",
            "This is not in cassettes/ai_proxy_session.har (mode none), so it was not sent:",
            "*_ test_gets_over_it _*",
            "This is not in cassettes/ai_proxy_session.har (mode none), so it was not sent:",
            '*recorded "in a fixture", came "not recorded"',
            "5 replayed, 2 missed; replaying saved * (simulated)",
            "cassettes/ai_proxy_session.har: 2 missed",
        ]
    )
