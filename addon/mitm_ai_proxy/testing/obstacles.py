"""What in a test's process can keep its clients from the proxy: blocked sockets, and the environment's HTTP proxy."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib import request

HOST: Final = "127.0.0.1"
_BLOCKERS: Final[Mapping[str, str]] = {
    "pytest_socket": "pytest-socket blocks sockets here; with --allow-hosts=127.0.0.1, or"
    " @pytest.mark.allow_hosts(['127.0.0.1']), the proxy works and all other hosts stay blocked"
    " (recording needs the provider's host too).",
    "pytest_recording": "pytest-recording blocks the network here; --allowed-hosts=127.0.0.1, or"
    " @pytest.mark.block_network(allowed_hosts=['127.0.0.1']), lets the proxy be reached"
    " (recording needs the provider's host too).",
}
"""What to do about a package that replaces Python's sockets, by its name."""


def obstacles(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Sentences about what is in the way, each with what to do."""
    return [*_blockers(), *_proxies(environment)]


def socket_error() -> str:
    """Why no socket can be made in this process; "" if one can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            socket.socket().close()
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


def _blockers() -> Iterator[str]:
    kind = socket.socket
    owners = {str(getattr(thing, "__module__", "")).partition(".")[0] for thing in (kind, kind.connect)}
    yield from (text for owner, text in _BLOCKERS.items() if owner in owners)


def _proxies(environment: Mapping[str, str]) -> Iterator[str]:
    no_proxy = next((value for name, value in environment.items() if name.lower() == "no_proxy" and value), "")
    # A function of the standard library without a type: typeshed leaves it out.
    bypasses: Callable[[str, Mapping[str, str]], bool] = vars(request)["proxy_bypass_environment"]
    if no_proxy and bypasses(HOST, {"no": no_proxy}):
        return
    names = [name for name, value in environment.items() if name.lower() in ("http_proxy", "all_proxy") and value]
    if names:
        verb = "is" if len(names) == 1 else "are"
        yield (
            f"{' and '.join(names)} {verb} set, so that clients may ask that proxy for {HOST}; set"
            f" NO_PROXY={','.join(filter(None, (no_proxy, HOST)))}."
        )
