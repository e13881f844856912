"""Imported when an interpreter starts: nothing but this machine can be looked up or reached, and who tried is noted."""

from __future__ import annotations

import os
import sys
from typing import Any

HERE = ("", "127.0.0.1", "::1", "localhost", None)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host not in HERE:
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:
            file.write(f"{host}\n")
        raise OSError(f"there is no network, and so no {host}")


sys.addaudithook(_watch)
