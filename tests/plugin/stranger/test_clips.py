"""What becomes of a clip, each from one recorded success."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import clips  # type: ignore[import-not-found]
import pytest

openai: Any = importlib.import_module("openai")

PROMPT = "a paper boat in the rain"


@pytest.mark.ai_cassette("boat")
class TestBoat:
    """One recording serves all of these."""

    def test_is_made(self, client: Any, ai_proxy: Any, tmp_path: Path) -> None:
        name = clips.make(client, PROMPT, tmp_path / "boat.mp4")

        assert (tmp_path / "boat.mp4").read_bytes()[4:8] == b"ftyp"
        assert name.startswith("kling-t2v-")
        asked = ai_proxy.requests[0]
        assert (asked.path, asked.json()["model_name"]) == ("/v1/videos/text2video", "kling-v3")
        assert asked.headers["host"] == "api-singapore.klingai.com"

    @pytest.mark.ai_cassette(failed="the picture was too dark")
    def test_fails(self, client: Any, tmp_path: Path) -> None:
        with pytest.raises(clips.NoClip, match="too dark"):
            clips.make(client, PROMPT, tmp_path / "boat.mp4")

    @pytest.mark.ai_cassette(error=1303)
    def test_is_refused(self, client: Any, tmp_path: Path) -> None:
        with pytest.raises(openai.RateLimitError):
            clips.make(client, PROMPT, tmp_path / "boat.mp4")

    @pytest.mark.ai_cassette(content_gone=True)
    def test_is_gone(self, client: Any, tmp_path: Path) -> None:
        with pytest.raises(openai.APIStatusError):
            clips.make(client, PROMPT, tmp_path / "boat.mp4")

    @pytest.mark.ai_cassette(slow=10)
    def test_takes_long(self, client: Any, ai_proxy: Any, tmp_path: Path) -> None:
        clips.make(client, PROMPT, tmp_path / "boat.mp4")
        assert len(ai_proxy.requests) > 10


def test_several_are_made(ai_proxy: Any) -> None:
    async def make() -> Any:
        async with openai.AsyncOpenAI(base_url=ai_proxy.base_url, api_key="any text") as client:
            return await clips.make_all(client, [PROMPT, "a paper plane"])

    assert asyncio.run(make()) == ["completed", "completed"]


@pytest.mark.ai_simulate
def test_a_simulated_one_is_made(client: Any, tmp_path: Path) -> None:
    clips.make(client, PROMPT, tmp_path / "boat.mp4")
    assert (tmp_path / "boat.mp4").stat().st_size > 1000
