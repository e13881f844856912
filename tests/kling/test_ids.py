"""The parameters in a video id: what is added is split off again, and every other id is unchanged."""

from __future__ import annotations

import base64
import re
import zlib

from mitm_ai_proxy.kling.ids import MAX_TEXT, NO_PARAMETERS, VideoParameters, add_parameters, split_parameters
from tests.tables import table

TASK = "831234567890123456"


@table(
    "parameters",
    [
        VideoParameters("sora-2", "8", "1280x720"),
        VideoParameters("kling-v3", "5", ""),
        VideoParameters("", "", "1280x720"),
        VideoParameters("", "5", ""),
        VideoParameters("m", "", ""),
        VideoParameters("模型 é \0 \U0001f3ac", "²", "٣"),
        VideoParameters("x" * (MAX_TEXT - 2), "", ""),
        VideoParameters("-o-oaaaaaaaa", "-", "?&/"),
    ],
)
@table("task_id", [TASK, "x", "kling_49881ff21cfe", "a-obcdefgh2", "é %2f"])
def test_what_a_create_asked_for_comes_back_with_its_id(task_id: str, parameters: VideoParameters) -> None:
    video_id = add_parameters(task_id, parameters)

    assert split_parameters(video_id) == (task_id, parameters)
    assert re.fullmatch(r"-o[a-z2-7]{8,160}", video_id.removeprefix(task_id))
    assert len(video_id) - len(task_id) <= 150


@table(
    "parameters",
    [
        NO_PARAMETERS,
        VideoParameters("x" * (MAX_TEXT - 1), "", ""),
        VideoParameters("é" * (MAX_TEXT // 2), "", ""),
        # What could not be told apart again, or is no text.
        VideoParameters("a\nb", "5", ""),
        VideoParameters("a", "5\n", ""),
        VideoParameters("\ud800", "5", ""),
    ],
)
def test_parameters_that_are_empty_too_long_or_cannot_be_written_are_left_out(parameters: VideoParameters) -> None:
    assert add_parameters(TASK, parameters) == TASK


def _tail(text: bytes, check: bytes | None = None) -> str:
    check = zlib.crc32(text).to_bytes(4, "big")[:2] if check is None else check
    return f"{TASK}-o{base64.b32encode(check + text).decode().rstrip('=').lower()}"


@table(
    "video_id",
    [
        "",
        TASK,
        "-o",
        f"{TASK}-o",
        f"{TASK}-oaaaaaaa",
        f"{TASK}-oaaaaaaaa",
        f"{TASK}-oaaaaaaaaa",
        f"{TASK}-o{'a' * 161}",
        f"{TASK}-o{'a' * 100_000}",
        f"{TASK}-o²²²²²²²²",
        _tail(b"m\n5\n", b"\0\0"),
        _tail(b"only one field"),
        _tail(b"m\n5\n\n"),
        _tail(b"\xff\xff\n\n"),
        _tail(b"m\n5\n").upper(),
        _tail(b"m\n5\n") + "x!",
        _tail(b"m\n5\n").removeprefix(TASK),
        "\ud800-oaaaaaaaa",
    ],
)
def test_an_id_that_was_not_made_here_is_left_as_it_is(video_id: str) -> None:
    assert split_parameters(video_id) == (video_id, NO_PARAMETERS)


def test_only_the_last_parameters_are_split_off() -> None:
    inner = add_parameters(TASK, VideoParameters("a", "5", ""))

    assert split_parameters(add_parameters(inner, VideoParameters("b", "5", ""))) == (
        inner,
        VideoParameters("b", "5", ""),
    )
