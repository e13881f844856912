"""What the main addon is told: its options, the configuration, and what is made of it. The hooks of flows are apart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import mode_specs
from mitmproxy.utils import human

from .. import errors, registry
from ..config.file import ConfigurationError
from ..edges import configured, health_report, pages, ways
from ..edges.clients import NO_CLIENTS, Clients
from ..edges.held import HELD
from ..edges.token_fetcher import TokenFetcher
from ..edges.watch import Watch
from ..providers.base import Provider
from ..registry import Configuration
from ..routing.providers import Providers
from ..view.prices import PriceSettings
from . import (
    content_view,
    crashes,
    engine,
    fast_dispatch,
    fast_lookups,
    filters,
    flows,
    guard,
    intercepting,
    listed,
    sealed,
    strangers,
    unchecked,
    web_page,
)
from .guard import Guard
from .inspected import Inspected
from .intercepting import Intercepting
from .listed import Listed
from .probes import Probes
from .stages import Stage, StageError

logger = logging.getLogger(__name__)

OPTION: Final = "ai_config"
HELD_OPTION: Final = "ai_held_bodies"
HEALTH: Final = "ai.health"


class Configured:
    """The part of the main addon that has options, a configuration and stages; what is not private is for its hooks.

    `only`: the provider of every request, where there is one. `page_rules`, `clients`: who may use the proxy. `active`:
    the stages that are in use. `streams`: whether `stream_large_bodies` is set.
    """

    addons: list[object]
    """The active stages, whose hooks mitmproxy calls after ours."""

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self.stages = tuple(stages)
        self.configuration: Configuration | None = None
        self.providers: Providers | None = None
        self.only: Provider | None = None
        self.page_rules = pages.NO_RULES
        self.clients = NO_CLIENTS
        self.active: tuple[Stage, ...] = ()
        self.addons = []
        self.streams = True
        self.guard = Guard(registry.DEFAULT_HOSTS)
        self.probes = Probes()
        self._registered: list[object] = []
        self.intercepting: Intercepting
        self._inspected = Inspected()
        self._listed = Listed()
        self._path = Path()
        self._watch = Watch(self._load, self._use_changed)
        self._tokens = TokenFetcher()

    # Start, options and end

    def load(self, loader: Loader) -> None:
        """Declare the options. The guard is installed first, so that it works even if the rest fails."""
        self.guard = Guard.install(registry.DEFAULT_HOSTS, self)
        engine.drop_trailers()
        engine.tell_lost_connections()
        engine.wake_killed()
        engine.mend_heads_of_answers()
        engine.limit_heads_of_requests(guard.last_answer(errors.head_too_long(engine.LONGEST_REQUEST_HEAD)))
        crashes.contain()
        sealed.install()
        content_view.add()
        filters.add()
        options = [
            OPTION,
            HELD_OPTION,
            fast_dispatch.OPTION,
            Inspected.option,
            intercepting.OPTION,
            *(option for stage in self.stages for option in stage.options),
        ]
        # mitmproxy silently drops a script if a value of its option has the wrong type, and ignores unknown options.
        for name, value in ctx.options.deferred.items():
            if name.startswith("ai_") and name not in options:
                logger.error("ai-proxy: unknown option %s; there are %s.", name, ", ".join(options))
            elif name in options and len(getattr(value, "val", [value])) != 1:
                logger.error("ai-proxy: %s takes one value: --set %s=…", name, name)
        loader.add_option(OPTION, str, "config.yaml", "Configuration of ai-proxy: which provider, which credential.")
        loader.add_option(
            HELD_OPTION, str, "512m", "Size of the long request bodies that are held at one time, in all."
        )
        loader.add_option(
            fast_dispatch.OPTION,
            str,
            "true",
            "false: leave mitmproxy's dispatch of hooks and its look-ups as they are.",
        )
        loader.add_command(HEALTH, self.health)
        self._inspected.declare(loader)
        self.intercepting.declare(loader)
        for stage in self.stages:
            stage.declare(loader, self.guard)

    def configure(self, updated: set[str]) -> None:
        """Read the configuration when its path is set; in reverse mode, set connection_strategy to lazy."""
        # The last one first: an earlier one may be refused because a later one is active.
        for stage in reversed(self.stages):
            stage.set_options(updated, self.stages, self.providers is not None)
        self._activate()
        if Inspected.option in updated:
            self._inspect()
        if "scripts" in updated:
            unchecked.put_back()
        if fast_dispatch.OPTION in updated:
            self._dispatch(getattr(ctx.options, fast_dispatch.OPTION))
        if HELD_OPTION in updated:
            self._limit_held(getattr(ctx.options, HELD_OPTION))
        if OPTION in updated and not self._inspected.is_active:
            self._configure()
        if {intercepting.OPTION, "intercept", "intercept_active"} & updated and (
            wrong := self.intercepting.configure()
        ):
            self._complain(wrong)
        if "stream_large_bodies" in updated:
            self.streams = bool(ctx.options.stream_large_bodies)
        if not self._inspected.is_active and {"mode", "connection_strategy", "keep_host_header"} & updated:
            _connect_late()
            strangers.keep_host()

    def _configure(self) -> None:
        path = Path(getattr(ctx.options, OPTION)).expanduser()
        if self.providers is None:
            self._path = path
        try:
            self._use_file(path)
        except (ConfigurationError, StageError) as error:
            self._complain(str(error))

    def _inspect(self) -> None:
        """Begin to look at all traffic and to touch none, or not; for the start only."""
        try:
            is_running = self.providers is not None or self.guard.is_off
            self._inspected.set_option([stage.name for stage in self.active], is_running=is_running)
        except StageError as error:
            self._complain(str(error))
        if self._inspected.is_active:
            self.guard.is_off = True
            self._call_hooks()

    def _dispatch(self, value: str) -> None:
        if value in ("true", "false"):
            fast_dispatch.switch(value == "true")
            fast_lookups.switch(value == "true")
        else:
            self._complain(f"{fast_dispatch.OPTION} takes true or false.")

    def _limit_held(self, text: str) -> None:
        try:
            size = human.parse_size(text)
        except ValueError:
            size = None
        if size is None or size < 0:
            self._complain(f"{HELD_OPTION} is no size, such as 512m.")
        else:
            HELD.limit = size

    def _complain(self, mistake: str) -> None:
        """Refuse the value of an option."""
        if self.providers is not None:
            raise exceptions.OptionsError(mistake)
        # A logged error ends the process during start-up, without the traceback that a raised one gets.
        logger.error("ai-proxy: %s", mistake)

    def running(self) -> None:
        """Begin to watch the configuration file; log the stages' banners and a hint about connection_strategy."""
        if not self._inspected.is_active:
            self._begin()
        # Last: what only shows things or saves time must not keep the proxy from its work.
        listed.add_columns()
        listed.add_line()
        web_page.change()
        unchecked.leave_out()

    def _begin(self) -> None:
        self._watch.start()
        self.probes.start(lambda: None if self.way != ways.SENT else self.providers)
        self._tokens.start()
        for stage in self.active:
            if self.configuration and (banner := stage.banner(self.configuration, strangers.own_origin())):
                logger.info("%s", banner)
        if ctx.options.connection_strategy != "lazy":
            logger.info(
                "ai-proxy: mitmproxy connects to the host that a client names before a request is rewritten; "
                "--set connection_strategy=lazy avoids that."
            )

    def done(self) -> None:
        """Stop watching. At the end of the process, redact unfinished flows, which mitmproxy may save."""
        self._watch.stop()
        self.probes.stop()
        content_view.remove()
        listed.remove_line()
        web_page.put_back()
        self._tokens.stop()
        fast_dispatch.switch(False)
        fast_lookups.switch(False)
        unchecked.put_back()
        if ctx.master.should_exit.is_set():
            for flow, state in list(self.guard.states.items()):
                flows.redact(flow, state)

    def health(self) -> Sequence[str]:
        """Print which tokens and providers are in use, left out or on trial, since when and why."""
        nothing = "no provider is used (ai_inspect)" if self._inspected.is_active else "there is no valid configuration"
        lines = health_report.lines(self.providers) if self.providers else [nothing]
        logger.info("ai-proxy: %s", "\n  ".join(lines))
        return lines

    # Configuration

    def use(self, configuration: Configuration) -> None:
        """Switch to another configuration and to the stages that are active now; no file is watched any more.

        Flows in progress keep the old configuration. If it raises ConfigurationError or StageError, nothing changes.
        """
        self._activate()
        self._use(self._with_texts(configuration))
        self._watch.forget()

    def _use(self, configuration: Configuration) -> None:
        providers = registry.providers(configuration, simulated=self._simulates)
        prepared = [stage.prepare(configuration, providers) for stage in self.active]
        for put_to_use in prepared:
            put_to_use()
        self._tokens.use(
            configured.access_tokens(providers),
            is_offline=any(stage.is_offline for stage in self.active) or self._simulates,
        )
        self.configuration, self.providers, self.only = configuration, providers, providers.only
        self.guard.hosts = registry.hosts(configuration, *providers)
        content_view.use(configuration.block(PriceSettings))
        self.page_rules = configured.rules(configuration, providers)
        self.clients = Clients(configuration.block(registry.ClientSettings).client_tokens)
        configured.describe(configuration, providers)

    def reload(self) -> None:
        """Read the configuration file again. Raises ConfigurationError or StageError; then the old one stays."""
        self._use_file(self._path)

    def _use_file(self, path: Path) -> None:
        self._watch.read(path)
        self._use(self._read(path))
        self._path = path

    def _read(self, path: Path) -> Configuration:
        found = registry.read(path, offline=self._is_offline, simulated=self._simulates)
        return self._with_texts(found)

    @property
    def _is_offline(self) -> bool:
        return any(stage.is_offline for stage in self.active)

    def _with_texts(self, configuration: Configuration) -> Configuration:
        return configured.with_texts(configuration, is_offline=self._is_offline or self._simulates)

    def _load(self, path: Path) -> Configuration | Exception:
        try:
            return self._read(path)
        except Exception as error:
            return error

    @property
    def _simulates(self) -> bool:
        return any(stage.simulates for stage in self.active)

    @property
    def way(self) -> str:
        """The way of a request, as far as the stages tell it before they have seen it."""
        if self._simulates:
            return ways.SIMULATED
        return ways.REPLAYED if any(stage.is_offline for stage in self.active) else ways.SENT

    def _use_changed(self, loaded: Configuration | Exception) -> None:
        """Use the configuration file that has changed; if it has errors, log them and keep the old configuration."""
        try:
            if isinstance(loaded, Exception):
                raise loaded
            self._use(loaded)
        except (ConfigurationError, StageError) as error:
            kept = "the old configuration stays" if self.providers else "nothing is forwarded"
            logger.error("ai-proxy: %s\n  (%s)", error, kept)
        except Exception as error:
            logger.error("ai-proxy: %s while reading %s", type(error).__name__, self._path)

    def _activate(self) -> None:
        """Register the active stages with mitmproxy, behind this addon."""
        active = tuple(stage for stage in self.stages if stage.is_active)
        if active != self.active or (self._listed not in self._registered and listed.is_window()):
            self.active = active
            self._call_hooks()

    def _call_hooks(self) -> None:
        """Have mitmproxy call the hooks of the stages and of the addon that looks on, behind ours."""
        # The stages see a request as a person has left it.
        addons: list[object] = [self.intercepting.after] if listed.is_window() else []
        addons += [*self.active, *([self._inspected] if self._inspected.is_active else [])]
        # It shows what the others have done.
        addons += [self._listed] if listed.is_window() else []
        for addon in addons:
            # mitmproxy keeps the name of an addon for good, and refuses it a second time.
            if addon not in self._registered:
                ctx.master.addons.register(addon)
                self._registered.append(addon)
        self.addons = addons


def _connect_late() -> None:
    """Set connection_strategy to lazy if all modes are reverse: mitmproxy's eager connections would not be used."""
    options: Any = ctx.options
    modes = [mode_specs.ProxyMode.parse(mode) for mode in options.mode]
    if options.connection_strategy != "lazy" and all(isinstance(mode, mode_specs.ReverseMode) for mode in modes):
        options.update(connection_strategy="lazy")
