"""The guard's place in mitmproxy's chain (for what it refuses, see tests/e2e/test_fail_closed.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mitmproxy import hooks, http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons.errorcheck import ErrorCheck
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy.gateway import flows
from mitm_ai_proxy.gateway.flows import FlowState
from mitm_ai_proxy.gateway.guard import NAME, Guard, fail_closed
from tests.tables import table


class _Named:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls


class _Quiet(_Named):
    """Has no hooks of requests."""

    def running(self) -> None:
        self.calls.append(self.name)


class _Listener(_Named):
    def request(self, flow: object) -> None:
        self.calls.append(self.name)


class _Parent(_Named):
    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__(name, calls)
        self.addons = [_Listener("child", calls)]


def _in_chain(work: Callable[[AddonManager, list[str]], None], *kinds: type[_Named]) -> None:
    """Run `work(addons, calls)` with addons of these kinds in the chain; they append their names to `calls`."""

    async def run() -> None:
        calls: list[str] = []
        with taddons.context() as context:
            context.master.addons.add(*(kind(kind.__name__, calls) for kind in kinds))
            work(context.master.addons, calls)

    asyncio.run(run())


def _guard(calls: list[str]) -> Guard:
    class Counted(Guard):
        def takes(self, flow: object) -> bool:
            calls.append("guard")
            return False

    return Counted.install(())


def _request(addons: AddonManager) -> None:
    addons.trigger(HttpRequestHook(tflow.tflow()))


@table("kinds", [(_Listener,), (_Listener, _Quiet), (_Quiet, _Listener), (_Parent,)])
def test_the_guard_sees_a_request_behind_all_others(kinds: tuple[type[_Named], ...]) -> None:
    def work(addons: AddonManager, calls: list[str]) -> None:
        _guard(calls)
        _request(addons)
        assert calls[-1] == "guard"
        assert len(calls) == 2

    _in_chain(work, *kinds)


@table("kinds", [(_Listener,), (_Listener, _Quiet), (_Parent,)])
def test_a_new_guard_takes_the_place_of_the_old_one(kinds: tuple[type[_Named], ...]) -> None:
    def work(addons: AddonManager, calls: list[str]) -> None:
        first = _guard(calls)
        size = len(addons.chain)
        second = _guard(calls)
        assert addons.get(NAME) is second
        assert second.states is first.states
        assert len(addons.chain) == size
        _request(addons)
        assert calls.count("guard") == 1

    _in_chain(work, *kinds)


def test_a_new_guard_stands_behind_what_came_after_the_old_one() -> None:
    def work(addons: AddonManager, calls: list[str]) -> None:
        _guard(calls)
        addons.add(_Listener("late", calls))
        _guard(calls)
        _request(addons)
        assert calls == ["late", "guard"]

    _in_chain(work, _Quiet)


def test_an_addon_beside_the_guard_still_works() -> None:
    def work(addons: AddonManager, calls: list[str]) -> None:
        for _ in range(2):
            _guard(calls)
        addons.trigger(hooks.RunningHook())
        assert calls == ["_Quiet"]
        assert addons.get("_Quiet") is not None

    _in_chain(work, _Quiet)


def test_mitmproxys_last_addon_costs_the_guard_no_entry_of_its_own() -> None:
    async def run() -> None:
        with taddons.context() as context:
            addons = context.master.addons
            addons.add(ErrorCheck())
            size = len(addons.chain)
            _guard([])
            assert len(addons.chain) == size

    asyncio.run(run())


class _Owner:
    """A main addon, which says what it has handled and ends it."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.guard = Guard.install((), self)
        self._calls, self._name = calls, name

    @fail_closed
    def response(self, flow: http.HTTPFlow) -> None:
        self._calls.append(self._name)
        self.guard.states.pop(flow, None)

    def stop(self, flow: http.HTTPFlow) -> None:
        self._calls.append("stopped")


def test_a_flow_is_ended_by_the_load_that_began_it_though_the_package_is_not_loaded_anew() -> None:
    def work(addons: AddonManager, calls: list[str]) -> None:
        flow, later = tflow.tflow(resp=True), tflow.tflow(resp=True)
        first = _Owner(calls, "first")
        first.guard.states[flow] = FlowState(flows.head_of(flow), None)
        _Owner(calls, "second")
        third = _Owner(calls, "third")
        for one in (flow, later, flow):
            third.response(one)

        # What has ended is a new flow when it is sent again.
        assert calls == ["first", "third", "third"]

    _in_chain(work)
