"""mitmproxy's dispatch of hooks without the walk over all addons, most of which have nothing to say to most hooks.

Where the addon manager is not the one that was studied here, mitmproxy's own dispatch stays.
"""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from mitmproxy import addonmanager, ctx, exceptions, flow, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.log import AddLogHook, LegacyLogEvents
from mitmproxy.master import Master
from mitmproxy.proxy import server

from . import replaced

logger = logging.getLogger(__name__)

OPTION: Final = "ai_fast_dispatch"

_IMITATED: Final[tuple[Callable[..., Any], ...]] = (
    AddonManager.handle_lifecycle,
    AddonManager.trigger_event,
    AddonManager.trigger,
    AddonManager.invoke_addon,
    AddonManager._iter_hooks,
    addonmanager.safecall,
    addonmanager.traverse,
)
_DIGEST: Final = "234f360ad0c20bc4fb37cbdd37a3bd5203f20d742fa61955ac77517179964503"
"""Of the source of these functions, which is the same in mitmproxy 11.0.2 and 12.0 to 12.3."""

_LIFECYCLE: Final = frozenset(("load", "configure", "running", "done"))
"""Hooks in which addons may grow other ones; mitmproxy's own dispatch calls them."""
_KEEPERS: Final = ("mitmproxy.", __name__.partition(".")[0] + ".")
"""Packages whose addons have the same hooks as long as they live, and no children if they begin without.

Their hooks for flows change neither the chain nor anybody's children.
"""
_NONE: Final[list[Any]] = []
_ENABLED: Final = "isEnabledFor"
_UPDATE: Final = hooks.UpdateHook([])


class _Step(NamedTuple):
    """An addon to ask for a hook: the one at `place` in the chain. `family` is what is known of its children."""

    place: int
    addon: Any
    family: _Family | None

    def hooks(self, name: str) -> Iterable[tuple[Any, Any]]:
        """The addon and its descendants, each with its hook, in mitmproxy's order; without those that have none."""
        if self.family:
            return self.family.hooks()
        hook = getattr(self.addon, name, None)
        return ((self.addon, hook),) if hook else ()


class _Asked:
    """Which addons of the chain have to be asked for a hook: known until it changes."""

    __slots__ = ("_known", "_name", "_steps")

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: list[Any] = []
        self._steps: list[_Step] = []

    def steps(self, chain: list[Any]) -> Iterator[_Step]:
        """The addons to ask. As mitmproxy does, it goes on with the same list if that changes meanwhile."""
        if self._known != chain:
            self._known = chain.copy()
            self._steps = [step for step in map(self._step, range(len(chain)), chain) if step]
        known = self._known
        for step in self._steps:
            yield step
            # The others leave the chain as it is.
            if step.family and chain != known:
                break
        else:
            return
        place = step.place
        while (place := place + 1) < len(chain):
            yield _Step(place, chain[place], _Family(chain[place], self._name))

    def _step(self, place: int, addon: Any) -> _Step | None:
        if not _keeps_its_hooks(addon) or hasattr(addon, "addons"):
            return _Step(place, addon, _Family(addon, self._name))
        return _Step(place, addon, None) if getattr(addon, self._name, None) else None


class _Family:
    """Which of an addon and its descendants have to be asked for a hook: known until they have other children."""

    __slots__ = ("_addon", "_asked", "_children", "_name", "_parents")

    def __init__(self, addon: Any, name: str) -> None:
        self._addon, self._name = addon, name
        self._parents: list[Any] = []
        """Those that have children or may get some."""
        self._children: list[Any] = []
        self._asked: list[tuple[Any, list[tuple[int, int]], bool]] = []
        """Each with the way to it (numbers of parents, and which child of each), and whether it keeps its hooks."""
        self._look()

    def hooks(self) -> Iterator[tuple[Any, Any]]:
        """Each with its hook, in mitmproxy's order. If children change meanwhile, it goes on as mitmproxy does."""
        children = []
        for parent in self._parents:
            children.append(getattr(parent, "addons", _NONE))
        if children != self._children:
            self._look()
            children = _children(self._parents)
        name, parents, known = self._name, self._parents, self._children
        for addon, way, keeps_hooks in self._asked:
            if hook := getattr(addon, name, None):
                yield addon, hook
                if not keeps_hooks and _children(parents) != known:
                    yield from _hooks_behind(addon, way, children, name)
                    return

    def _look(self) -> None:
        self._parents, self._children, self._asked = [], [], []
        self._visit(self._addon, [])

    def _visit(self, addon: Any, way: list[tuple[int, int]]) -> None:
        keeps_hooks, has_children = _keeps_its_hooks(addon), hasattr(addon, "addons")
        if not keeps_hooks or getattr(addon, self._name, None):
            self._asked.append((addon, way, keeps_hooks))
        if has_children or not keeps_hooks:
            number, children = len(self._parents), [*getattr(addon, "addons", _NONE)]
            self._parents.append(addon)
            self._children.append(children)
            for index, child in enumerate(children):
                self._visit(child, [*way, (number, index)])


