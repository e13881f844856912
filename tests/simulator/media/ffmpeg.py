"""Reads files with ffmpeg and ffprobe; tests that use it are skipped where they are not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def probe(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only stream of a file, and its format, by ffprobe."""
    found = json.loads(_run("ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(file)))
    (stream,) = found["streams"]
    return stream, found["format"]


def digests(file: Path) -> list[str]:
    """A digest of each frame of a video, all of which are decoded without a warning."""
    lines = _run("ffmpeg", "-v", "warning", "-i", str(file), "-f", "framemd5", "-").decode().splitlines()
    return [line.rpartition(",")[2].strip() for line in lines if not line.startswith("#")]


def pictures(file: Path, frames: Sequence[int], pixels: str) -> bytes:
    """The samples of these frames, concatenated."""
    chosen = "+".join(f"eq(n,{frame})" for frame in frames)
    options = ("-vf", f"select='{chosen}'", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", pixels)
    return _run("ffmpeg", "-v", "error", "-i", str(file), *options, "-")


def samples(file: Path) -> bytes:
    """The samples of the sound, as numbers of sixteen bits."""
    return _run("ffmpeg", "-v", "error", "-i", str(file), "-f", "s16le", "-")


def _run(tool: str, *arguments: str) -> bytes:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run((tool, *arguments), capture_output=True, check=False)
    assert done.stderr.decode() == ""
    assert done.returncode == 0
    return done.stdout
