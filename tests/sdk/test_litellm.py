"""LiteLLM as a client of the proxy; it identifies itself as OpenAI's, but does not use that SDK for videos."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from tests.e2e.proxy import Proxy
from tests.sdk.conftest import MakePicture
from tests.sdk.kling import MP4, Kling, refusal
from tests.sdk.sdk import BASE, Sdks
from tests.sdk.worker import Ask

START_LIMIT = 60
"""Seconds that the first answer may take, including a slow import."""


class LiteLlm:
    """Its functions, with the proxy as the base URL of OpenAI."""

    def __init__(self, ask: Ask, proxy: Proxy) -> None:
        self._ask = ask
        self._where = {"api_base": f"http://127.0.0.1:{proxy.port}{BASE}", "api_key": "sk-of-the-client"}

    def __call__(self, function: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call: value or error."""
        question = {"function": function, "arguments": {**self._where, **arguments}}
        answer = self._ask(question)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def litellm(sdks: Sdks, proxy: Proxy, kling: Kling) -> LiteLlm:
    return LiteLlm(sdks.before.script("litellm_worker", START_LIMIT), proxy)


def test_a_video_from_the_create_to_the_file(litellm: LiteLlm, kling: Kling) -> None:
    kling.state.polls = 1
    prompt = f"a cat {uuid.uuid4()}"
    created = litellm("video_generation", model="openai/sora-2", prompt=prompt, seconds="8", size="1280x720")
    assert "value" in created, created
    video = created["value"]
    assert (video["object"], video["status"]) == ("video", "queued")
    assert kling.task.asked["prompt"] == prompt
    wanted = {"model_name": "kling-v3", "mode": "std", "duration": "8", "aspect_ratio": "16:9"}
    assert {name: kling.task.asked.get(name) for name in wanted} == wanted

    words = [litellm("video_status", video_id=video["id"])["value"]["status"] for _ in range(2)]
    assert words == ["queued", "completed"]

    content = litellm("video_content", video_id=video["id"])
    assert "value" in content, content
    assert base64.b64decode(content["value"]["content"]) == MP4
    assert len(kling.downloads) == 1


def test_a_picture(litellm: LiteLlm, kling: Kling, picture: MakePicture) -> None:
    path = picture()
    file = {"$": "bytes", "path": str(path)}
    created = litellm("video_generation", model="openai/sora-2", prompt=f"a cat {uuid.uuid4()}", input_reference=file)
    assert "value" in created, created
    assert kling.task.family == "image2video"
    assert base64.b64decode(kling.task.asked["image"]) == path.read_bytes()


def test_an_account_without_money_is_an_error_and_nothing_is_bought(litellm: LiteLlm, kling: Kling) -> None:
    kling.next(refusal(429, 1102, "Account balance not enough"))
    created = litellm("video_generation", model="openai/sora-2", prompt=f"a cat {uuid.uuid4()}", num_retries=0)
    assert "Account balance not enough" in created["error"]["message"]
    assert kling.bought == 0
