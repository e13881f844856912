"""A script for mitmproxy: whatever host a client names, the connection goes to 127.0.0.1 and the port in $PINNED."""

from __future__ import annotations

import os

from mitmproxy.proxy.server_hooks import ServerConnectionHookData


def server_connect(data: ServerConnectionHookData) -> None:
    data.server.address = ("127.0.0.1", int(os.environ["PINNED"]))