class FastAddonManager(AddonManager):
    """The addon manager that asks for a hook only addons that may have it; order and errors are those of mitmproxy.

    mitmproxy's own addons and those of this package have the same hooks as long as they live: they are asked once,
    until an addon comes or goes or options change. All others are asked each time, as scripts may set and remove hooks.
    """

    is_fast = True
    """Tells it from mitmproxy's, also after a reload of the script, when this is another class."""

    # Not super(): a method that is due already may be called when the manager has its own class again.

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        arguments = event.args()
        message = arguments[0]
        if event.name in _LIFECYCLE:
            await self.trigger_event(event)
        else:
            await _trigger(self, event, arguments)
        if isinstance(message, flow.Flow):
            await _trigger(self, _UPDATE, [[message]])

    async def trigger_event(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        if event.name in _LIFECYCLE:
            await AddonManager.trigger_event(self, event)
            _forget(self)
        else:
            await _trigger(self, event, event.args())

    def trigger(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        if event.name in _LIFECYCLE:
            AddonManager.trigger(self, event)
            _forget(self)
            return
        for step in _asked(self, event.name).steps(self.chain):
            try:
                with addonmanager.safecall():
                    self.invoke_addon_sync(step.addon, event)
            except exceptions.AddonHalt:
                return


class _IsHeard(logging.Filter):
    """Passes lines of the log where an addon has the deprecated hook for them, which no addon of mitmproxy's has.

    mitmproxy wakes its loop for each line to trigger that hook, and logs two lines for each streamed request.
    """

    def __init__(self, manager: AddonManager) -> None:
        super().__init__()
        self._manager = weakref.ref(manager)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether an addon hears this line."""
        return self.is_so()

    def is_so(self) -> bool:
        """Whether an addon hears lines; yes if the manager has its own dispatch."""
        manager = self._manager()
        if type(manager) is not FastAddonManager:
            return True
        steps = _asked(manager, AddLogHook.name).steps(manager.chain)
        return any(True for step in steps for _ in step.hooks(AddLogHook.name))


def _spare_lines(master: Master) -> None:
    handler = getattr(master, "_legacy_log_events", None)
    if isinstance(handler, LegacyLogEvents):
        for old in [one for one in handler.filters if type(one).__name__ == _IsHeard.__name__]:
            handler.removeFilter(old)
        is_heard = _IsHeard(master.addons)
        handler.addFilter(is_heard)
        setattr(server.logger, _ENABLED, functools.partial(_is_enabled, handler, is_heard))


def _is_enabled(legacy: LegacyLogEvents, is_heard: _IsHeard, level: int) -> bool:
    """Whether a line of mitmproxy's layers is heard, which need not be made otherwise: as Logger.isEnabledFor()."""
    is_enabled = logging.Logger.isEnabledFor(server.logger, level)
    if level >= logging.WARNING or not is_enabled:
        return is_enabled
    asked: logging.Logger | None = server.logger
    while asked:
        for handler in asked.handlers:
            if handler.level <= level and (handler is not legacy or is_heard.is_so()):
                return True
        asked = asked.parent if asked.propagate else None
    return False


# Functions, as the class of a manager is changed while its methods run.


async def _trigger(manager: AddonManager, event: hooks.Hook, arguments: list[Any]) -> None:
    name = event.name
    for step in _asked(manager, name).steps(manager.chain):
        try:
            for addon, hook in step.hooks(name):
                if not callable(hook):
                    # mitmproxy's own error, but none for a module.
                    next(manager._iter_hooks(addon, event), None)
                    continue
                result = hook(*arguments)
                if result is not None and inspect.isawaitable(result):
                    await result
        except exceptions.AddonHalt:
            return
        except exceptions.OptionsError:
            raise
        except Exception as error:
            _log(error)


def _asked(manager: Any, name: str) -> _Asked:
    known: dict[str, _Asked] = manager.ai_proxy_asked
    return known.get(name) or known.setdefault(name, _Asked(name))


def _forget(manager: Any) -> None:
    manager.ai_proxy_asked = {}


def _children(parents: list[Any]) -> list[Any]:
    return [getattr(parent, "addons", _NONE) for parent in parents]


def _hooks(addons: Iterable[Any], name: str) -> Iterator[tuple[Any, Any]]:
    for addon in addonmanager.traverse(addons):
        if hook := getattr(addon, name, None):
            yield addon, hook


def _hooks_behind(addon: Any, way: list[tuple[int, int]], children: list[Any], name: str) -> Iterator[tuple[Any, Any]]:
    """What is left of a family behind one of it: its children, and the later ones in each list on the way to it."""
    yield from _hooks(getattr(addon, "addons", _NONE), name)
    for parent, index in reversed(way):
        siblings = children[parent]
        while (index := index + 1) < len(siblings):
            yield from _hooks([siblings[index]], name)


def _keeps_its_hooks(addon: object) -> bool:
    return type(addon).__module__.startswith(_KEEPERS)


def _log(error: Exception) -> None:
    """Log what an addon raised, as mitmproxy does."""
    traceback = error.__traceback__
    assert traceback
    # Without the frame above.
    exception = type(error), error, traceback.tb_next or traceback
    addonmanager.logger.error(f"Addon error: {error}", exc_info=exception)


def switch(is_on: bool) -> None:
    """Use this dispatch, or mitmproxy's own again."""
    manager: Any = ctx.master.addons
    if getattr(manager, "is_fast", False):
        manager.__class__ = AddonManager
    vars(server.logger).pop(_ENABLED, None)
    if not is_on:
        return
    if type(manager) is AddonManager and is_known():
        _forget(manager)
        manager.__class__ = FastAddonManager
        _spare_lines(ctx.master)
    else:
        logger.info("ai-proxy: mitmproxy's addon manager is not one that is known here, so %s has no effect.", OPTION)


def is_known() -> bool:
    """Whether mitmproxy's addon manager is the one that is imitated here."""
    return replaced.are_known(_IMITATED, _DIGEST)
