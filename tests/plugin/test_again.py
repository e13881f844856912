"""Recording again, in a separate run of pytest, at a provider that remembers the names of all creates before."""

from __future__ import annotations

import json

from tests.plugin.conftest import Project, Provider

pytest_plugins = ["pytester"]

SUITE = """
import json
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

SDK = {"Content-Type": "application/json", "X-Stainless-Lang": "python"}
KEYED = {**SDK, "Idempotency-Key": "an order of a shop"}

class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

def make(proxy, headers, retries=0):
    body = json.dumps({"model": "kling-v3", "prompt": "equal"}).encode()
    headers = {**headers, "X-Stainless-Retry-Count": str(retries)}
    try:
        with build_opener(Stay).open(Request(proxy.url + "/v1/videos", body, headers)) as answer:
            return answer.status, json.loads(answer.read())["id"]
    except HTTPError as error:
        return error.code, error.headers["Location"]

def test_one(ai_proxy):
    assert make(ai_proxy, SDK)[0] == 200

def test_equal_in_another_test(ai_proxy):
    assert make(ai_proxy, SDK)[0] == 200

def test_two_equal_ones(ai_proxy):
    assert make(ai_proxy, SDK) != make(ai_proxy, SDK)

def test_with_a_key(ai_proxy):
    assert make(ai_proxy, KEYED)[0] == 200

def test_a_repetition_is_paid_once(ai_proxy):
    assert make(ai_proxy, KEYED)[0] == 200
    status, location = make(ai_proxy, KEYED, retries=1)
    assert (status, location.startswith("/v1/videos/")) == (303, True)
"""


def test_each_recording_and_each_test_buys_anew_and_replays(recording: Project, provider: Provider) -> None:
    recording.write(test_again=SUITE)
    posts = []
    for mode in ("once", "rewrite", "all"):
        provider.asked.clear()
        recording.run(f"--ai-record={mode}").assert_outcomes(passed=5)
        posts.append([asked for asked in provider.asked if asked.startswith("POST")])
        tasks = [task for path in recording.cassettes() for task in _created((recording.path / path).read_text())]
        # Of the repetition there is the first create only.
        assert len(tasks) == len(set(tasks)) == 6
    assert {len(asked) for asked in posts} == {7}

    provider.close()
    recording.run().assert_outcomes(passed=5)


def _created(text: str) -> list[str]:
    """The ids of the tasks that a cassette's creates made."""
    entries = json.loads(text)["log"]["entries"]
    answers = [json.loads(entry["response"]["content"]["text"]) for entry in entries]
    assert {entry["response"]["status"] for entry in entries} <= {200, 400}
    return [answer["data"]["task_id"] for answer in answers if "data" in answer]
