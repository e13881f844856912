"""Pictures are PNG files of the requested size, and look like the videos."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from mitm_ai_proxy.simulator.media import canvas, png
from mitm_ai_proxy.simulator.media.canvas import BACKGROUND, BAR, CELL, TRACK, WORDS
from tests.simulator.media import ffmpeg
from tests.tables import table

pytestmark = pytest.mark.programs

LINES = ("SIMULATED", "IMAGE", "1 OF 4")
SEED = "task-1"
SIZES = [(1280, 720), (720, 1280), (1024, 1024), (3840, 2160), (654, 1000), (64, 64), (67, 301)]


def art(width: int, height: int, word: str) -> list[str]:
    """The cells above the bar, without empty edges, as text."""
    card = canvas.card(width, height, (word,), SEED)
    rows = [card.cells[start : start + card.columns] for start in range(0, len(card.cells), card.columns)]
    marks = ["".join(".#"[cell == WORDS] for cell in row) for row in rows[: card.bar.row]]
    left = min((row.index("#") for row in marks if "#" in row), default=0)
    return [row[left:].rstrip(".") for row in marks if "#" in row]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_pixel_has_the_colour_of_its_cell(width: int, height: int, tmp_path: Path) -> None:
    data = png.make(width, height, LINES, SEED)
    assert len(data) < 10_000
    file = tmp_path / "picture.png"
    file.write_bytes(data)
    stream, _ = ffmpeg.probe(file)
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("png", width, height)
    decoded = ffmpeg.pictures(file, (0,), "rgb24")
    card = canvas.card(width, height, LINES, SEED)
    card.paint(card.bar, BAR)
    assert len(decoded) == width * height * 3
    for y in range(height):
        cells = card.cells[y // CELL * card.columns :][: card.columns]
        line = b"".join(bytes(card.palette[cell]) * CELL for cell in cells)[: width * 3]
        assert decoded[y * width * 3 : (y + 1) * width * 3] == line


@table(("width", "height"), SIZES)
def test_the_chunks_are_whole_and_hold_the_lines_of_the_picture(width: int, height: int) -> None:
    data = png.make(width, height, LINES, SEED)
    position, chunks = 8, {}
    while position < len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        assert int.from_bytes(data[end : end + 4]) == zlib.crc32(data[position + 4 : end])
        chunks[data[position + 4 : position + 8]] = data[position + 8 : end]
        position = end + 4
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + -(-width // 4))


def test_equal_arguments_give_equal_bytes_and_another_seed_gives_others() -> None:
    made = [png.make(640, 360, LINES, f"task-{number}") for number in range(50)]
    assert len(set(made)) == 50
    assert made[7] == png.make(640, 360, list(LINES), "task-7")


def test_a_size_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="a side has from 64 to 4096 pixels, not 4097"):
        png.make(4097, 720, LINES, SEED)


@table(
    ("width", "height", "word", "lines"),
    [
        (160, 160, "a.b", [".#....##", "#.#...#.#", "###...##", "#.#...#.#", "#.#.#.##"]),
        (160, 160, "1é2", [".#....###", "##......#", ".#....###", ".#....#", "###...###"]),
        (112, 160, "LL", ["#...#", "#...#", "#...#", "#...#", "###.###"]),
        (96, 160, "LL", ["#", "#", "#", "#", "###"]),
        (224, 208, "l", ["##"] * 2 * 4 + ["######"] * 2),
        (64, 64, "L", []),
    ],
)
def test_a_word_is_as_large_as_fits_and_is_cut_when_it_does_not(
    width: int, height: int, word: str, lines: list[str]
) -> None:
    assert art(width, height, word) == lines


@table("seed", [f"task-{number}" for number in range(20)])
def test_words_and_bar_stand_out_from_the_ground(seed: str) -> None:
    palette = canvas.card(64, 64, (), seed).palette
    lights = [(0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255 for red, green, blue in palette]
    assert [lights[place] for place in (TRACK, BAR, WORDS)] == pytest.approx([0.34, 0.7, 0.93], abs=0.01)
    assert 0.17 < lights[BACKGROUND] < 0.25
