"""A gateway with a simulated Kling, over sockets."""

from __future__ import annotations

import dataclasses
from typing import Any

from mitm_ai_proxy import registry
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.embedded import Embedded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.simulator.settings import SimulatorSettings


class Proxy:
    """A gateway whose Kling is simulated: two tasks at once, done when they are first looked at."""

    def __init__(self) -> None:
        document = {"provider": {"type": "kling"}, "simulator": {"speed": "instant", "concurrency": 2}}
        self._simulated = Simulated()
        self._simulated.turn(True)
        self._configuration = registry.read(document, name="platform", simulated=True)
        self._gateway = Gateway([self._simulated])
        self.embedded = Embedded(self._gateway, self._configuration)

    def renew(self, **settings: Any) -> None:
        """Begin with a Kling without tasks, and with other settings of the simulator where they are given."""
        simulator = self._configuration.block(SimulatorSettings)
        configuration = self._configuration.with_block(dataclasses.replace(simulator, **settings))

        def use() -> None:
            self._simulated.turn(True)
            self._gateway.use(configuration)

        self.embedded.call(use)
