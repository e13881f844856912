"""What stands behind the gateway and has a say in what it rewrote: a recorder, a simulator. An interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from mitmproxy import http
from mitmproxy.addonmanager import Loader

from ..exchange import Handling
from ..providers.base import Provider
from ..registry import Configuration
from ..wire.targets import Origin
from .flows import FlowState
from .guard import Guard


class StageError(Exception):
    """A stage cannot work as it is configured. The text is for a person, and holds no secret."""


class Result(NamedTuple):
    """What a provider made, under the proxy's own address. Pages of other sites may show it.

    With an `origin`, it lies there under `target`, and is fetched without a credential; else the provider has it.
    """

    origin: Origin | None = None
    target: str = ""


class Stage(Protocol):
    """An addon that the gateway knows by what it does with a flow. Idle until it `is_active`.

    While it is active it is asked at mitmproxy's hooks too, behind the gateway, in the order of the stages. A flow that
    an active stage has in `held_by` does not go out.
    """

    name: str
    options: Sequence[str]
    """The names of its options."""
    is_active: bool
    """Whether it takes part."""
    simulates: bool
    """Whether the provider gets the account of the simulator in the place of its own credentials."""

    @property
    def is_offline(self) -> bool:
        """Whether nothing goes to the provider while it is active, so that a credential may be missing."""

    def declare(self, loader: Loader, guard: Guard) -> None:
        """Declare its options. `guard` knows all flows."""

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        """Look at its options where they were updated; those behind it in `stages` have done so.

        Raises OptionsError for what cannot change while it runs.
        """

    def prepare(self, configuration: Configuration, provider: Provider) -> Callable[[], None]:
        """Get ready for another configuration; what is returned puts it to use, and does not fail.

        Raises StageError, and all stays as it is.
        """

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        """Take up a flow, in the requestheaders hook: what result it asks for, if it does. Raises Refusal."""

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        """How the answer is to be handled, whose status and fields have come."""

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """The provider's answer, before it is rewritten, where it was held."""

    def banner(self, configuration: Configuration, here: Origin) -> str:
        """What a person has to know at the start, `here` being where the proxy is found; "" for nothing."""
