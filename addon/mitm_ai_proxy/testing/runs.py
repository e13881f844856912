"""What a test asks of the proxy: its configuration, its cassette, and what its marks say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..cassette.cassette import Mode
from ..cassette.entry import Entry
from ..cassette.variations import Variation, VariationError, check_code, vary
from ..config.file import ConfigurationError
from ..config.keys import Problem

if TYPE_CHECKING:
    from ..cassette.recorded_api import RecordedAPI
    from ..registry import Configuration

CONFIG: Final = "ai_proxy_config"
"""The source that errors in the configuration name, instead of a file."""


class Unusable(Exception):
    """A test cannot use the proxy. The text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a test asks for. `config` has the content of a config.yaml.

    `path` is the cassette; without one, nothing is read or written. `simulates`: the provider is simulated.
    `remark` is what is to be told of the cassette.
    """

    config: Mapping[str, Any]
    path: Path | None
    mode: Mode
    variation: Variation | None = None
    simulates: bool = False
    remark: str = ""

    __test__: ClassVar = False
    """It is no class of tests, as pytest would take it for by its name."""


@dataclass(frozen=True, slots=True)
class Advice:
    """How a user of the proxy writes what errors advise: a record mode as `{}`, and recording from the simulator.

    `share` is added to refusals, to explain why a worker has less than the whole budget.
    """

    mode: str
    simulate: str
    share: str = ""


OF_PLUGIN: Final = Advice("--ai-record={}", "--ai-record=once --ai-simulate")
OF_CONTEXT: Final = Advice('mode="{}"', 'mode="once", simulate=True')


def make_test_run(
    config: Mapping[str, Any],
    path: Path | None,
    mode: str,
    marked: Mapping[str, Any],
    simulated: Mapping[str, Any] | None,
    remark: str = "",
) -> TestRun:
    """What a test asks for, from its configuration and the arguments of its marks. Raises Unusable.

    `marked` are the arguments of ai_cassette, `simulated` those of ai_simulate, None without that mark.
    """
    if not isinstance(config, Mapping):
        raise Unusable(f"{CONFIG}: expected a dict that holds what config.yaml would")
    if "pace" in marked:
        config = _with(config, "cassette", {}, {"pace": marked["pace"]})
    if simulated is not None:
        config = _with(config, "simulator", {"speed": "instant"}, simulated)
    given = {item.name: marked[item.name] for item in fields(Variation) if marked.get(item.name, False) is not False}
    try:
        variation = Variation(**given) if given else None
        if variation and variation.error is not None:
            check_code(variation.error, recorded_api())
    except VariationError as error:
        raise Unusable(f"ai_cassette: {error}") from None
    return TestRun(config, path, Mode(mode) if path else Mode.APPEND, variation, simulated is not None, remark)


def _with(
    config: Mapping[str, Any], block: str, defaults: Mapping[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The configuration with further values in a block. A block that is no mapping stays, and is refused later."""
    before = config.get(block) or {}
    return {**config, block: {**defaults, **before, **values}} if isinstance(before, Mapping) else config


def configuration_of(test_run: TestRun, offline: bool) -> Configuration:
    """A test's configuration. Raises ConfigurationError."""
    from .. import registry

    try:
        # Converts values to what a file would give, such as tuples to lists.
        document = json.loads(json.dumps(test_run.config))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(CONFIG, [Problem("", f"cannot be written down: {error}")]) from None
    return registry.read(document, name=CONFIG, offline=offline, simulated=test_run.simulates)


def lacks_only_a_credential(test_run: TestRun) -> bool:
    """Whether a configuration that was refused would do if its providers were simulated."""
    from .. import registry

    try:
        configuration = configuration_of(test_run, offline=True)
    except ConfigurationError:
        return False
    return registry.can_be_simulated(configuration) and registry.lacks_credential(configuration)


def words_of(variation: Variation) -> str:
    """A variation as the argument of the mark, such as `slow=3`."""
    given = [(item.name, getattr(variation, item.name), item.default) for item in fields(variation)]
    return ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)


def change_of(variation: Variation | None) -> Callable[[Sequence[Entry]], list[Entry]] | None:
    """A function that makes the variation of a cassette's entries; None without a variation."""
    return (lambda entries: vary(entries, variation, recorded_api()) if entries else []) if variation else None


def recorded_api() -> RecordedAPI:
    """The recorded APIs of all provider types, imported when they are needed."""
    from .. import registry

    return registry.recorded_api()
