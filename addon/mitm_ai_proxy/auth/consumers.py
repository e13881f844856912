"""The key of a consumer: what one of them has made with a key of an account is found again with that key only."""

from __future__ import annotations

from typing import Final

FIELD: Final = b"x-mse-consumer"
"""The header field in which a gateway names the consumer. Source: Higress."""
_OFFSET: Final = 2166136261
_PRIME: Final = 16777619


def place(consumer: bytes, count: int) -> int:
    """The index of a consumer's key among so many: FNV-1a of 32 bits, modulo the count. Source: Higress ai-proxy."""
    hashed = _OFFSET
    for byte in consumer:
        hashed = ((hashed ^ byte) * _PRIME) & 0xFFFFFFFF
    return hashed % count
