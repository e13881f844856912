"""The processes of `ai-proxy platform` that listen: everything in one, the API, the receiver of callbacks."""

from __future__ import annotations

import argparse
import dataclasses
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..gateway.addon import Gateway
from ..gateway.embedded import HOST, Embedded, NotStarted
from ..gateway.simulated import Simulated
from ..platform import deployment
from ..platform.deployment import Deployment
from ..platform.parts import Parts
from ..platform.web.app import Application
from ..platform.web.services import Services
from ..platform.web.serving import NotServed, Serving
from ..simulator.settings import SimulatorSettings
from . import main
from .platform_process import CannotStart, ended

_LOOK_AT_MOST: Final = 0.5
"""Seconds between two looks at a simulated task."""
_PROMPT: Final = "a cat on a skateboard"


def everything(path: Path, chosen: argparse.Namespace) -> int:
    """Everything in this process."""
    with ended() as has_ended, ExitStack() as stack:
        # Its mistakes first: the gateway takes a second to start.
        deployment.read(path, os.environ, data=chosen.data, gateway=f"http://{HOST}")
        embedded, speed, is_simulated = _embedded(path, chosen.gateway_port)
        stack.callback(embedded.stop)
        _start(embedded)
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


def api(path: Path, chosen: argparse.Namespace) -> int:
    """The API and the page."""
    return _serve(path, chosen, "the page and the API are", only_callbacks=False)


def webhook(path: Path, chosen: argparse.Namespace) -> int:
    """The receiver of callbacks."""
    return _serve(path, chosen, "Kling's callbacks are received", only_callbacks=True)


def _serve(path: Path, chosen: argparse.Namespace, what: str, *, only_callbacks: bool) -> int:
    with ended() as has_ended, ExitStack() as stack:
        parts = Parts.open(deployment.read(path, os.environ, data=chosen.data))
        stack.callback(parts.close)
        serving = _served(parts, chosen, only_callbacks=only_callbacks)
        serving.start()
        stack.callback(serving.stop)
        print(f"{what} at {serving.origin}", flush=True)
        return has_ended(lambda: serving.has_ended)


def _served(parts: Parts, chosen: argparse.Namespace, *, only_callbacks: bool = False) -> Serving:
    services = Services(parts.store, parts.storage, parts.messages, parts.deployment, parts.clients)
    application = Application(services, only_callbacks=only_callbacks)
    try:
        return Serving(application, chosen.host, chosen.port, stopping=application.close)
    except NotServed as error:
        raise CannotStart(str(error)) from None


def _embedded(path: Path, port: int) -> tuple[Embedded, float, bool]:
    """The gateway in a thread of this process, how much faster than Kling it is, and whether it is simulated."""
    configuration, _, is_simulated = main.providers(path, None, False)
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


def _start(embedded: Embedded) -> None:
    try:
        embedded.start()
    except NotStarted as error:
        raise CannotStart(str(error)) from None
