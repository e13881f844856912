"""Other gateways, measured beside `serve` where their commands are found: Portkey (npm) and LiteLLM (PyPI).

Each passes a chat on to the same provider. They are not installed by run.sh.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from servers import CLIENT_KEY, Proxy, Upstream, free_ports, running, tool

_START_SECONDS: Final = 180.0
_LITELLM: Final = """\
model_list:
- model_name: "*"
  litellm_params: {{model: "openai/*", api_base: "{origin}/v1", api_key: sk-bench-provider-key}}
litellm_settings: {{telemetry: false}}
"""


class Peer(NamedTuple):
    """Another gateway. `commands`: names of its command. `bar`: the least of its CPU time / that of `serve`."""

    name: str
    commands: Sequence[str]
    start: Callable[[str, Path, Upstream], Iterator[Proxy]]
    bar: float

    @property
    def command(self) -> str | None:
        """The path of its command; None if it is not installed."""
        return next((found for name in self.commands if (found := tool(name))), None)


def _portkey(command: str, folder: Path, upstream: Upstream) -> Iterator[Proxy]:
    (port,) = free_ports(1)
    # It sends requests only to hosts that are trusted, if they are on this machine.
    environment = {**os.environ, "NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    with running(
        "portkey", [command, "--headless", f"--port={port}"], port, folder, environment, _START_SECONDS
    ) as pid:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream.origin}/v1"}
        yield Proxy("portkey", port, pid, is_peer=True, headers=headers)


def _litellm(command: str, folder: Path, upstream: Upstream) -> Iterator[Proxy]:
    (port,) = free_ports(1)
    file = folder / "litellm.yaml"
    file.write_text(_LITELLM.format(origin=upstream.origin))
    arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {
        **os.environ,
        # Otherwise it fetches a table of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        # It does not start without one, nor with one that is as short as that of the requests here.
        "LITELLM_MASTER_KEY": CLIENT_KEY,
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with running("litellm", [command, *arguments], port, folder, environment, _START_SECONDS) as pid:
        yield Proxy("litellm", port, pid, is_peer=True)


PEERS: Final = (
    Peer("portkey", ("portkey-gateway", "gateway"), _portkey, 4.0),
    Peer("litellm", ("litellm",), _litellm, 20.0),
)


def installed() -> list[Peer]:
    """Those whose commands are found."""
    return [peer for peer in PEERS if peer.command]


@contextmanager
def run(peer: Peer, folder: Path, upstream: Upstream) -> Iterator[Proxy]:
    """Run one before the provider."""
    assert peer.command
    yield from peer.start(peer.command, folder, upstream)
