"""OpenAI's SDKs, unmodified, on the job platform: more jobs than slots, lists, files, deletion, webhooks."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from tests.forked import ForkedProgram
from tests.sdk import openai_video
from tests.sdk.conftest import MakePicture, sdks_of
from tests.sdk.sdk import BASE, EACH, NODE, PYTHON, File, Sdk, Sdks

SECRET = "whsec_b3VyIG93biBzZWNyZXQgb2YgdGVuYW50"
SLOTS = 2
CONFIG = f"""
provider: {{type: kling}}
simulator: {{speed: 400, concurrency: {SLOTS}, units: 1000}}
platform:
  concurrency: {SLOTS}
  privateReceivers: true
  timing: {{sweep: 0.2}}
  tenants: {{default: {{webhookSecret: {SECRET}}}}}
"""
WEBHOOKS = EACH
"""One client of each version: its async one verifies as the other does."""


class Call(NamedTuple):
    """A webhook as it came."""

    fields: dict[str, str]
    body: str


class Receiver:
    """Takes webhooks on loopback."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                with outer.came:
                    outer.calls.append(Call({name.lower(): value for name, value in self.headers.items()}, body))
                    outer.came.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def about(self, video_id: str) -> Call:
        """The webhook about a video, once it has come."""

        def found() -> Call | None:
            return next((call for call in self.calls if f'"{video_id}"' in call.body), None)

        with self.came:
            assert self.came.wait_for(lambda: found() is not None, 60)
        call = found()
        assert call
        return call

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def platform_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a platform in one process, with two slots and a simulated Kling."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "config.yaml").write_text(CONFIG)
    environment = {name: value for name, value in os.environ.items() if "KLING" not in name}
    process = ForkedProgram(["ai-proxy", "platform", "--port", "0", "--data", "data"], folder, environment)
    with process.stdout:
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            found = re.search(r"curl (http://127\.0\.0\.1:\d+)/", lines[2])
            assert found, lines
            yield f"{found[1]}{BASE}"
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def sdk(request: pytest.FixtureRequest, sdks: Sdks, platform_url: str) -> Sdk:
    return sdks.sdk(request.param, platform_url)


def _finished(sdk: Sdk, video_id: str) -> dict[str, Any]:
    """A video once it is finished; Node's SDK has no helper for that."""
    tick = threading.Event()
    for _ in range(600):
        video = sdk.call("retrieve", video_id=video_id).video
        if video["status"] in ("completed", "failed"):
            return video
        tick.wait(0.1)
    raise AssertionError(f"{video_id} did not finish")


@pytest.mark.parametrize("sdk", sdks_of(EACH), indirect=True)
def test_more_creates_than_slots_all_become_videos(sdk: Sdk) -> None:
    prompt = f"a cat, by {sdk.variant.name}"
    created = sdk.with_client(max_retries=0).together(SLOTS + 2, "create", prompt=prompt, seconds="4")
    videos = [_finished(sdk, outcome.video["id"]) for outcome in created]

    assert len({video["id"] for video in videos}) == SLOTS + 2
    for outcome, video in zip(created, videos, strict=True):
        openai_video.check(outcome.video)
        openai_video.check(video)
        assert (video["status"], video["prompt"], video["seconds"]) == ("completed", prompt, "4")
    content = sdk.call("download_content", video_id=videos[0]["id"]).content
    assert content[4:8] == b"ftyp"


@pytest.mark.parametrize("sdk", sdks_of(PYTHON), indirect=True)
def test_create_and_poll_gives_the_finished_video(sdk: Sdk) -> None:
    video = sdk.call("create_and_poll", prompt="a paper boat", seconds="8", size="1280x720", model="sora-2").video

    openai_video.check(video)
    assert (video["status"], video["model"], video["size"]) == ("completed", "sora-2", "1280x720")


@pytest.mark.parametrize("sdk", sdks_of((PYTHON[0], NODE[0])), indirect=True)
def test_a_picture_is_sent_as_a_file(sdk: Sdk, picture: MakePicture) -> None:
    file = File("mime", picture(), "image/png")
    video = sdk.call("create", prompt="it moves", input_reference=file).video

    assert _finished(sdk, video["id"])["status"] == "completed"


@pytest.mark.parametrize("sdk", sdks_of((PYTHON[0], PYTHON[1], NODE[0])), indirect=True)
def test_lists_go_in_both_orders_across_pages_and_lose_what_is_deleted(sdk: Sdk) -> None:
    made = [sdk.call("create", prompt=f"list {number}").video["id"] for number in range(3)]

    def listed(**given: Any) -> list[str]:
        return [video["id"] for video in sdk.call("list", limit=2, **given).value]

    down, up = listed(), listed(order="asc")
    assert down == up[::-1]
    assert [video_id for video_id in up if video_id in made] == made
    _finished(sdk, made[1])
    deleted = sdk.call("delete", video_id=made[1]).value
    assert (deleted["id"], deleted["object"], deleted["deleted"]) == (made[1], "video.deleted", True)
    assert made[1] not in listed()
    failure = sdk.call("retrieve", video_id=made[1]).error
    assert (failure.kind, failure.code) == ("NotFoundError", "not_found")


@pytest.mark.parametrize("sdk", sdks_of((PYTHON[0], NODE[0])), indirect=True)
def test_a_wrong_field_raises_what_it_does_at_openai(sdk: Sdk) -> None:
    failure = sdk.call("create", prompt="x", size="1x1").error

    assert (failure.kind, failure.status_code, failure.param) == ("BadRequestError", 400, "size")
    assert failure.request_id
    unready = sdk.call("download_content", video_id=sdk.call("create", prompt="not yet").video["id"])
    assert unready.failure is None or unready.failure.kind == "NotFoundError"


@pytest.mark.parametrize("sdk", sdks_of((PYTHON[0], NODE[0])), indirect=True)
def test_a_remix_is_a_video_of_its_own(sdk: Sdk) -> None:
    source = _finished(sdk, sdk.call("create", prompt="a fox").video["id"])
    remix = sdk.call("remix", video_id=source["id"], prompt="in the snow").video

    assert remix["remixed_from_video_id"] == source["id"]
    assert _finished(sdk, remix["id"])["status"] == "completed"


@pytest.mark.parametrize("sdk", sdks_of(WEBHOOKS), indirect=True)
def test_unwrap_verifies_our_webhooks_and_nothing_that_was_changed(sdk: Sdk, receiver: Receiver) -> None:
    video_id = sdk.call("create", prompt="tell me", extra={"callback_url": receiver.url}).video["id"]
    call = receiver.about(video_id)

    def unwrapped(body: str, secret: str = SECRET) -> Any:
        return sdk.call("webhooks.unwrap", payload=body, fields=call.fields, secret=secret)

    event = unwrapped(call.body).value
    assert (event["type"], event["data"]["id"], event["object"]) == ("video.completed", video_id, "event")
    assert unwrapped(call.body + " ").error.kind == "InvalidWebhookSignatureError"
    other = "whsec_dGhlIHNlY3JldCBvZiBsYXN0IG1vbnRo"
    assert unwrapped(call.body, other).error.kind == "InvalidWebhookSignatureError"
