"""Make a video with OpenAI's Python SDK: start it, wait for it, download it.

    python examples/sora.py http://127.0.0.1:8080/v1

The argument is the base URL (of this proxy in front of Kling, for one). Needs `pip install openai`.

Newer versions of the SDK print a DeprecationWarning for each of its videos methods: OpenAI has switched its own service
off in September 2026. The warning is about that service; the methods still work with any server that speaks the API.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import openai

PROMPT = "A paper boat sails down a rainy street, close to the water"


def main() -> int:
    """Make one video; the exit status is 1 where there is none."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} BASE_URL", file=sys.stderr)
        return 2
    # The proxy replaces the key with Kling's; the SDK only wants that there is one.
    client = openai.OpenAI(base_url=sys.argv[1], api_key="any text")
    try:
        tell("create_and_poll: starts the video and asks for it until it is done, which takes minutes")
        video = client.videos.create_and_poll(model="sora-2", prompt=PROMPT, seconds="4", size="1280x720")
        tell(f"{video.id}: {video.status}, {video.seconds} s, {video.size}")
        if video.status != "completed":
            tell(f"no video: {video.error.message if video.error else 'no reason given'}")
            return 1
        tell("download_content")
        content = client.videos.download_content(video.id)
    except openai.APIError as error:
        tell(f"{type(error).__name__}: {error}")
        return 1
    file = Path("sora.mp4")
    content.write_to_file(file)
    tell(f"{file}: {file.stat().st_size} bytes")
    return 0


def tell(text: str) -> None:
    """Print a step with its time."""
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
