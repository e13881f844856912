"""The interface between the gateway and its stages: addons that record or answer rewritten requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from mitmproxy import http
from mitmproxy.addonmanager import Loader

from ..exchange import Handling
from ..registry import Configuration
from ..routing.providers import Providers
from ..wire.targets import Origin
from .flows import FlowState
from .guard import Guard


class StageError(Exception):
    """A stage cannot work as it is configured. The text is for the user, and holds no secret."""


class Result(NamedTuple):
    """A provider's result, such as a video, requested by a link that leads through the proxy.

    With an `origin` it is fetched from there by `target`, without a credential; else from the provider. Unlike other
    requests, these may come from pages of other sites. If it `needs_credential`, it is a link of the provider's own
    API, which is a request like others.
    """

    origin: Origin | None = None
    target: str = ""
    needs_credential: bool = False


class Stage(Protocol):
    """An addon that takes part in the flows of the gateway while it `is_active`.

    mitmproxy calls the hooks of the active stages after the gateway's, in their order. A request is not sent before
    each active stage has removed its name from the flow's `held_by`.
    """

    name: str
    options: Sequence[str]
    """The names of its mitmproxy options."""
    is_active: bool
    """Whether it takes part in new flows."""
    simulates: bool
    """Whether providers use the credentials of the simulator instead of their own."""

    @property
    def is_offline(self) -> bool:
        """Whether nothing is sent to a provider while it is active, so that a credential may be missing."""

    def declare(self, loader: Loader, guard: Guard) -> None:
        """Declare its options. `guard.states` has the state of every flow."""

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        """Apply its updated options; those behind it in `stages` have done so already.

        Raises OptionsError for an option that cannot change while the proxy runs.
        """

    def prepare(self, configuration: Configuration, providers: Providers) -> Callable[[], None]:
        """Prepare for another configuration; returns a function that applies it and does not fail.

        If it raises StageError, nothing changes.
        """

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        """In the requestheaders hook: the result that a flow asks for; None for any other request. Raises Refusal."""

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        """In the responseheaders hook: how to handle the answer; `handling` is what the gateway would do."""

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """In the response hook: look at the provider's answer before it is rewritten."""

    def banner(self, configuration: Configuration, here: Origin) -> str:
        """A text for the log at the start; "" for none. `here` is the origin at which the proxy listens."""
