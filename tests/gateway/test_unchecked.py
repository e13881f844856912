"""mitmproxy checks the types of messages wherever somebody else could make them, and nowhere else."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import ctx, http
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from mitm_ai_proxy.gateway import unchecked
from mitm_ai_proxy.gateway.addon import Gateway
from tests.tables import table


@pytest.fixture
def _globals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("master", "options"):
        monkeypatch.setattr(ctx, name, getattr(ctx, name, None), raising=False)
    yield
    unchecked.put_back()


def _checks() -> bool:
    wrong: Any = "text"
    try:
        http.Response(b"HTTP/1.1", wrong, b"OK", http.Headers(), b"", None, 0, None)
    except TypeError:
        return True
    return False


def _script(**members: Any) -> types.ModuleType:
    module = types.ModuleType("a_script")
    vars(module).update(members)
    return module


@table(
    ("addons", "values", "checks"),
    [
        ([_script(addons=[Gateway()])], {}, False),
        ([_script(addons=[Gateway()], request=lambda flow: None)], {}, True),
        ([_script(addons=[Gateway(), types.SimpleNamespace()])], {}, True),
        ([types.SimpleNamespace(addons=[Gateway()])], {}, True),
        ([_script(addons=[Gateway()])], {"scripts": ["one", "two"]}, True),
        ([_script(addons=[Gateway()])], {"rfile": "flows"}, True),
        ([_script(addons=[Gateway()])], {"server_replay": ["flows"]}, True),
    ],
)
@pytest.mark.usefixtures("_globals")
def test_messages_are_not_checked_in_a_mitmdump_of_ours_alone(
    addons: list[Any], values: dict[str, Any], checks: bool
) -> None:
    async def work() -> None:
        master = DumpMaster(Options(), with_termlog=False)
        master.addons.chain += addons
        for name, value in values.items():
            vars(master.options)["_options"][name].value = value
        unchecked.leave_out()
        assert _checks() == checks
        unchecked.put_back()
        assert _checks()
        master._legacy_log_events.uninstall()

    asyncio.run(work())


@pytest.mark.usefixtures("_globals")
def test_messages_are_checked_elsewhere() -> None:
    async def work() -> None:
        master = Master(Options())  # without `scripts`
        unchecked.leave_out()
        assert _checks()
        master._legacy_log_events.uninstall()

    asyncio.run(work())
