"""Videos have the requested properties, every frame can be decoded, and shows what it should."""

from __future__ import annotations

import itertools
import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitm_ai_proxy.simulator.media import canvas, h264, mp4, video
from mitm_ai_proxy.simulator.media.canvas import BAR, CELL, TRACK, Card
from mitm_ai_proxy.simulator.media.h264 import Colour
from tests.simulator.media import ffmpeg
from tests.tables import table

pytestmark = pytest.mark.programs

WORDS = ("SIMULATED", "T2V", "5 S")
SEED = "task-1"
SIZES = [
    (1280, 720, 3),
    (720, 1280, 1),
    (960, 960, 1),
    (1920, 1080, 1),
    (1080, 1920, 1),
    (3840, 2160, 1),
    (654, 1000, 3),
    (64, 64, 5),
    (66, 4096, 1),
    (4096, 82, 1),
]
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a file, each before the boxes in it."""
    position = 0
    while position < len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        assert 8 <= size <= len(data) - position
        content = data[position + 8 : position + size]
        yield name, content
        if name in CONTAINERS:
            yield from boxes(content)
        position += size


def numbers(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(content) // 4}I", content)


def written(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "video.mp4"
    file.write_bytes(data)
    return file


def seen(picture: bytes, width: int, height: int) -> list[Colour]:
    """The colour in the middle of every macroblock, or at the edge of the picture if the middle is cut off."""
    chroma_width, chroma = width // 2, width * height
    colours = []
    for row, column in itertools.product(range(-(-height // CELL)), range(-(-width // CELL))):
        x, y = min(column * CELL + CELL // 2, width - 1), min(row * CELL + CELL // 2, height - 1)
        cb = chroma + y // 2 * chroma_width + x // 2
        colours.append(Colour(picture[y * width + x], picture[cb], picture[cb + chroma // 4]))
    return colours


def intended(card: Card) -> list[Colour]:
    """ITU-R BT.709, limited range."""
    colours = []
    for red, green, blue in card.palette:
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        samples = (
            16 + luma * 219 / 255,
            128 + (blue - luma) / 1.8556 * 224 / 255,
            128 + (red - luma) / 1.5748 * 224 / 255,
        )
        colours.append(Colour(*map(round, samples)))
    return [colours[cell] for cell in card.cells]


def farthest(seen: list[Colour], intended: list[Colour]) -> int:
    return max(abs(a - b) for pair in zip(seen, intended, strict=True) for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize(
    ("seconds", "frames", "duration"),
    [
        (5, 121, "5.041"),
        (10, 241, "10.041"),
        (3, 73, "3.041"),
        (15, 361, "15.041"),
        (4.5, 109, "4.541"),
        (0.96, 24, "1.000"),
    ],
)
def test_a_video_has_one_frame_more_than_was_ordered(
    seconds: float, frames: int, duration: str, tmp_path: Path
) -> None:
    assert video.frames(seconds) == frames
    assert video.duration(seconds) == duration
    stream, container = ffmpeg.probe(written(tmp_path, video.make(64, 64, seconds, WORDS, SEED)))
    assert stream["nb_frames"] == str(frames)
    assert stream["r_frame_rate"] == stream["avg_frame_rate"] == "24/1"
    for length in (stream["duration"], container["duration"]):
        assert float(length) == pytest.approx(frames / 24, abs=1e-5)


@pytest.mark.parametrize(("width", "height", "seconds"), SIZES)
def test_every_frame_can_be_decoded_and_differs_from_the_others(
    width: int, height: int, seconds: int, tmp_path: Path
) -> None:
    file = written(tmp_path, video.make(width, height, seconds, WORDS, SEED))
    stream, _ = ffmpeg.probe(file)
    assert (stream["codec_name"], stream["profile"]) == ("h264", "Constrained Baseline")
    assert (stream["width"], stream["height"]) == (width, height)
    assert (stream["pix_fmt"], stream["color_space"], stream["color_range"]) == ("yuv420p", "bt709", "tv")
    digests = ffmpeg.digests(file)
    assert len(digests) == video.frames(seconds)
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(("width", "height", "seconds"), SIZES[::2])
def test_the_words_stand_still_while_the_bar_grows_from_empty_to_full(
    width: int, height: int, seconds: int, tmp_path: Path
) -> None:
    file = written(tmp_path, video.make(width, height, seconds, WORDS, SEED))
    decoded = ffmpeg.pictures(file, (0, video.frames(seconds) - 1), "yuv420p")
    first, last = decoded[: len(decoded) // 2], decoded[len(decoded) // 2 :]
    card = canvas.card(width, height, WORDS, SEED)
    assert TRACK in card.cells
    assert farthest(seen(first, width, height), intended(card)) <= 2
    card.paint(card.bar, BAR)
    assert farthest(seen(last, width, height), intended(card)) <= 2


def test_any_colour_is_reached_exactly_from_any_other(tmp_path: Path) -> None:
    width, height, pictures = 320, 200, 30
    chance = random.Random(1)
    values = (0, 1, 2, 16, 17, 100, 127, 128, 129, 235, 254, 255)
    cells = [Colour(*chance.choices(values, k=3)) for _ in range(20 * 13)]
    encoder = h264.Encoder(width, height, 24)
    shown, units = [list(cells)], [encoder.first(cells)]
    for changed in range(1, pictures):
        changes = {chance.randrange(len(cells)): Colour(*chance.choices(values, k=3)) for _ in range(changed * 4)}
        for place, colour in changes.items():
            cells[place] = colour
        shown.append(list(cells))
        units.append(encoder.next(changes))
    parameter_sets = (encoder.sequence_parameter_set, encoder.picture_parameter_set)
    file = written(tmp_path, mp4.mux(width, height, 24, parameter_sets, units))
    decoded = ffmpeg.pictures(file, range(pictures), "yuv420p")
    length = width * height * 3 // 2
    for number, expected in enumerate(shown):
        assert seen(decoded[number * length : (number + 1) * length], width, height) == expected


def test_a_picture_without_a_change_repeats_the_last_one(tmp_path: Path) -> None:
    encoder = h264.Encoder(64, 64, 24)
    units = [encoder.first([Colour(90, 100, 110)] * 16), *(encoder.next({}) for _ in range(40))]
    parameter_sets = (encoder.sequence_parameter_set, encoder.picture_parameter_set)
    digests = ffmpeg.digests(written(tmp_path, mp4.mux(64, 64, 24, parameter_sets, units)))
    assert len(digests) == 41
    assert len(set(digests)) == 1


@table(
    ("width", "height", "level"),
    [
        (64, 64, 30),
        (1280, 720, 31),
        (720, 1280, 31),
        (1920, 1080, 40),
        (1080, 1920, 40),
        (3840, 2160, 51),
        (4096, 4096, 60),
    ],
)
def test_the_level_is_the_one_that_the_size_needs(width: int, height: int, level: int) -> None:
    assert h264.Encoder(width, height, 24).sequence_parameter_set[3] == level


def test_a_size_or_a_rate_above_every_level_is_refused() -> None:
    with pytest.raises(ValueError, match="no level"):
        h264.Encoder(4096, 4096, 120)


@table(
    ("width", "height", "seconds", "limit"),
    [(1280, 720, 5, 8_000), (720, 1280, 5, 8_000), (1920, 1080, 15, 25_000), (3840, 2160, 5, 48_000)],
)
def test_a_video_has_a_few_kilobytes(width: int, height: int, seconds: int, limit: int) -> None:
    for seed in map(str, range(10)):
        assert len(video.make(width, height, seconds, WORDS, seed)) < limit


@table(("width", "height", "seconds"), SIZES)
def test_the_index_stands_in_front_and_names_every_sample(width: int, height: int, seconds: int) -> None:
    data = video.make(width, height, seconds, WORDS, SEED)
    found = dict(boxes(data))
    assert [name for name in found if name in {b"ftyp", b"moov", b"mdat"}] == [b"ftyp", b"moov", b"mdat"]
    _, fixed, count, *sizes = numbers(found[b"stsz"])
    assert (fixed, count, len(sizes)) == (0, video.frames(seconds), count)
    assert sum(sizes) == len(found[b"mdat"])
    assert numbers(found[b"stts"]) == (0, 1, count, mp4.TICKS_PER_FRAME)
    assert numbers(found[b"stsc"]) == (0, 1, 1, count, 1)
    assert numbers(found[b"stss"]) == (0, 1, 1)
    assert numbers(found[b"stco"]) == (0, 1, len(data) - len(found[b"mdat"]))


def test_a_sample_is_one_unit_of_its_length_in_which_nothing_looks_like_a_start() -> None:
    found = dict(boxes(video.make(1920, 1080, 15, WORDS, SEED)))
    position = 0
    for number, size in enumerate(numbers(found[b"stsz"])[3:]):
        sample = found[b"mdat"][position : position + size]
        position += size
        assert int.from_bytes(sample[:4]) == size - 4
        assert sample[4] == (0x61 if number else 0x65)
        assert not re.search(rb"\0\0[\0-\2]", sample[4:])
        assert sample[-1] != 0


def test_equal_arguments_give_equal_bytes_and_another_seed_gives_others() -> None:
    made = [video.make(1280, 720, 5, WORDS, f"task-{number}") for number in range(50)]
    assert len(set(made)) == 50
    assert made[7] == video.make(1280, 720, 5, list(WORDS), "task-7")


@table(("width", "height"), [(1281, 720), (1280, 719), (62, 64), (64, 4098), (0, 0), (-1280, 720)])
def test_a_size_that_cannot_be_made_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="side"):
        video.make(width, height, 5, WORDS, SEED)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("", " "),
        ("A" * 500,),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}\N{FIRE}ß",),
        tuple("A" * 100),
        ("AVATAR/LIP-SYNC", "KLING-V2.6", "10:33 720P"),
    ],
)
def test_any_words_can_be_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    for width, height in ((64, 640), (640, 64)):
        digests = ffmpeg.digests(written(tmp_path, video.make(width, height, 1, words, SEED)))
        assert len(digests) == 25
