"""A video's id and the memo behind it: what goes in comes out, and every other id stays as it is."""

from __future__ import annotations

import base64
import re
import zlib

import pytest

from mitm_ai_proxy.kling.ids import MAX_TEXT, NOTHING, Memo, split_memo, with_memo

TASK = "831234567890123456"


@pytest.mark.parametrize(
    "memo",
    [
        Memo("sora-2", "8", "1280x720"),
        Memo("kling-v3", "5", ""),
        Memo("", "", "1280x720"),
        Memo("", "5", ""),
        Memo("m", "", ""),
        Memo("模型 é \0 \U0001f3ac", "²", "٣"),
        Memo("x" * (MAX_TEXT - 2), "", ""),
        Memo("-o-oaaaaaaaa", "-", "?&/"),
    ],
)
@pytest.mark.parametrize("task_id", [TASK, "x", "kling_49881ff21cfe", "a-obcdefgh2", "é %2f"])
def test_what_a_create_asked_for_comes_back_with_its_id(task_id: str, memo: Memo) -> None:
    video_id = with_memo(task_id, memo)

    assert split_memo(video_id) == (task_id, memo)
    assert re.fullmatch(r"-o[a-z2-7]{8,160}", video_id.removeprefix(task_id))
    assert len(video_id) - len(task_id) <= 150


@pytest.mark.parametrize(
    "memo",
    [
        NOTHING,
        Memo("x" * (MAX_TEXT - 1), "", ""),
        Memo("é" * (MAX_TEXT // 2), "", ""),
        # What could not be told apart again, or is no text.
        Memo("a\nb", "5", ""),
        Memo("a", "5\n", ""),
        Memo("\ud800", "5", ""),
    ],
)
def test_a_memo_that_is_empty_or_too_long_or_cannot_be_written_is_left_out(memo: Memo) -> None:
    assert with_memo(TASK, memo) == TASK


def _tail(text: bytes, check: bytes | None = None) -> str:
    check = zlib.crc32(text).to_bytes(4, "big")[:2] if check is None else check
    return f"{TASK}-o{base64.b32encode(check + text).decode().rstrip('=').lower()}"


@pytest.mark.parametrize(
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
    assert split_memo(video_id) == (video_id, NOTHING)


def test_the_last_memo_counts() -> None:
    inner = with_memo(TASK, Memo("a", "5", ""))

    assert split_memo(with_memo(inner, Memo("b", "5", ""))) == (inner, Memo("b", "5", ""))
