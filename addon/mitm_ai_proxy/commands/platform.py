"""The command `ai-proxy platform`: starts the processes of the job platform, and says what is in its store.

It is imported when it is called, since it needs the extra `platform`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..config.file import ConfigurationError
from ..platform import deployment
from ..platform.backends import NotInstalled
from ..platform.database import StoreError
from ..platform.parts import THREADS, Parts
from ..platform.storage import StorageError
from . import dotenv, main, platform_records
from .command_line import program
from .platform_process import CannotStart, ended

API_PORT: Final = 8000
WEBHOOK_PORT: Final = 8001
GATEWAY_PORT: Final = 8080

_DESCRIPTION: Final = """\
all        gateway, API, page and workers in one process, simulated where there is no credential (the default)
api        the API and the page
worker     workers, which buy, fetch and store
webhook    the receiver of Kling's callbacks
gateway    the gateway, which holds Kling's key: mitmdump with the addon
check      try the configuration, the database, the queue, the storage and the gateway
job ID     what happened to a job, line by line
retry ID   accept what a failed job asked for once more
reconcile  compare the books with Kling's, and list tasks there that no job here has
export     all jobs, one JSON object a line
key TENANT make a key for a tenant, and print it once

Where the parts are is said by the environment: DATABASE_URL, REDIS_URL, STORAGE_URL, GATEWAY_URL, PUBLIC_URL,
KLING_WEBHOOK_SECRET, PLATFORM_DATA. Unset, it is SQLite and a folder below ./platform-data.
"""


def run(words: Sequence[str]) -> int:
    """Run one of the commands; returns the exit status: 0 success, 1 an error, 2 wrong usage."""
    is_told = bool(words) and (not words[0].startswith("-") or words[0] in ("-h", "--help"))
    chosen = _parser().parse_args(words if is_told else ["all", *words])
    path: Path = chosen.config or main.default_config()
    dotenv.use(path)
    if chosen.command == "gateway":
        return _gateway(path, chosen)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("mitm_ai_proxy.platform").setLevel(logging.INFO)
    try:
        return _COMMANDS[chosen.command](path, chosen)
    except (CannotStart, ConfigurationError, NotInstalled, StorageError, StoreError) as error:
        print(f"ai-proxy: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program()} platform",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in (*_SERVERS, "worker", *platform_records.COMMANDS):
        own = commands.add_parser(name, allow_abbrev=False)
        own.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: config.yaml)")
        own.add_argument("--data", type=Path, metavar="FOLDER", help="where SQLite and files are kept")
        if name in _SERVERS:
            own.add_argument(
                "--host", default=main.LISTEN[0], metavar="H", help="address to listen on (default: %(default)s)"
            )
            own.add_argument(
                "--port", type=_port, default=_SERVERS[name], metavar="N", help="port; 0: any (default: %(default)s)"
            )
        if name == "all":
            own.add_argument("--gateway-port", type=_port, default=0, metavar="N", help="port of the gateway (any)")
        if name in ("all", "worker"):
            own.add_argument("--threads", type=_threads, default=THREADS, metavar="N", help="(default: %(default)s)")
        platform_records.declare(name, own)
    return parser


_SERVERS: Final = {"all": API_PORT, "api": API_PORT, "webhook": WEBHOOK_PORT, "gateway": GATEWAY_PORT}
"""The commands that listen, and at which port."""


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("expected a number from 0 to 65535")
    return int(text)


def _threads(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("expected a number from 1 to 256")
    return int(text)


# Processes


# What they need, FastAPI and, all in one, mitmproxy, is imported for them alone.


def _all(path: Path, chosen: argparse.Namespace) -> int:
    """Everything in this process."""
    from . import platform_all

    return platform_all.everything(path, chosen)


def _api(path: Path, chosen: argparse.Namespace) -> int:
    """The API and the page."""
    from . import platform_servers

    return platform_servers.api(path, chosen)


def _webhook(path: Path, chosen: argparse.Namespace) -> int:
    """The receiver of callbacks."""
    from . import platform_servers

    return platform_servers.webhook(path, chosen)


def _worker(path: Path, chosen: argparse.Namespace) -> int:
    """Workers."""
    with ended() as has_ended, ExitStack() as stack:
        parts = Parts.open(deployment.read(path, os.environ, data=chosen.data))
        stack.callback(parts.close)
        worker = parts.worker(chosen.threads)
        worker.start()
        stack.callback(worker.stop)
        gateways = ", ".join(parts.deployment.gateways.values())
        print(f"{chosen.threads} threads work; the gateway is at {gateways}", flush=True)
        return has_ended(lambda: False)


def _gateway(path: Path, chosen: argparse.Namespace) -> int:
    """The gateway: mitmdump with the addon, whose output names no requests."""
    words = ["start", "--config", str(path), "--listen-host", chosen.host, "--listen-port", str(chosen.port)]
    return main.main([*words, "--set", "flow_detail=0"])


_COMMANDS: Final[dict[str, Callable[[Path, argparse.Namespace], int]]] = {
    "all": _all,
    "api": _api,
    "worker": _worker,
    "webhook": _webhook,
    **platform_records.COMMANDS,
}
