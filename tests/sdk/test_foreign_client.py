"""klingai-api from PyPI, an independent client of Kling, with the simulator alone and inside the proxy."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.media import png
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, SECRET_KEY, SimulatorSettings
from tests.e2e.conftest import Proxies
from tests.e2e.proxy import DEADLINE
from tests.sdk import cache, python_sdk
from tests.sdk.worker import Ask
from tests.simulator.test_server import serving

VERSION = "0.1.0"
# Those of its dependencies that its module `api` imports. It requires Python 3.14, but works with 3.11.
PACKAGES = (
    f"klingai-api=={VERSION}",
    "requests==2.32.5",
    "requests-toolbelt==1.0.0",
    "PyJWT==2.12.1",
    "urllib3==2.6.3",
    "idna==3.11",
    "certifi==2026.2.25",
    "charset-normalizer==3.4.4",
)
PRO = {"model_name": "kling-v2-6", "mode": "pro"}
LONGEST = 400
"""Seconds after which each task of these tests is done at Kling's speed."""


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    fill = cache.python("--no-deps", "--ignore-requires-python", *PACKAGES)
    running = python_sdk.in_folder(lambda: cache.folder(f"klingai-api-{VERSION}", fill))
    yield running.script("klingai_worker")
    running.close()


class Client:
    """The client, with an account at a base URL."""

    def __init__(self, ask: Ask, base: str, secret: str = SECRET_KEY) -> None:
        self._ask = ask
        self.base = base
        self._account = {"base": base, "access_key": ACCESS_KEY, "secret_key": secret}

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call: value or error."""
        answer = self._ask({"method": method, "arguments": arguments, **self._account})
        assert isinstance(answer, dict)
        return answer

    def data(self, method: str, **arguments: Any) -> Any:
        """`data` of an answer, which has to be a success."""
        answer = self.call(method, **arguments)
        assert "value" in answer, answer
        assert (answer["value"]["code"], answer["value"]["message"]) == (0, "SUCCEED")
        return answer["value"]["data"]

    def download(self, url: str, path: Path) -> Path:
        """Save the file of a link, which has to begin with the base URL."""
        assert url.startswith(f"{self.base}/simulated/")
        answer = self.call("download", url=url, path=str(path))
        assert "value" in answer, answer
        assert answer["value"] == path.stat().st_size
        return path


class Kling:
    """A simulator as a server, and the skew of its clock."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.simulator = Simulator(SimulatorSettings(speed=1), lambda: time.time() + self.ahead)


@pytest.fixture
def kling() -> Kling:
    return Kling()


@pytest.fixture
def client(kling: Kling, ask: Ask) -> Iterator[Client]:
    """A client of the simulator."""
    with serving(kling.simulator) as address:
        yield Client(ask, f"http://{address}")


