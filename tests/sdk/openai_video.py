"""The Video object of OpenAI's API reference, to check answers in the contract tests."""

from __future__ import annotations

import re
import time
from typing import Any

REQUIRED = ("id", "object", "model", "status", "progress", "created_at", "seconds")
NULLABLE = ("size", "completed_at", "expires_at", "prompt", "remixed_from_video_id", "error")
"""`size` is not nullable at OpenAI; here the size of a video that is made from a picture is not known."""
STATUSES = ("queued", "in_progress", "completed", "failed")
MONTH = 31 * 24 * 3600


def check(video: dict[str, Any], *, listed: bool = False) -> None:
    """Check that a video has every key, with a value of the type in the reference, or null if it is not known.

    The length of a video that is `listed` is not known before it has a file.
    """
    missing = [key for key in REQUIRED + NULLABLE if key not in video]
    assert not missing, f"{missing} are missing in {video}"
    unknown = ("seconds",) if listed and video["status"] != "completed" else ()
    null = [key for key in REQUIRED if video[key] is None and key not in unknown]
    assert not null, f"{null} are null in {video}"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", video["id"]), video["id"]
    assert video["object"] == "video"
    assert video["status"] in STATUSES
    assert isinstance(video["model"], str)
    assert type(video["progress"]) is int
    assert 0 <= video["progress"] <= 100
    if video["seconds"] is not None:
        assert isinstance(video["seconds"], str), video["seconds"]
        assert int(video["seconds"]) > 0
    for key in ("created_at", "completed_at", "expires_at"):
        if video[key] is not None:
            assert type(video[key]) is int, f"{key} is {video[key]!r}"
            assert abs(video[key] - time.time()) < 2 * MONTH, f"{key} is {video[key]}, which is no time in seconds"
    if video["size"] is not None:
        assert re.fullmatch(r"\d+x\d+", video["size"])
    assert (video["status"] == "failed") == (video["error"] is not None)
    assert (video["status"] in ("completed", "failed")) == (video["completed_at"] is not None)
    if video["error"] is not None:
        assert isinstance(video["error"]["code"], str)
        assert isinstance(video["error"]["message"], str)
