"""The same addons and events on mitmproxy's own addon manager and on the fast one: equal calls and errors."""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from mitmproxy import addons, ctx, exceptions, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons import script
from mitmproxy.log import LogEntry
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import server
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook, HttpResponseHook
from mitmproxy.proxy.server_hooks import ClientConnectedHook
from mitmproxy.test import tflow

from mitm_ai_proxy.gateway import fast_dispatch
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.fast_dispatch import FastAddonManager
from tests.tables import table

Said = list[str]


class World:
    """A chain of addons, and what they said."""

    def __init__(self, manager: AddonManager, folder: Path) -> None:
        self.manager, self.folder, self.said = manager, folder, Said()

    def addon(self, name: str, *children: Any, **members: Any) -> Any:
        """An addon that says its name and the hook's, at `request`, and at `update` if it is told to."""
        made = types.SimpleNamespace(name=name, request=lambda flow: self.said.append(name))
        if children:
            made.addons = list(children)
        made.__dict__.update(members)
        return made

    def own(self, name: str, **members: Any) -> Any:
        """An addon of a class that is mitmproxy's, with these members."""
        kind = type(name, (), {"__module__": "mitmproxy.addons.made", "name": name, **members})
        return kind()

    def add(self, *found: Any) -> None:
        self.manager.add(*found)

    async def ask(self, times: int = 1) -> None:
        for _ in range(times):
            await self.manager.handle_lifecycle(HttpRequestHook(tflow.tflow()))
            self.said.append(".")


Scenario = Callable[[World], Awaitable[None]]


async def nested(world: World) -> None:
    world.add(world.addon("a", world.addon("b", world.addon("c")), world.addon("d")), world.addon("e"))
    await world.ask(2)


async def updated(world: World) -> None:
    world.add(world.addon("a", update=lambda flows: world.said.append(f"{len(flows)} updated")))
    await world.ask(2)
    await world.manager.handle_lifecycle(ClientConnectedHook(tflow.tclient_conn()))


async def halted(world: World) -> None:
    def halt(flow: object) -> None:
        world.said.append("halt")
        raise exceptions.AddonHalt

    update = lambda flows: world.said.append("update")  # noqa: E731
    world.add(world.addon("a", world.addon("b", request=halt), world.addon("c")), world.addon("d", update=update))
    await world.ask(2)


async def raising(world: World) -> None:
    def fail(flow: object) -> None:
        raise ValueError("no")

    world.add(world.addon("a", world.addon("b", request=fail), world.addon("c")), world.addon("d"))
    await world.ask(2)


async def raising_late(world: World) -> None:
    async def fail(flow: object) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    world.add(world.addon("a", request=fail), world.addon("b"))
    await world.ask()


async def wrong_option(world: World) -> None:
    def fail(flow: object) -> None:
        raise exceptions.OptionsError("wrong")

    world.add(world.addon("a", request=fail), world.addon("b"))
    with pytest.raises(exceptions.OptionsError):
        await world.ask()


async def waiting(world: World) -> None:
    async def wait(flow: object) -> None:
        world.said.append("begin")
        await asyncio.sleep(0)
        world.said.append("end")

    world.add(world.addon("a", request=wait), world.addon("b"))
    await world.ask(2)


async def cancelled(world: World) -> None:
    async def wait(flow: object) -> None:
        raise asyncio.CancelledError

    world.add(world.addon("a", request=wait), world.addon("b"))
    with pytest.raises(asyncio.CancelledError):
        await world.ask()


async def strange(world: World) -> None:
    world.add(world.addon("a", request=5), world.addon("b", request=types), world.addon("c", request=None))
    world.add(world.addon("d", world.addon("e", request="text"), world.addon("f")))
    await world.ask()


async def added(world: World) -> None:
    def add(flow: object) -> None:
        if "new" not in world.manager.lookup:
            own = world.own("own", request=lambda self, flow: world.said.append("own"))
            world.add(world.addon("new", world.addon("newer")), own)

    world.add(world.addon("a", request=add), world.addon("b"))
    await world.ask(2)


