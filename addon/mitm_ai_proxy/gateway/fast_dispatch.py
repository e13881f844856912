"""mitmproxy's dispatch of hooks without the walk over all addons, most of which have nothing to say to most hooks.

Where the addon manager is not the one that was studied here, mitmproxy's own dispatch stays.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from mitmproxy import addonmanager, ctx, exceptions, flow, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.log import AddLogHook, LegacyLogEvents
from mitmproxy.master import Master

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
_PLANS: Final = "_ai_proxy_plans"


class _Plan(NamedTuple):
    """Which addons of a chain have to be asked for a hook: those at `indices`."""

    chain: list[Any]
    indices: tuple[int, ...]


class FastAddonManager(AddonManager):
    """The addon manager that asks for a hook only addons that may have it; order and errors are those of mitmproxy.

    mitmproxy's own addons, which have the same hooks as long as they live, are asked once, until an addon comes or goes
    or options change. All others are asked each time, as scripts may set and remove their hooks.
    """

    is_fast = True
    """Tells it from mitmproxy's, also after a reload of the script, when this is another class."""

    # Not super(): a method that is due already may be called when the manager has its own class again.

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        message = event.args()[0]
        await self.trigger_event(event)
        if isinstance(message, flow.Flow):
            await self.trigger_event(hooks.UpdateHook([message]))

    async def trigger_event(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        if event.name in _LIFECYCLE:
            await AddonManager.trigger_event(self, event)
            _plans(self).clear()
            return
        arguments = event.args()
        for addon in _asked(self, event.name):
            try:
                for _, hook in _hooks_of(self, addon, event):
                    result = hook(*arguments)
                    if result is not None and inspect.isawaitable(result):
                        await result
            except exceptions.AddonHalt:
                return
            except exceptions.OptionsError:
                raise
            except Exception as error:
                _log(error)

    def trigger(self, event: hooks.Hook) -> None:
        """As in AddonManager."""
        if event.name in _LIFECYCLE:
            AddonManager.trigger(self, event)
            _plans(self).clear()
            return
        for addon in _asked(self, event.name):
            try:
                with addonmanager.safecall():
                    self.invoke_addon_sync(addon, event)
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
        """Whether an addon hears this line; yes if the manager has its own dispatch."""
        manager = self._manager()
        if type(manager) is not FastAddonManager:
            return True
        asked = list(_asked(manager, AddLogHook.name))
        return any(getattr(addon, AddLogHook.name, None) for addon in addonmanager.traverse(asked))


def _spare_lines(master: Master) -> None:
    handler = getattr(master, "_legacy_log_events", None)
    if isinstance(handler, LegacyLogEvents):
        for old in [one for one in handler.filters if type(one).__name__ == _IsHeard.__name__]:
            handler.removeFilter(old)
        handler.addFilter(_IsHeard(master.addons))


# Functions, as the class of a manager is changed while its methods run.


def _plans(manager: AddonManager) -> dict[str, _Plan]:
    plans: dict[str, _Plan] = manager.__dict__.setdefault(_PLANS, {})
    return plans


def _asked(manager: AddonManager, name: str) -> Iterator[Any]:
    """The addons to ask for a hook. As mitmproxy does, it goes on with the same list if that changes meanwhile."""
    chain, plans = manager.chain, _plans(manager)
    plan = plans.get(name)
    if plan is None or plan.chain != chain:
        indices = tuple(index for index, addon in enumerate(chain) if _may_have(addon, name))
        plan = plans[name] = _Plan(chain.copy(), indices)
    index = -1
    for index in plan.indices:
        yield chain[index]
        if chain != plan.chain:
            break
    else:
        return
    while (index := index + 1) < len(chain):
        yield chain[index]


def _hooks_of(manager: AddonManager, addon: Any, event: hooks.Hook) -> Iterable[tuple[Any, Any]]:
    """An addon and its children, each with its hook. Raises AddonManagerError for one that is not callable."""
    hook = getattr(addon, event.name, None)
    if hasattr(addon, "addons") or (hook and not callable(hook)):
        found: Iterable[tuple[Any, Any]] = manager._iter_hooks(addon, event)
        return found
    return ((addon, hook),) if hook else ()


def _may_have(addon: object, name: str) -> bool:
    is_own = type(addon).__module__.startswith("mitmproxy.") and not hasattr(addon, "addons")
    return not is_own or bool(getattr(addon, name, None))


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
    if not is_on:
        return
    if type(manager) is AddonManager and is_known():
        _plans(manager).clear()
        manager.__class__ = FastAddonManager
        _spare_lines(ctx.master)
    else:
        logger.info("ai-proxy: mitmproxy's addon manager is not one that is known here, so %s has no effect.", OPTION)


def is_known() -> bool:
    """Whether mitmproxy's addon manager is the one that is imitated here."""
    try:
        source = "".join(map(inspect.getsource, _IMITATED))
    except OSError:
        return False
    return hashlib.sha256(source.encode()).hexdigest() == _DIGEST
