"""The command `ai-proxy demo`: the videos, the output of each step, and the exit status."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from mitm_ai_proxy.commands import demo, main
from mitm_ai_proxy.view.columns import Page
from mitm_ai_proxy.view.messages import Message, credential
from tests.tables import table

FAST = 2000
"""Factor by which the simulator is faster than Kling in these tests."""
STEPS = ("1  Create a video from text", "2  Create a video from a picture", "3  Ask until", "4  Download", "Done in")
VIDEOS = ("text.mp4", "picture.mp4")


class Terminal(io.StringIO):
    """An output that the demo takes for a terminal."""

    def isatty(self) -> bool:
        """True."""
        return True


class Latin(io.TextIOWrapper):
    """An output in Latin-1, which has no characters for lines, bars and ellipses."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="latin-1")

    def text(self) -> str:
        """The text that was written."""
        self.seek(0)
        return self.read()


@dataclass
class Outcome:
    """One run of the demo."""

    status: int
    text: str
    folder: Path
    threads: list[threading.Thread]

    def step(self, number: int) -> str:
        """The output of one step, counted from 1."""
        return self.text.partition(STEPS[number - 1])[2].partition(STEPS[number])[0]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A successful run, without a network, and with a file of an earlier run in the folder."""

    async def nowhere(*_: object, **__: object) -> None:
        raise OSError("there is no network")

    folder = tmp_path_factory.mktemp("demo") / "new" / "demo"
    folder.mkdir(parents=True)
    (folder / VIDEOS[0]).write_text("stale")
    out = io.StringIO()
    before = threading.enumerate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "open_connection", nowhere)
        status = demo.run(folder, out, FAST)
    return Outcome(status, out.getvalue(), folder, [one for one in threading.enumerate() if one not in before])


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that asks for colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_it_makes_two_videos_without_a_network(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.text
    for name in VIDEOS:
        content = (outcome.folder / name).read_bytes()
        assert content[4:8] == b"ftyp"
        assert b"avc1" in content
        assert f"{outcome.folder / name}, MP4, {len(content) / 1024:.1f} KB, 1280x720" in outcome.text
    assert "Kling would have taken 4.8 units" in outcome.text


@pytest.mark.parametrize(
    ("step", "left", "right"),
    [
        (1, "POST /v1/videos", "POST /v1/videos/text2video"),
        (1, '  "model": "sora-2",', '  "model_name": "kling-v3",'),
        (1, "Authorization: Bearer sk-…", "Authorization: Bearer <JWT, HS256, 30 min>"),
        (1, "X-Stainless-Lang: python", ""),
        (2, "POST /v1/videos", "POST /v1/videos/image2video"),
        (2, "Content-Type: multipart/form-data", "Content-Type: application/json"),
        (2, "  model = sora-2", '  "model_name": "kling-v3",'),
        (3, r"GET /v1/videos/kling-t2v-\d+…", r"GET /v1/videos/text2video/\d+"),
        (3, r"GET /v1/videos/kling-i2v-\d+…", r"GET /v1/videos/image2video/\d+"),
        (4, r"GET /v1/videos/kling-t2v-\d+…/content", r"GET /v1/videos/text2video/\d+"),
        (4, r"GET /v1/videos/kling-i2v-\d+…/content", r"GET /v1/videos/image2video/\d+"),
    ],
)
def test_each_step_shows_the_clients_request_beside_what_goes_upstream(
    outcome: Outcome, step: int, left: str, right: str
) -> None:
    assert re.search(rf"^{left} +│ ?{right}$", outcome.step(step), re.MULTILINE), outcome.step(step)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (1, "model sora-2 became kling-v3"),
        (1, "text2video: the body has no image field"),
        (2, "image2video: the body has image"),
        (3, "text2video: the id begins with kling-t2v-"),
        (4, "image2video: the id begins with kling-i2v-"),
    ],
)
def test_each_step_says_why(outcome: Outcome, step: int, reason: str) -> None:
    assert re.search(rf"^(  why|     )  · {re.escape(reason)}$", outcome.step(step), re.MULTILINE), outcome.step(step)


def test_pictures_are_shown_by_their_size(outcome: Outcome) -> None:
    assert re.search(r"input_reference = boat\.png \(image/png, \d+ bytes\)", outcome.step(2))
    assert re.search(r'"image": "iVBORw0KG… \(\d+ bytes\)"', outcome.step(2))


def test_no_credential_is_shown_whole(outcome: Outcome) -> None:
    assert outcome.text.count("Bearer") == outcome.text.count("Bearer sk-… ") + outcome.text.count("Bearer <JWT")
    assert "eyJ" not in outcome.text


def test_no_line_is_wider_than_the_page(outcome: Outcome) -> None:
    lines = outcome.text.replace(str(outcome.folder), "demo").splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_no_thread_is_left_running(outcome: Outcome) -> None:
    assert outcome.threads == []


def test_escapes_are_for_terminals_only(outcome: Outcome, tmp_path: Path, colours: None) -> None:
    terminal = Terminal()
    assert demo.run(tmp_path, terminal, FAST) == 0
    assert "\x1b[32mPOST /v1/videos/text2video\x1b[0m" in terminal.getvalue()
    assert "\x1b" not in outcome.text


def test_a_terminal_that_wants_no_colours_gets_none(colours: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    page = Page(terminal)
    page.title("title")
    page.bars([("text", 0.5, "in_progress", "")])
    page.bars([("text", 1.0, "completed", "")])
    assert "\x1b[1A" in terminal.getvalue()
    assert not re.search(r"\x1b\[[\d;]*m", terminal.getvalue())


def test_bars_are_a_line_per_change_where_nothing_moves() -> None:
    out = io.StringIO()
    page = Page(out)
    for part, word in ((0.1, "queued"), (0.2, "queued"), (0.3, "in_progress"), (1.0, "completed")):
        page.bars([("text", part, word, f"{part}")])
    assert out.getvalue().split() == ["text", "queued", "text", "in_progress", "text", "completed"]


def test_an_encoding_without_lines_gets_plain_ones() -> None:
    out = Latin()
    Page(out).beside(["one…"], ["one", "ä"])
    assert [line.split() for line in out.text().splitlines()] == [["one~", "|", "one"], ["|", "ä"]]


@table("value", ["Bearer secret", "Bearer secret.of.somebody", "Basic c2VjcmV0", "secret"])
def test_a_credential_of_any_kind_is_not_shown(value: str) -> None:
    assert "secret" not in credential(value)
    assert "c2VjcmV0" not in credential(value)


def test_a_body_that_is_no_document_is_shown_by_its_size() -> None:
    assert Message("POST", "/", {}, b"\xff" * 2048).lines(()) == ["POST /", "", "2.0 KB"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = io.StringIO()
    assert demo.run(tmp_path / "file" / "demo", out, FAST) == 1
    assert out.getvalue().strip().startswith(f"✗ {tmp_path / 'file' / 'demo'} cannot be written: ")


def test_an_answer_that_is_an_error_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_FIELDS", {"model": "sora-2", "prompt": "a cat", "seconds": "99"})
    out = io.StringIO()
    before = threading.active_count()
    assert demo.run(tmp_path, out, FAST) == 1
    assert "✗ POST /v1/videos was answered with 400: " in out.getvalue()
    assert threading.active_count() == before


def test_the_command_takes_a_folder_and_ends_with_the_demos_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def run(folder: Path, out: object) -> int:
        asked.append(folder)
        return len(asked) - 1

    monkeypatch.setattr(demo, "run", run)
    assert main.main(["demo"]) == 0
    assert main.main(["demo", str(tmp_path)]) == 1
    assert asked == [Path("demo"), tmp_path]
