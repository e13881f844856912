"""The whole job platform in one process: `ai-proxy platform`, or `platform all`."""

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
from ..simulator.settings import SimulatorSettings
from . import main
from .platform_process import CannotStart, ended
from .platform_servers import served

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
        serving = served(parts, chosen)
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
