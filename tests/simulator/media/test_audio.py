"""Sound files can be decoded, have the requested length, and are silent."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest

from mitm_ai_proxy.simulator.media import audio
from tests.simulator.media import ffmpeg

pytestmark = pytest.mark.programs

SECONDS = [0.5, 1, 3, 5.041, 10, 60]


@pytest.mark.parametrize("seconds", SECONDS)
def test_an_mp3_is_as_long_as_was_asked_for_and_silent(seconds: float, tmp_path: Path) -> None:
    data = audio.mp3(seconds)
    assert len(data) <= 4_000 * seconds + 96
    file = tmp_path / "sound.mp3"
    file.write_bytes(data)
    decoded = ffmpeg.samples(file)
    assert len(decoded) / 2 / 48_000 == pytest.approx(seconds, abs=0.05)
    assert not any(decoded)


@pytest.mark.parametrize("seconds", SECONDS)
def test_an_mp3_is_known_as_one(seconds: float, tmp_path: Path) -> None:
    file = tmp_path / "sound.mp3"
    file.write_bytes(audio.mp3(seconds))
    stream, container = ffmpeg.probe(file)
    assert (container["format_name"], stream["codec_name"]) == ("mp3", "mp3")
    assert (stream["sample_rate"], stream["channels"]) == ("48000", 1)
    assert float(container["duration"]) == pytest.approx(seconds, abs=0.05)


def test_an_mp3_has_whole_frames_and_at_least_one() -> None:
    assert len(audio.mp3(0)) == 96
    assert audio.mp3(0.24) == audio.mp3(0) * 10


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_wav_is_as_long_as_was_asked_for_and_silent(seconds: float, tmp_path: Path) -> None:
    data = audio.wav(seconds)
    with wave.open(io.BytesIO(data)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 1, 8000)
        assert reader.getnframes() == pytest.approx(seconds * 8000, abs=1)
        assert set(reader.readframes(reader.getnframes())) == {0x80}
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    file = tmp_path / "sound.wav"
    file.write_bytes(data)
    assert not any(ffmpeg.samples(file))


def test_equal_lengths_give_equal_bytes() -> None:
    assert audio.mp3(5) == audio.mp3(5)
    assert audio.wav(5) == audio.wav(5)
