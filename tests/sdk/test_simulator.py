"""The SDKs with the package's simulator over real sockets: whole jobs, and the faults that may cost money."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, SECRET_KEY, SimulatorSettings
from tests.e2e.conftest import Proxies
from tests.sdk import node, openai_video
from tests.sdk.conftest import MakePicture, sdks_of
from tests.sdk.sdk import BASE, NODE, PYTHON, File, Sdk, Sdks, Variant


@dataclass(frozen=True)
class Simulated:
    """A simulator, and a proxy in front of it."""

    simulator: Simulator
    url: str

    def bought(self, prompt: str) -> int:
        """The number of tasks with this prompt."""
        return sum(task.body.get("prompt") == prompt for task in self.simulator.store.list_tasks())


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    simulator = Simulator(SimulatorSettings(speed=math.inf, concurrency=1000, units=1e6))
    server = make(simulator, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    proxies = Proxies(tmp_path_factory.mktemp("simulated"))
    proxy = proxies.start(
        f"provider: {{type: kling, klingAccessKey: {ACCESS_KEY}, klingSecretKey: {SECRET_KEY},"
        f" providerDomain: 'http://127.0.0.1:{server.port}'}}"
    )
    yield Simulated(simulator, f"http://127.0.0.1:{proxy.port}{BASE}")
    proxies.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=sdks_of((PYTHON[0], NODE[0])))
def sdk(request: pytest.FixtureRequest, sdks: Sdks, simulated: Simulated) -> Sdk:
    """The newest SDK of each language, with the proxy in front of the simulator as its base URL."""
    return sdks.sdk(request.param, simulated.url)


@pytest.fixture
def python_sdk(sdks: Sdks, simulated: Simulated) -> Sdk:
    """One SDK, for tests in which it makes no difference."""
    return sdks.sdk(PYTHON[0], simulated.url)


def test_a_video_of_text_is_made_and_downloaded(sdk: Sdk, simulated: Simulated, tmp_path: Path) -> None:
    prompt = f"a cat {uuid.uuid4()}"
    created = sdk.call("create", prompt=prompt, seconds="4", size="1280x720").video
    openai_video.check(created)
    video = sdk.call("retrieve", video_id=created["id"]).video
    content = sdk.call("download_content", video_id=video["id"]).content

    assert (video["status"], video["progress"], video["size"]) == ("completed", 100, "1280x720")
    assert content[4:8] == b"ftyp"
    assert simulated.bought(prompt) == 1


FAULTS = ["lost", "truncated", "accepted=5000", "accepted=5002", "5000", "5001", "1302"]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_once_costs_nothing_more(sdk: Sdk, simulated: Simulated, fault: str) -> None:
    prompt = f"a cat {uuid.uuid4()} [simulate:{fault}*1]"
    video = sdk.call("create", prompt=prompt).video

    openai_video.check(sdk.call("retrieve", video_id=video["id"]).video)
    assert simulated.bought(prompt) == 1


def test_a_create_that_finds_all_places_taken_waits_for_one(sdks: Sdks, simulated: Simulated) -> None:
    """As long as the answer says, with both SDKs at once."""

    def bought(variant: Variant) -> int:
        prompt = f"a cat {uuid.uuid4()} [simulate:1303*1]"
        openai_video.check(sdks.sdk(variant, simulated.url).call("create", prompt=prompt).video)
        return simulated.bought(prompt)

    variants = [PYTHON[0], *(NODE[:1] if not node.missing() else ())]
    with ThreadPoolExecutor() as pool:
        found = pool.map(bought, variants)
        assert {one.name: times for one, times in zip(variants, found, strict=True)} == {
            one.name: 1 for one in variants
        }


def test_an_answer_that_nobody_can_read_is_handed_on_and_not_bought_again(sdk: Sdk, simulated: Simulated) -> None:
    prompt = f"a cat {uuid.uuid4()} [simulate:garbage*1]"
    outcome = sdk.call("create", prompt=prompt)

    assert "<html>" in outcome.value
    assert (len(outcome.sent), simulated.bought(prompt)) == (1, 1)


def test_a_picture_is_taken_and_a_small_one_is_a_failed_video(
    python_sdk: Sdk, simulated: Simulated, picture: MakePicture
) -> None:
    good = python_sdk.call("create", prompt="a cat", input_reference=File("mime", picture(), "image/png")).video
    assert python_sdk.call("poll", video_id=good["id"]).video["status"] == "completed"
    bad = python_sdk.call("create", prompt="a cat [simulate:picture]").video
    failed = python_sdk.call("poll", video_id=bad["id"]).video

    assert failed["status"] == "failed"
    assert "Image pixel is invalid" in failed["error"]["message"]