async def of_two_values(world: World) -> None:
    try:

        @dataclass
        class TwoValuesHook(hooks.Hook):
            one: int
            two: int

        world.add(world.addon("a", two_values=lambda one, two: world.said.append(f"{one} {two}")))
        await world.manager.trigger_event(TwoValuesHook(1, 2))
    finally:
        hooks.all_hooks.pop("two_values", None)


async def added_at_the_end(world: World) -> None:
    def add(flow: object) -> None:
        if "new" not in world.manager.lookup:
            world.add(world.addon("new"))

    world.add(world.addon("a"), world.addon("b", request=add))
    await world.ask(2)


async def removed(world: World) -> None:
    last = world.addon("last")

    def remove(flow: object) -> None:
        if "last" in world.manager.lookup:
            world.manager.remove(last)

    world.add(world.addon("a", request=remove), world.addon("b"), last)
    await world.ask(2)


async def removed_behind_its_back(world: World) -> None:
    last = world.addon("last")

    def remove(flow: object) -> None:
        if last in world.manager.chain:
            world.manager.chain.remove(last)

    world.add(world.addon("a", request=remove), last, world.addon("b"))
    await world.ask(2)


async def cleared(world: World) -> None:
    world.add(world.addon("a", request=lambda flow: world.manager.clear()), world.addon("b"))
    await world.ask(2)
    world.add(world.addon("c"))
    await world.ask()


async def another_child(world: World) -> None:
    parent = world.addon("a", world.addon("b"))
    parent.request = lambda flow: parent.addons.append(world.addon(f"child {len(parent.addons)}"))
    world.add(parent)
    await world.ask(2)
    parent.addons = []
    await world.ask()


async def children_that_change_meanwhile(world: World) -> None:
    """One of three children of a child changes the lists around it in some way, or waits for that."""

    def clear(inner: Any, outer: Any) -> None:
        inner.addons.clear()

    def shift(inner: Any, outer: Any) -> None:
        if len(inner.addons) == 3:
            inner.addons.insert(0, world.addon("shifted"))

    def replace(inner: Any, outer: Any) -> None:
        inner.addons = [world.addon("replaced", world.addon("below"))]
        outer.addons = [*outer.addons, world.addon("last")]

    def take_all(inner: Any, outer: Any) -> None:
        inner.addons = []
        outer.addons.pop()

    def grow(inner: Any, outer: Any) -> None:
        inner.addons[-1].addons = (world.addon("grown"), world.addon("too"))

    for change in (clear, shift, replace, take_all, grow):
        for place in range(3):
            for waits in (False, True):
                inner = world.addon("inner", *(world.addon(str(number)) for number in range(3)))
                outer = world.addon("outer", world.addon("before"), inner, world.addon("after"))

                def act(flow: object, change: Any = change, inner: Any = inner, outer: Any = outer) -> None:
                    world.said.append(change.__name__)
                    change(inner, outer)

                async def wait(flow: object, act: Any = act) -> None:
                    asyncio.get_running_loop().call_soon(act, flow)
                    await asyncio.sleep(0)

                inner.addons[place].request = wait if waits else act
                world.add(outer, world.addon("end"))
                later, inner.addons[place].request = inner.addons[place].request, lambda flow: None
                await world.ask()
                outer.addons.insert(0, world.addon("new", world.addon("newer")))
                inner.addons[place].request = later
                await world.ask(2)
                world.manager.clear()


async def hooks_that_come_and_go(world: World) -> None:
    one = world.addon("a")
    world.add(one, world.addon("b"))
    await world.ask()
    del one.request
    await world.ask()
    one.request = lambda flow: world.said.append("again")
    await world.ask()
    one.response = lambda flow: world.said.append("response")
    await world.manager.handle_lifecycle(HttpResponseHook(tflow.tflow(resp=True)))
    child = world.addon("child")
    one.addons = [child]
    request = child.__dict__.pop("request")
    await world.ask()
    child.request = request
    await world.ask()
    del child.request
    await world.ask()


async def patched(world: World) -> None:
    own = world.own("own", request=lambda self, flow: world.said.append("own"))
    world.add(own, world.own("idle"))
    await world.ask()
    own.request = lambda flow: world.said.append("patched")
    await world.ask()