def _check_video(path: Path, seconds: str, size: tuple[int, int]) -> None:
    """Check that a file is an MP4 of this size, with the length in the answer."""
    assert path.read_bytes()[4:8] == b"ftyp"
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        return
    command = [ffprobe, "-v", "error", "-of", "json", "-show_entries", "stream=codec_type,width,height:format=duration"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    (stream,) = [stream for stream in found["streams"] if stream["codec_type"] == "video"]
    assert (stream["width"], stream["height"]) == size
    assert float(found["format"]["duration"]) == pytest.approx(float(seconds), abs=0.001)


def test_a_video_is_made_out_of_text_and_downloaded(client: Client, kling: Kling, tmp_path: Path) -> None:
    created = client.data("text2video", prompt="a cat", external_task_id="mine", **PRO)
    assert created["task_status"] == "submitted"
    seen = [client.data("get_text2video", task_id=created["task_id"])["task_status"]]
    kling.ahead = 10
    seen.append(client.data("get_text2video", task_id=created["task_id"])["task_status"])
    kling.ahead = LONGEST
    task = client.data("get_text2video", task_id=created["task_id"])
    assert [*seen, task["task_status"]] == ["submitted", "processing", "succeed"]
    (video,) = task["task_result"]["videos"]

    assert video["duration"] == "5.041"
    assert client.data("get_text2video", task_id="mine") == task
    _check_video(client.download(video["url"], tmp_path / "cat.mp4"), "5.041", (1920, 1080))


def test_a_video_is_made_out_of_a_picture_and_has_its_shape(client: Client, kling: Kling, tmp_path: Path) -> None:
    picture = base64.b64encode(png.make(600, 400, ["A"], "a")).decode()
    created = client.data("image2video", image=picture, prompt="a cat", duration="10", **PRO)
    kling.ahead = LONGEST
    task = client.data("get_image2video", task_id=created["task_id"])
    (video,) = task["task_result"]["videos"]

    assert task["task_status"] == "succeed"
    assert video["duration"] == "10.041"
    _check_video(client.download(video["url"], tmp_path / "cat.mp4"), "10.041", (1620, 1080))


def test_tasks_are_listed_in_pages_newest_first(client: Client) -> None:
    made = [client.data("text2video", prompt=prompt, **PRO)["task_id"] for prompt in ("a", "b", "c")]
    pages = [client.data("list_text2video", page_num=number, page_size=2) for number in (1, 2, 3)]

    assert [[task["task_id"] for task in page] for page in pages] == [[made[2], made[1]], [made[0]], []]
    assert client.data("list_image2video") == []


def test_a_wrong_secret_is_its_own_exception_for_that(client: Client, ask: Ask) -> None:
    stranger = Client(ask, client.base, "not-the-secret-key-0123456789abcdef")

    assert stranger.call("text2video", prompt="a cat", **PRO) == {"error": {"kind": "BadCredentials"}}
    assert client.data("list_text2video") == []


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"model_name": "kling-v1"}, 404, 1203),
        ({"model_name": "kling-v2-5"}, 400, 1201),
        ({"mode": "professional"}, 400, 1201),
        ({"cfg_scale": 5}, 400, 1201),
        ({"prompt": "a cat [simulate:1301]"}, 400, 1301),
        ({"prompt": "a cat [simulate:1303]"}, 429, 1303),
        ({"prompt": "a cat [simulate:5001]"}, 503, 5001),
    ],
)
def test_a_refusal_is_an_http_error(wrong: dict[str, Any], status: int, code: int, client: Client) -> None:
    error = client.call("text2video", **{"prompt": "a cat", **PRO, **wrong})["error"]

    assert (error["kind"], error["status"], error["body"]["code"]) == ("HTTPError", status, code)
    assert client.data("list_text2video") == []


def test_a_task_that_failed_says_why(client: Client, kling: Kling) -> None:
    created = client.data("text2video", prompt="a cat [simulate:failed=No cats today]", **PRO)
    kling.ahead = LONGEST
    task = client.data("get_text2video", task_id=created["task_id"])

    assert (task["task_status"], task["task_status_msg"]) == ("failed", "No cats today")
    assert task["task_result"] == {}


def test_a_lost_answer_is_its_connection_error(client: Client) -> None:
    answer = client.call("text2video", prompt="a cat [simulate:lost]", external_task_id="mine", **PRO)

    assert answer == {"error": {"kind": "ConnectionError"}}
    assert client.data("get_text2video", task_id="mine")["task_status"] == "submitted"


def test_through_the_proxy_a_video_is_made_and_downloaded(ask: Ask, tmp_path: Path) -> None:
    proxies = Proxies(tmp_path)
    try:
        config = "provider: {type: kling}\nsimulator: {speed: 1000}"
        proxy = proxies.start(config, "--set", "ai_simulate=true")
        # The proxy has the account; the client's own credential is ignored.
        client = Client(ask, f"http://127.0.0.1:{proxy.port}", "a-secret-of-somebody-0123456789abcdef")
        created = client.data("text2video", prompt="a cat", **PRO)
        until = time.monotonic() + DEADLINE
        task = created
        while task["task_status"] in ("submitted", "processing"):
            assert time.monotonic() < until, task
            task = client.data("get_text2video", task_id=created["task_id"])
        (video,) = task["task_result"]["videos"]

        assert task["task_status"] == "succeed"
        _check_video(client.download(video["url"], tmp_path / "cat.mp4"), "5.041", (1920, 1080))
        assert [item["task_id"] for item in client.data("list_text2video")] == [created["task_id"]]
    finally:
        proxies.close()
