"""The imports between the rooms of the package, and which rooms may import mitmproxy or a web framework."""

from __future__ import annotations

import ast
import functools
import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

import mitm_ai_proxy
from tests.tables import table

PACKAGE = "mitm_ai_proxy"
ROOT = Path(mitm_ai_proxy.__file__).parent

_VALUES = {"apis", "auth", "chat", "config", "errors", "exchange", "wire"}
_PROVIDERS = {*_VALUES, "kling", "providers"}
_CORE = {*_PROVIDERS, "cassette", "pipeline", "registry", "routing", "simulator", "view"}
# A room (a folder, or a file beside them), and the rooms that it may import.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "apis": set(),
    "wire": {"errors"},
    "auth": {"wire"},
    "config": {"auth", "errors", "wire"},
    "exchange": {"wire"},
    "chat": {"apis", "errors", "exchange", "wire"},
    "providers": _VALUES,
    "kling": {*_VALUES, "providers"},
    "cassette": {"auth", "config", "errors", "wire"},
    "simulator": {"auth", "config", "wire"},
    "view": {*_VALUES, "cassette.sensitive", "pipeline", "providers", "routing"},
    "pipeline": {*_VALUES, "providers", "routing"},
    "routing": {*_VALUES, "providers"},
    "registry": {*_PROVIDERS, "cassette", "platform.settings", "routing", "simulator", "view"},
    "edges": _CORE,
    "gateway": {*_CORE, "edges"},
    "platform": {*_VALUES, "kling"},
    "server": {*_CORE, "edges"},
    "testing": {*_CORE, "edges", "gateway"},
    "commands": {*_CORE, "edges", "gateway"},
}
"""An arrow may lead to a single module of a room: the keys of the platform's block are declared by the platform."""
# Modules of the command line that are imported when they are needed, within a function: who has not installed the
# platform has all other commands.
LATE = {f"commands.platform{name}": {"platform"} for name in ("", "_all", "_records", "_servers")} | {
    "commands.serve": {"server"}
}
# Packages that only some rooms may import.
OUTSIDE: dict[str, set[str]] = {
    "mitmproxy": {"gateway", "commands"},
    "aiohttp": {"server"},
    "prometheus_client": {"platform", "server"},
    "flask": {"simulator"},
    "pytest": {"testing"},
    "yaml": {"config", "commands"},
    "regex": {"config"},
    "jwt": {"auth", "simulator", "view"},
    "sqlite3": {"platform"},
    **{name: {"platform"} for name in "fastapi huey obstore psycopg urllib3 uvicorn".split()},
}


@pytest.fixture(scope="module", autouse=True)
def trees() -> Iterator[None]:
    """Keep the trees for this file's tests, without garbage collections that would walk through all of them."""
    gc.disable()
    yield
    for kept in (_parsed, _nodes, _statements):
        kept.cache_clear()
    gc.enable()


@functools.cache
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


@functools.cache
def _nodes(source: str) -> Sequence[ast.AST]:
    """All nodes of a module."""
    return list(ast.walk(_parsed(source)))