async def grown_while_configured(world: World) -> None:
    def configure(self: Any, updated: set[str]) -> None:
        if "anticache" in updated:
            self.request = lambda flow: world.said.append("grown")

    world.add(world.own("own", configure=configure), world.addon("a"))
    await world.ask()
    ctx.options.update(anticache=True)
    await world.ask()
    other = world.own("other", configure=configure)
    world.add(other)
    await world.ask()
    await world.manager.handle_lifecycle(hooks.ConfigureHook({"anticache"}))
    await world.ask()


async def grown_at_the_start(world: World) -> None:
    def running(self: Any) -> None:
        self.request = lambda flow: world.said.append("grown")

    world.add(world.own("own", running=running))
    await world.ask()
    await world.manager.trigger_event(hooks.RunningHook())
    await world.ask()


async def reloaded(world: World) -> None:
    file = world.folder / "some.py"
    text = "from mitmproxy import ctx\ndef {}(flow): ctx.said.append('{}')\n"
    vars(ctx)["said"] = world.said
    file.write_text(text.format("request", "first"))
    loader = script.ScriptLoader()
    world.add(world.addon("a"), loader, world.addon("b"))
    await world.ask()
    ctx.options.update(scripts=[str(file)])
    loaded = loader.addons[0]
    while not loaded.ns:
        await asyncio.sleep(0)  # it is loaded by a task, which would load it again within a second
    loaded.done()
    await world.ask()
    # Python compiles a file anew if its time or its length has changed.
    file.write_text(text.format("request", "the second"))
    loaded.loadscript()
    await world.ask()
    file.write_text("this is not Python")
    loaded.loadscript()
    await world.ask()
    ctx.options.update(scripts=[])
    await world.ask()


async def triggered(world: World) -> None:
    def fail(flow: object) -> None:
        raise ValueError("no")

    def halt(flow: object) -> None:
        raise exceptions.AddonHalt

    async def wait(self: object, flow: object) -> None:
        raise AssertionError("it is not awaited")

    world.add(world.addon("a", world.addon("b", request=fail), world.addon("c")))
    world.add(world.own("d", request=wait, __repr__=lambda self: "d"))
    world.add(world.own("idle"), world.addon("e"), world.addon("f", request=halt), world.addon("g"))
    world.manager.trigger(HttpRequestHook(tflow.tflow()))


async def lines_that_are_heard(world: World) -> None:
    def hear(entry: LogEntry) -> None:
        # mitmproxy logs that the hook is deprecated, just before there is an addon to hear of it.
        if "deprecated" not in entry.msg:
            world.said.append(entry.msg.rpartition("] ")[2])

    log = logging.getLogger("a line")
    log.warning("nobody hears it")
    await asyncio.sleep(0)
    world.add(world.own("idle"), world.addon("a", world.addon("b", add_log=hear)))
    log.warning("it is heard")
    await asyncio.sleep(0)
    world.manager.clear()
    log.warning("not any more")
    await asyncio.sleep(0)


SCENARIOS: Final[list[tuple[Scenario, Said | None]]] = [
    (nested, ["a", "b", "c", "d", "e", "."] * 2),
    (updated, ["a", "1 updated", "."] * 2),
    (halted, ["a", "halt", "update", "."] * 2),
    (raising, ["a", "d", "."] * 2),
    (raising_late, ["b", "."]),
    (wrong_option, []),
    (waiting, ["begin", "end", "b", "."] * 2),
    (cancelled, []),
    (strange, ["d", "."]),
    (added, ["b", "new", "newer", "own", "."] * 2),
    (of_two_values, ["1 2"]),
    (added_at_the_end, ["a", "new", "."] * 2),
    (removed, ["b", "last", ".", "b", "."]),
    (removed_behind_its_back, ["b", "."] * 2),
    (cleared, ["b", ".", ".", "c", "."]),
    (another_child, ["b", "child 1", ".", "b", "child 1", "child 2", ".", "child 0", "."]),
    (children_that_change_meanwhile, None),
    (
        hooks_that_come_and_go,
        [*"ab.b.", "again", "b", ".", "response", "again", "b", ".", "again", "child", "b", ".", "again", "b", "."],
    ),
    (patched, ["own", ".", "patched", "."]),
    (grown_while_configured, [*"a.", "grown", *"a.", "grown", *"a.", "grown", "a", "grown", "."]),
    (grown_at_the_start, [".", "grown", "."]),
    (triggered, ["a", "e"]),
    (lines_that_are_heard, ["it is heard"]),
    (reloaded, [*"ab.", "a", "first", "b", ".", "a", "the second", "b", ".", *"ab.", *"ab."]),
]


