"""Packs a body as zstd, with whichever package mitmproxy brought along."""

from __future__ import annotations

import importlib

import pytest


def zstd(body: bytes) -> bytes:
    """The body as one frame; the test is skipped where no package can make it."""
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            packed: bytes = importlib.import_module(name).compress(body)
        except ImportError:
            continue
        return packed
    pytest.skip("no zstd")
