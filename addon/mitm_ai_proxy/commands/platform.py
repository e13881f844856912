"""The command `ai-proxy platform`: starts the processes of the job platform, and says what is in its store.

It is imported when it is called, since it needs the extra `platform`.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ..config.file import ConfigurationError
from ..gateway.addon import Gateway
from ..gateway.embedded import HOST, Embedded, NotStarted
from ..gateway.simulated import Simulated
from ..platform import deployment
from ..platform.backends import NotInstalled
from ..platform.database import StoreError
from ..platform.deployment import Deployment
from ..platform.parts import THREADS, Parts
from ..platform.storage import StorageError
from ..platform.web.app import Application
from ..platform.web.services import Services
from ..platform.web.serving import NotServed, Serving
from ..simulator.settings import SimulatorSettings
from . import dotenv, main, platform_records
from .command_line import program

API_PORT: Final = 8000
WEBHOOK_PORT: Final = 8001
GATEWAY_PORT: Final = 8080
_LOOK_AT_MOST: Final = 0.5
"""Seconds between two looks at a simulated task."""
_PROMPT: Final = "a cat on a skateboard"

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
    except (ConfigurationError, NotInstalled, NotServed, NotStarted, StorageError, StoreError) as error:
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
            own.add_argument("--host", default=HOST, metavar="H", help="address to listen on (default: %(default)s)")
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


def _all(path: Path, chosen: argparse.Namespace) -> int:
    """Everything in this process."""
    with _ended() as has_ended, ExitStack() as stack:
        # Its mistakes first: the gateway takes a second to start.
        deployment.read(path, os.environ, data=chosen.data, gateway=f"http://{HOST}")
        embedded, speed, is_simulated = _embedded(path, chosen.gateway_port)
        stack.callback(embedded.stop)
        embedded.start()
        found = deployment.read(path, os.environ, data=chosen.data, gateway=embedded.origin)
        parts = Parts.open(_faster(found, speed))
        stack.callback(parts.close)
        serving = _served(parts, chosen)
        worker = parts.worker(chosen.threads)
        worker.start()
        stack.callback(worker.stop)
        serving.start()
        stack.callback(serving.stop)
        if is_simulated:
            print("SIMULATED: no credential found, nothing is sent, nothing is paid", flush=True)
        print(f"the page and the API are at {serving.origin}, the gateway is at {embedded.origin}", flush=True)
        body = f'{{"prompt": "{_PROMPT}"}}'
        print(f"  curl {serving.origin}/api/videos -H 'Content-Type: application/json' -d '{body}'", flush=True)
        return has_ended(lambda: serving.has_ended or not embedded.is_alive)


def _api(path: Path, chosen: argparse.Namespace) -> int:
    """The API and the page."""
    return _serve(path, chosen, "the page and the API are", only_callbacks=False)


def _webhook(path: Path, chosen: argparse.Namespace) -> int:
    """The receiver of callbacks."""
    return _serve(path, chosen, "Kling's callbacks are received", only_callbacks=True)


def _serve(path: Path, chosen: argparse.Namespace, what: str, *, only_callbacks: bool) -> int:
    with _ended() as has_ended, ExitStack() as stack:
        parts = _open(path, chosen)
        stack.callback(parts.close)
        serving = _served(parts, chosen, only_callbacks=only_callbacks)
        serving.start()
        stack.callback(serving.stop)
        print(f"{what} at {serving.origin}", flush=True)
        return has_ended(lambda: serving.has_ended)


def _worker(path: Path, chosen: argparse.Namespace) -> int:
    """Workers."""
    with _ended() as has_ended, ExitStack() as stack:
        parts = _open(path, chosen)
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


def _open(path: Path, chosen: argparse.Namespace) -> Parts:
    return Parts.open(deployment.read(path, os.environ, data=chosen.data))


def _served(parts: Parts, chosen: argparse.Namespace, *, only_callbacks: bool = False) -> Serving:
    services = Services(parts.store, parts.storage, parts.messages, parts.deployment, parts.clients)
    application = Application(services, only_callbacks=only_callbacks)
    return Serving(application, chosen.host, chosen.port, stopping=application.close)


def _embedded(path: Path, port: int) -> tuple[Embedded, float, bool]:
    """The gateway in a thread of this process, how much faster than Kling it is, and whether it is simulated."""
    configuration, _, is_simulated = main.providers(path, True, False)
    simulated = Simulated()
    simulated.turn(is_simulated)
    speed = configuration.block(SimulatorSettings).speed if is_simulated else 1.0
    return Embedded(Gateway([simulated]), configuration, listen_port=port), speed, is_simulated


def _faster(found: Deployment, speed: float) -> Deployment:
    """The waits of a platform whose Kling is so much faster."""
    if speed == 1:
        return found
    timing = found.platform.timing
    faster = dataclasses.replace(timing, speed=speed, look=min(timing.look, _LOOK_AT_MOST))
    return dataclasses.replace(found, platform=dataclasses.replace(found.platform, timing=faster))


@contextmanager
def _ended() -> Iterator[Callable[[Callable[[], bool]], int]]:
    """A function that waits for SIGTERM or SIGINT, or until what it is given says that a part has ended by itself.

    It gives the exit status. The signals are heard from the beginning of the block to its end.
    """
    is_asked = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: is_asked.set()) for number in signals}

    def wait(has_failed: Callable[[], bool]) -> int:
        while not is_asked.wait(1):
            if has_failed():
                print("ai-proxy: a part of the platform has ended by itself; its log says why.", file=sys.stderr)
                return 1
        print("ending: what is in hand is finished", flush=True)
        return 0

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_COMMANDS: Final[dict[str, Callable[[Path, argparse.Namespace], int]]] = {
    "all": _all,
    "api": _api,
    "worker": _worker,
    "webhook": _webhook,
    **platform_records.COMMANDS,
}