class Lines(logging.Handler):
    """What was logged as an error: the texts, and the functions of the tracebacks, innermost last."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[tuple[str, list[str]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        functions = []
        step = record.exc_info[2] if record.exc_info else None
        while step:
            functions.append(step.tb_frame.f_code.co_name)
            step = step.tb_next
        self.lines.append((record.getMessage(), functions))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What is logged meanwhile; mitmproxy's globals are put back."""
    for name in ("master", "options"):
        monkeypatch.setattr(ctx, name, getattr(ctx, name, None), raising=False)
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def run(scenario: Scenario, folder: Path, lines: Lines, *, is_fast: bool) -> tuple[Said, list[tuple[str, list[str]]]]:
    lines.lines = []

    async def play() -> Said:
        master = Master(Options())
        master.options.add_option("anticache", bool, False, "")
        fast_dispatch.switch(is_fast)
        assert (type(master.addons) is FastAddonManager) == is_fast
        world = World(master.addons, folder)
        await scenario(world)
        master._legacy_log_events.uninstall()
        return world.said

    return asyncio.run(play()), [(text, names) for text, names in lines.lines if "Task" not in text]


@table(("scenario", "said"), SCENARIOS, ids=[scenario.__name__ for scenario, _ in SCENARIOS])
def test_hooks_are_called_as_mitmproxy_calls_them(
    scenario: Scenario, said: Said | None, tmp_path: Path, lines: Lines
) -> None:
    stock = run(scenario, tmp_path, lines, is_fast=False)
    assert said is None or stock[0] == said
    assert run(scenario, tmp_path, lines, is_fast=True) == stock


def test_every_hook_of_every_default_addon_is_called(lines: Lines) -> None:
    async def work() -> None:
        master = Master(Options())
        manager = master.addons
        manager.add(*addons.default_addons())
        fast_dispatch.switch(True)
        assert isinstance(manager, FastAddonManager)
        asked, kept = 0, 0
        for name, kind in hooks.all_hooks.items():
            event = kind.__new__(kind)
            every = [hook for addon in manager.chain for _, hook in manager._iter_hooks(addon, event)]
            steps = [*fast_dispatch._asked(manager, name).steps(manager.chain)]
            assert [hook for step in steps for _, hook in step.hooks(name)] == every
            asked, kept = asked + len(manager.chain), kept + len(steps)
        assert kept < asked / 5
        master._legacy_log_events.uninstall()

    asyncio.run(work())


def test_mitmproxy_is_not_woken_for_lines_that_no_addon_hears(lines: Lines) -> None:
    async def work() -> list[list[bool]]:
        master = Master(Options())
        woken = []
        master.addons.add(*addons.default_addons())
        for is_fast in (True, False):
            fast_dispatch.switch(is_fast)
            handler = master._legacy_log_events
            record = logging.LogRecord("a", logging.INFO, "", 0, "a line", (), None)
            woken.append([bool(handler.filter(record)) for _ in range(2)])
        handler.uninstall()
        assert len(handler.filters) == 1
        return woken

    assert asyncio.run(work()) == [[False, False], [True, True]]


