"""The proxy in tests: `proxy` for unittest, Django and scripts, and the pytest plugin. Importing this loads neither."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .ai_proxy import AIProxy
    from .context import Failure
    from .runs import Unusable

__all__ = ["AIProxy", "Failure", "RecordMode", "Unusable", "proxy"]

RecordMode: TypeAlias = Literal["none", "once", "new_episodes", "all", "rewrite"]
"""The record modes; see cassette.Mode."""


def proxy(
    cassette: str | Path | None = None,
    mode: RecordMode = "none",
    *,
    config: Mapping[str, Any] | None = None,
    simulate: bool | Mapping[str, Any] = False,
    pace: str | float | None = None,
    failed: str | None = None,
    error: int | None = None,
    content_gone: bool = False,
    slow: int | None = None,
    strict: bool = False,
    allow_unused: bool = False,
    budget: float | None = None,
) -> AbstractContextManager[AIProxy]:
    """A context with a proxy that answers from a cassette: `with proxy("boat.har") as ai_proxy:`.

    cassette: its file, with or without the suffix; None keeps nothing, and only a simulated provider answers.
    mode: what is recorded, which costs money.
    config: what config.yaml would hold; by default Kling with the credential in the environment.
    simulate: the simulator answers what is not replayed, unpaid; a mapping holds settings of the simulator.
    pace, failed, error, content_gone, slow, allow_unused: as in the mark ai_cassette of the pytest plugin.
    strict: recordings must not be left unused.
    budget: the most that recording may cost, in Kling's units.

    Entering raises Unusable; leaving raises Failure if a request had no answer. What was replayed and recorded is
    printed to stderr when the process ends, or in the report of the pytest plugin.
    """
    from .context import opened

    variation = {"pace": pace, "failed": failed, "error": error, "content_gone": content_gone, "slow": slow}
    return opened(cassette, mode, config, simulate, variation, strict, allow_unused, budget)


def __getattr__(name: str) -> Any:
    """The names that need more than this file, loaded when they are asked for."""
    if name == "Failure":
        from .context import Failure

        return Failure
    if name == "AIProxy":
        from .ai_proxy import AIProxy

        return AIProxy
    if name == "Unusable":
        from .runs import Unusable

        return Unusable
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
