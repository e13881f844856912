"""The context manager of mitm_ai_proxy.testing, in tests of unittest and Django, without pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]

TESTS = """
import json
import pathlib
import sys
import unittest

import mitm_ai_proxy.testing

assert not {"pytest", "mitmproxy", "msgspec"} & sys.modules.keys()
sys.modules["pytest"] = None  # so that no import of it succeeds

from mitm_ai_proxy.testing import Failure, Unusable, proxy
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

open_url = build_opener(ProxyHandler({})).open

def create(ai_proxy, prompt):
    body = json.dumps({"model": "kling-v3", "prompt": prompt, "seconds": "5"}).encode()
    headers = {"Content-Type": "application/json", "X-Stainless-Lang": "python"}
    try:
        return open_url(Request(ai_proxy.base_url + "/videos", body, headers)).status
    except HTTPError as error:
        return error.code

class Clips(unittest.TestCase):
    def test_modes_are_those_of_the_plugin(self):
        for mode in ("once", "none", "rewrite", "none"):
            with self.subTest(mode), proxy("tapes/boat", mode, simulate=True, strict=True) as ai_proxy:
                self.assertEqual(create(ai_proxy, "a boat"), 200)
                self.assertEqual(ai_proxy.requests[0].json()["prompt"], "a boat")
        entry = json.loads(pathlib.Path("tapes/boat.har").read_text())["log"]["entries"][0]
        self.assertIs(entry["_simulated"], True)

    def test_a_miss_is_a_failure_with_the_same_text(self):
        with self.assertRaises(Failure) as caught, proxy("tapes/none.har") as ai_proxy:
            self.assertEqual(create(ai_proxy, "a cat"), 400)
        self.assertIn("There is no cassette tapes/none.har (mode none), so this was not sent:", str(caught.exception))
        self.assertIn('mode="once" records it.', str(caught.exception))
        self.assertIsInstance(caught.exception, self.failureException)

    def test_an_error_gets_a_note(self):
        with self.assertRaises(KeyError) as caught, proxy("tapes/none") as ai_proxy:
            create(ai_proxy, "a cat")
            {}["id"]
        self.assertIn("There is no cassette tapes/none.har", caught.exception.__notes__[0])

    def test_what_cannot_be_used_is_told(self):
        for arguments, text in (
            ({"cassette": "x", "mode": "always"}, "proxy() takes one of none, once, new_"),
            ({"cassette": "x", "failed": "a", "slow": 1}, "proxy() takes one of failed and slow"),
            ({"cassette": "x", "error": 17}, "Kling has no error code 17"),
            ({"cassette": "x", "budget": -1}, "proxy() takes a number of units, from 0 on, as budget"),
            ({"simulate": {"sped": 1}}, "proxy() has no argument sped; did you mean speed?"),
            ({}, "proxy() takes a cassette, or simulate=True"),
            ({"cassette": "x", "mode": "once"}, 'Without one, mode="once", simulate=True records from the simulator'),
            ({"cassette": "x", "config": {"provider": {"type": "klnig"}}}, "did you mean kling?"),
        ):
            with self.subTest(text), self.assertRaises(Unusable) as caught:
                proxy(**arguments).__enter__()
            self.assertIn(text, str(caught.exception))

    def test_one_within_another(self):
        with proxy(simulate=True) as outer:
            self.assertEqual(create(outer, "a cat"), 200)
            with proxy(simulate={"units": 0}) as inner:
                self.assertEqual(create(outer, "a dog"), 429)
            self.assertEqual(create(outer, "an elk"), 200)
        self.assertEqual((len(outer.requests), len(inner.requests)), (2, 1))

    def test_unused(self):
        with proxy("tapes/two", "once", simulate=True) as ai_proxy:
            create(ai_proxy, "one"), create(ai_proxy, "two")
        with self.assertRaisesRegex(Failure, "Not asked for"), proxy("tapes/two", strict=True) as ai_proxy:
            create(ai_proxy, "one")
        with proxy("tapes/two", strict=True, error=1303) as ai_proxy:
            self.assertEqual((create(ai_proxy, "one"), create(ai_proxy, "two")), (429, 429))
"""
DJANGO = """
import django
from django.conf import settings
from django.http import JsonResponse
from django.test import SimpleTestCase
from django.test.utils import setup_test_environment
from django.urls import path
from mitm_ai_proxy.testing import proxy
from test_clips import create

class Origin:
    url = ""

def view(request):
    return JsonResponse({"status": create(Origin.proxy, "from a view")})

urlpatterns = [path("clips/", view)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of this test")
django.setup()
setup_test_environment()

class Views(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Origin.proxy = cls.enterClassContext(proxy("tapes/view", "once", simulate=True))

    def test_view(self):
        self.assertEqual(self.client.get("/clips/").json(), {"status": 200})
"""


def test_unittest_and_django_have_a_proxy_without_pytest(project: Project, plugins: Path) -> None:
    project.write(test_clips=TESTS, test_django=DJANGO)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "-v", "test_clips", "test_django"],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": str(plugins)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 7 tests" in done.stderr
    *_, line, missed = done.stderr.splitlines()
    assert missed == "tapes/none.har: 2 missed"
    assert line.startswith("ai-proxy: 5 replayed, 5 recorded, 3 simulated, 2 missed")
    assert line.endswith("recording cost nothing; replaying saved 9 units, about $1.26 (simulated)")


def test_within_pytest_the_plugin_reports_what_the_context_manager_did(project: Project) -> None:
    project.write(
        test_script="""
        from client import Client
        from mitm_ai_proxy.testing import proxy

        def test_beside_a_fixture(ai_proxy):
            with proxy("boat", "once", simulate=True) as inner:
                client = Client(ai_proxy.url)
                assert client.create("a boat").status == 200
                client.close()
            assert (len(inner.requests), ai_proxy.requests) == (1, [])
        """,
        test_names="""
        import pytest

        @pytest.mark.parametrize("name", ["a/b", "a:b", "c/d"])
        def test_shared(ai_proxy, name):
            assert ai_proxy.cassette.path.name == f"test_shared[{name[0]}-{name[-1]}].har"
        """,
    )
    folder = project.path / "cassettes" / "test_names"
    folder.mkdir(parents=True)
    log = {"version": "1.2", "creator": {"name": "mitm-ai-proxy", "version": "0"}, "_format": 1, "entries": []}
    for name in ("a-b", "c-d"):
        (folder / f"test_shared[{name}].har").write_text(json.dumps({"log": log}))
    result = project.run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*= ai-proxy =*", "1 recorded; recording cost nothing"])
    shared = "cassettes/test_names/test_shared?a-b?.har is also played by test_names.py::test_shared"
    result.stdout.fnmatch_lines([f"{shared}?a/b? (as by *a:b?); --ai-record=once *", f"{shared}?a:b? (as by *a/b?); *"])
    result.stdout.no_fnmatch_line("*c-d*")
    assert "ai-proxy:" not in result.stderr.str()
