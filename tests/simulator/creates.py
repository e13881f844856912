"""Pictures and refusals for the tests of the simulator's validation."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.rules import Order

URL = "https://a.test/a.png"
VIDEO_URL = "https://a.test/a.mp4"
MEGABYTE = 1024 * 1024


def some(*values: Any) -> tuple[Any, ...]:
    """Values of all types, for a table."""
    return values


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG, with its size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def bare(data: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(data).decode()


def refusal(order: Callable[[str, Any], Order], path: str, body: Any) -> str:
    """The message of a create, which has to be refused with 1201."""
    with pytest.raises(KlingError) as caught:
        order(path, body)
    assert (caught.value.code, caught.value.status) == (1201, 400)
    return caught.value.message
