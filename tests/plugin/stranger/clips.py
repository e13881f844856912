"""An application that knows OpenAI's SDK and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class NoClip(Exception):
    """There is no clip; the text says why."""


def make(client: Any, prompt: str, file: Path) -> str:
    """Have a clip made and put it into a file; returns the id. Raises NoClip."""
    video = client.videos.create_and_poll(model="sora-2", prompt=prompt, seconds="4", size="1280x720")
    if video.status != "completed":
        raise NoClip(video.error.message)
    client.videos.download_content(video.id).write_to_file(file)
    return str(video.id)


async def make_all(client: Any, prompts: list[str]) -> list[str]:
    """Have several clips made, one after the other; returns what became of them."""
    videos = [await client.videos.create_and_poll(model="sora-2", prompt=prompt, seconds="4") for prompt in prompts]
    return [str(video.status) for video in videos]