@functools.cache
def _statements(source: str) -> Sequence[ast.AST]:
    """All statements of a module, in whatever they stand: a tenth of its nodes."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [_parsed(source)]
    while waiting:
        found.append(node := waiting.pop())
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, ())
            # The body of a lambda or of `a if b else c` is an expression.
            waiting += inner if isinstance(inner, list) else ()
    return found


def _imports(nodes: Iterable[ast.AST], module: str, is_package: bool = False) -> Iterator[str]:
    """All modules that these nodes of a module import, in full; also inside functions and for types only."""
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            start = [*base, *([node.module] if node.module else [])]
            # `from . import name` may be a module or not; the room is told by either.
            yield from (".".join([*start, name.name]) for name in node.names)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _allowed(module: str, places: set[str]) -> bool:
    inside = module.partition(".")[2]
    return any(inside == place or inside.startswith(f"{place}.") for place in places)


def _faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """The imports of a module that its room may not have."""
    room, inside = _room(module), module.partition(".")[2]
    faults = []
    for name in _imports(_statements(source), module, is_package):
        top = name.partition(".")[0]
        if top == PACKAGE:
            target = _room(name)
            if target in ARROWS and target != room and not _allowed(name, ARROWS[room] | LATE.get(inside, set())):
                faults.append(f"{module} imports {name}")
        elif top in OUTSIDE and room not in OUTSIDE[top]:
            faults.append(f"{module} imports {name}")
    return faults


def _modules() -> Iterator[tuple[str, bool, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield ".".join([PACKAGE, *(parts[:-1] if is_package else parts)]), is_package, path


def test_every_room_imports_only_what_its_arrows_allow() -> None:
    faults = [fault for name, is_package, path in _modules() for fault in _faults(path.read_text(), name, is_package)]

    assert faults == []


def test_what_is_imported_late_is_imported_within_functions() -> None:
    early = [
        name
        for module, is_package, path in _modules()
        for statement in _parsed(path.read_text()).body
        if isinstance(statement, ast.Import | ast.ImportFrom) and module.partition(".")[2] not in LATE
        for name in _imports([statement], module, is_package)
        if _allowed(name, set(LATE))
    ]

    assert early == []


def test_every_room_has_its_arrows() -> None:
    rooms = {_room(name) for name, _, _ in _modules()} - {""}

    assert rooms == set(ARROWS)


def test_the_arrows_have_no_circle() -> None:
    left = {room: {target.partition(".")[0] for target in targets} for room, targets in ARROWS.items()}
    while left:
        ends = {room for room, targets in left.items() if not targets & left.keys()}
        assert ends, f"a circle among {sorted(left)}"
        left = {room: targets for room, targets in left.items() if room not in ends}


@table(
    ("module", "source"),
    [
        ("cassette.spending", "from ..kling import prices"),
        ("cassette.spending", "from ..simulator.rules import Order"),
        ("cassette.diff", "import mitm_ai_proxy.providers.base"),
        ("chat.dialects", "from ..providers.base import Provider"),
        ("config.file", "def f():\n    from ..kling.provider import Kling"),
        ("config.file", "from .. import registry"),
        ("wire.json_edit", "from ..exchange import Head"),
        ("wire.json_edit", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..auth.secret import Secret"),
        ("kling.provider", "from ..simulator import prices"),
        ("kling.media.video", "from ...gateway import flows"),
        ("simulator.app", "from ..kling.models import MODELS"),
        ("simulator.chat.openai", "from ...chat import openai_requests"),
        ("pipeline", "from .gateway import flows"),
        ("pipeline", "from mitmproxy import http"),
        ("exchange", "import mitmproxy.http"),
        ("providers.rows", "import aiohttp"),
        ("gateway.addon", "from ..commands import main"),
        ("gateway.addon", "from ..testing.session import Session"),
        ("gateway.addon", "from ..platform import store"),
        ("commands.main", "from ..platform import store"),
        ("registry", "from .platform import store"),
        ("registry", "from .platform.steps import Steps"),
        ("platform.steps", "from ..gateway.embedded import Embedded"),
        ("platform.steps", "from ..simulator.rules import Order"),
        ("providers.base", "import urllib3"),
    ],
)
def test_a_forbidden_arrow_is_found(module: str, source: str) -> None:
    assert len(_faults(source, f"{PACKAGE}.{module}")) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cassette.spending", "from . import jobs\nfrom ..wire import json_edit"),
        ("kling.provider", "from ..providers.base import Provider\nfrom .videos_api import VideosApi"),
        ("gateway.addon", "from mitmproxy import http\nfrom .. import pipeline"),
        ("pipeline", "from .wire import header_fields\nfrom . import errors"),
        ("registry", "from .platform.settings import PlatformSettings"),
        ("commands.platform", "from ..platform import store"),
    ],
)
def test_an_allowed_arrow_is_not_a_fault(module: str, source: str) -> None:
    assert _faults(source, f"{PACKAGE}.{module}") == []


# What only some files may do: who may, by a room or a module.
STREAM_SETTERS = {"gateway.streams"}
UPSTREAM_MAKERS = {"pipeline", "providers", "kling"}
# A source without it sets no such attribute, and need not be looked through.
_NAMES_STREAM = re.compile(r"\.[\s\\]*stream\b|\bsetattr\b")


def _targets(node: ast.AST) -> list[ast.expr]:
    """What a statement or an expression assigns to, or deletes."""
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor | ast.comprehension | ast.NamedExpr):
        return [node.target]
    if isinstance(node, ast.withitem) and node.optional_vars:
        return [node.optional_vars]
    return []


def _stream_setters(source: str) -> list[int]:
    """The lines that set an attribute named stream, by an assignment or by setattr."""
    lines: list[int] = []
    for node in _nodes(source) if _NAMES_STREAM.search(source) else ():
        parts = (part for target in _targets(node) for part in ast.walk(target))
        lines += [
            part.lineno
            for part in parts
            if isinstance(part, ast.Attribute) and part.attr == "stream" and not isinstance(part.ctx, ast.Load)
        ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            lines += [
                node.lineno for name in node.args[1:2] if isinstance(name, ast.Constant) and name.value == "stream"
            ]
    return lines


def _upstream_makers(source: str) -> list[int]:
    """The lines that call Upstream, under whatever name it was imported, or its own constructors."""
    nodes = _nodes(source) if "Upstream" in source else ()
    names = {"Upstream"}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {name.asname for name in node.names if name.name == "Upstream" and name.asname}

    def is_upstream(expression: ast.expr) -> bool:
        if isinstance(expression, ast.Name):
            return expression.id in names
        return isinstance(expression, ast.Attribute) and (
            expression.attr == "Upstream" or (expression.attr in ("_make", "__new__") and is_upstream(expression.value))
        )

    return [node.lineno for node in nodes if isinstance(node, ast.Call) and is_upstream(node.func)]


def _found(look: Callable[[str], list[int]], places: set[str]) -> tuple[set[str], list[str]]:
    """Where something is found: the modules that may have it, and the places that may not."""
    good: set[str] = set()
    faults = []
    for module, _, path in _modules():
        lines = look(path.read_text())
        if lines and _allowed(module, places):
            good.add(module)
        elif lines:
            faults += [f"{module}:{line}" for line in lines]
    return good, faults


def test_one_file_sets_whether_a_message_streams() -> None:
    assert _found(_stream_setters, STREAM_SETTERS) == ({f"{PACKAGE}.gateway.streams"}, [])


def test_only_the_core_makes_what_goes_upstream() -> None:
    good, faults = _found(_upstream_makers, UPSTREAM_MAKERS)

    assert faults == []
    assert {_room(module) for module in good} == UPSTREAM_MAKERS


@table(
    ("source", "count"),
    [
        ("flow.response.stream = True", 1),
        ("flow.request.stream = flow.response.stream = True", 2),
        ("def f(message):\n    message.stream: object = print", 1),
        ("a, flow.request.stream = 1, False", 1),
        ("flow.request.stream |= True", 1),
        ("for flow.request.stream in (1, 2): pass", 1),
        ("with a as flow.response.stream: pass", 1),
        ("[1 for flow.request.stream in a]", 1),
        ("del flow.request.stream", 1),
        ("setattr(flow.request, 'stream', True)", 1),
        ("stream = flow.request.stream", 0),
        ("flow.request.stream.a = True", 0),
        ("flow.request.streams = True", 0),
        ("flow.response.stream(b'')", 0),
        ("getattr(flow.request, 'stream')", 0),
        ("setattr(flow, 'other', 'stream')", 0),
    ],
)
def test_whoever_sets_stream_is_found(source: str, count: int) -> None:
    assert len(_stream_setters(source)) == count


@table(
    ("source", "count"),
    [
        ("from ..exchange import Upstream\nUpstream(o, 'GET', '/')", 1),
        ("from ..exchange import Upstream as Sent\nSent(o, 'GET', '/')", 1),
        ("from .. import exchange\nexchange.Upstream(o, 'GET', '/')", 1),
        ("def f():\n    return g(Upstream(*a), Upstream._make(b))", 2),
        ("Upstream.__new__(Upstream)", 1),
        ("upstream._replace(body=None)", 0),
        ("def f(upstream: Upstream) -> Upstream: ...", 0),
        ("isinstance(a, Upstream)", 0),
        ("NeedsUpstream(1)", 0),
    ],
)
def test_whoever_makes_an_upstream_is_found(source: str, count: int) -> None:
    assert len(_upstream_makers(source)) == count


@table(
    ("module", "places", "allowed"),
    [
        ("gateway.streams", STREAM_SETTERS, True),
        ("gateway.streamsets", STREAM_SETTERS, False),
        ("gateway", STREAM_SETTERS, False),
        ("pipeline", UPSTREAM_MAKERS, True),
        ("providers.rows", UPSTREAM_MAKERS, True),
        ("kling.media.video", UPSTREAM_MAKERS, True),
        ("gateway.addon", UPSTREAM_MAKERS, False),
        ("exchange", UPSTREAM_MAKERS, False),
    ],
)
def test_who_may_do_it(module: str, places: set[str], allowed: bool) -> None:
    assert _allowed(f"{PACKAGE}.{module}", places) is allowed


def test_importing_the_core_loads_no_proxy_and_no_web_framework() -> None:
    """Nor do the platform's API and receiver of callbacks load a proxy."""
    code = (
        f"import sys, {PACKAGE}.pipeline, {PACKAGE}.registry\n"
        # What a request costs, which a cassette's budget asks.
        f"{PACKAGE}.registry.recorded_api('kling')\n"
        "web = {'mitmproxy', 'aiohttp', 'flask', 'werkzeug', 'tornado', 'asyncio', 'pytest'}\n"
        "print(sorted(web & {name.partition('.')[0] for name in sys.modules}))\n"
        f"import {PACKAGE}.commands.platform_servers\n"
        "print('mitmproxy' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT.parent)}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)

    assert (done.stdout.split(), done.stderr) == (["[]", "False"], "")