def test_lines_of_mitmproxy_s_layers_are_made_for_those_who_hear_them(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines are heard with both dispatches; with the fast one, none is made that nobody hears."""
    root, own = logging.getLogger(), server.logger

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    def said_to(
        handlers: list[logging.Handler], logger: logging.Logger = root, least: int = 0, **addon: Any
    ) -> tuple[Said, list[bool]]:
        """What handlers hear beside mitmproxy's own for its deprecated hook; and which levels are made."""
        said.clear()
        master = Master(Options())
        master.addons.add(*addons.default_addons(), types.SimpleNamespace(name="one", **addon))
        fast_dispatch.switch(is_fast)
        kept = [handler for handler in root.handlers if handler is master._legacy_log_events]
        with monkeypatch.context() as patch:
            patch.setattr(root, "handlers", [*kept, *(handlers if logger is root else [])])
            patch.setattr(logger, "handlers", [*(kept if logger is root else []), *handlers])
            patch.setattr(root, "level", logging.DEBUG)
            patch.setattr(own, "level", least)
            # Loggers remember their levels until one is set.
            root.setLevel(root.level)
            levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
            for level in levels:
                own.log(level, "%s", level)
            made = [own.isEnabledFor(level) for level in levels]
        root.setLevel(root.level)
        master._legacy_log_events.uninstall()
        fast_dispatch.switch(False)
        return said.copy(), made

    async def work() -> list[tuple[Said, list[bool]]]:
        return [
            said_to([]),
            said_to([Heard(logging.INFO)]),
            said_to([Heard(logging.ERROR)]),
            said_to([Heard()], logging.getLogger("mitmproxy")),
            said_to([Heard()], own),
            said_to([], add_log=lambda entry: None),
            said_to([Heard()], logging.getLogger("mitmproxy"), logging.WARNING),
        ]

    said: Said = []
    is_fast = False
    stock = asyncio.run(work())
    is_fast = True
    fast = asyncio.run(work())
    assert [heard for heard, _ in fast] == [heard for heard, _ in stock]
    assert [heard for heard, _ in fast] == [
        [],
        ["20", "30", "40"],
        ["40"],
        *[["10", "20", "30", "40"]] * 2,
        [],
        ["30", "40"],
    ]
    assert [made for _, made in stock] == [*[[True] * 4] * 6, [False, False, True, True]]
    assert [made for _, made in fast] == [
        [False, False, True, True],
        [False, True, True, True],
        [False, False, True, True],
        *[[True] * 4] * 3,
        [False, False, True, True],
    ]
    assert "isEnabledFor" not in vars(own)


def test_events_that_are_due_already_are_given_when_it_is_switched_off(tmp_path: Path) -> None:
    async def work() -> Said:
        master = Master(Options())
        fast_dispatch.switch(True)
        world = World(master.addons, tmp_path)
        world.add(world.addon("one"), world.addon("two", running=lambda: world.said.append("running")))
        trigger, trigger_event = master.addons.trigger, master.addons.trigger_event
        fast_dispatch.switch(False)
        trigger(HttpRequestHook(tflow.tflow()))
        await trigger_event(hooks.RunningHook())
        await trigger_event(HttpRequestHook(tflow.tflow()))
        master._legacy_log_events.uninstall()
        return world.said

    assert asyncio.run(work()) == ["one", "two", "running", "one", "two"]


def test_another_addon_manager_is_left_alone_with_one_line(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def patched(self: AddonManager, event: hooks.Hook) -> None: ...

    class Other(AddonManager): ...

    async def work() -> None:
        with monkeypatch.context() as patch:
            master = Master(Options())
            patch.setattr(fast_dispatch, "_IMITATED", (patched, *fast_dispatch._IMITATED[1:]))
            fast_dispatch.switch(True)
            assert type(master.addons) is AddonManager
        master.addons.__class__ = Other
        fast_dispatch.switch(True)
        assert type(master.addons) is Other
        master._legacy_log_events.uninstall()

    caplog.set_level(logging.INFO)
    asyncio.run(work())
    text = "ai-proxy: mitmproxy's addon manager is not one that is known here, so ai_fast_dispatch has no effect."
    assert [line for line in caplog.messages if line == text] == [text] * 2


def test_the_option_switches_it_and_the_end_of_the_script_puts_it_back(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        master = Master(Options())
        gateway, manager = Gateway(), master.addons

        def use(value: str) -> type:
            master.options.update(ai_fast_dispatch=value)
            return type(manager)

        manager.add(gateway)
        assert [use("true"), use("false"), use("true")] == [FastAddonManager, AddonManager, FastAddonManager]
        assert use("maybe") is FastAddonManager
        assert "ai-proxy: ai_fast_dispatch takes true or false." in caplog.messages
        manager.remove(gateway)
        assert type(manager) is AddonManager
        master._legacy_log_events.uninstall()

    asyncio.run(work())
