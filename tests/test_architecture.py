"""The arrows between the rooms of the package: who may import whom, and who may know mitmproxy or a web framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mitm_ai_proxy

PACKAGE = "mitm_ai_proxy"
ROOT = Path(mitm_ai_proxy.__file__).parent

_VALUES = {"apis", "auth", "chat", "config", "errors", "exchange", "wire"}
_PROVIDERS = {*_VALUES, "kling", "providers"}
_CORE = {*_PROVIDERS, "cassette", "pipeline", "registry", "simulator", "view"}
# A room (a folder, or a file beside them), and the rooms that it may import.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "apis": set(),
    "wire": {"errors"},
    "auth": {"wire"},
    "config": {"auth", "wire"},
    "exchange": {"wire"},
    "chat": {"apis", "errors", "exchange", "wire"},
    "providers": _VALUES,
    "kling": {*_VALUES, "providers"},
    "cassette": {"auth", "config", "errors", "wire"},
    "simulator": {"auth", "config", "wire"},
    "view": {"errors", "wire"},
    "pipeline": {*_VALUES, "providers"},
    "registry": {*_PROVIDERS, "cassette", "simulator"},
    "gateway": _CORE,
    "testing": {*_CORE, "gateway"},
    "commands": {*_CORE, "gateway"},
}
# Packages that only some rooms may import.
OUTSIDE: dict[str, set[str]] = {
    "mitmproxy": {"gateway", "commands"},
    "aiohttp": set(),
    "flask": {"simulator"},
    "pytest": {"testing"},
    "yaml": {"config", "commands"},
    "jwt": {"auth", "simulator", "view"},
}


def _imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """All modules that a module imports, in full; also inside functions and for types only."""
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            start = [*base, *([node.module] if node.module else [])]
            # `from . import name` may be a module or not; the room is told by either.
            yield from (".".join([*start, name.name]) for name in node.names)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """The imports of a module that its room may not have."""
    room = _room(module)
    faults = []
    for name in _imports(source, module, is_package):
        top = name.partition(".")[0]
        if top == PACKAGE:
            target = _room(name)
            if target in ARROWS and target != room and target not in ARROWS[room]:
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


def test_every_room_has_its_arrows() -> None:
    rooms = {_room(name) for name, _, _ in _modules()} - {""}

    assert rooms == set(ARROWS)


def test_the_arrows_have_no_circle() -> None:
    left = {room: set(targets) for room, targets in ARROWS.items()}
    while left:
        ends = {room for room, targets in left.items() if not targets & left.keys()}
        assert ends, f"a circle among {sorted(left)}"
        left = {room: targets for room, targets in left.items() if room not in ends}


@pytest.mark.parametrize(
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
        ("pipeline", "from .gateway import flows"),
        ("pipeline", "from mitmproxy import http"),
        ("exchange", "import mitmproxy.http"),
        ("providers.rows", "import aiohttp"),
        ("gateway.addon", "from ..commands import main"),
        ("gateway.addon", "from ..testing.session import Session"),
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
    ],
)
def test_an_allowed_arrow_is_not_a_fault(module: str, source: str) -> None:
    assert _faults(source, f"{PACKAGE}.{module}") == []


def test_importing_the_core_loads_no_proxy_and_no_web_framework() -> None:
    code = (
        f"import sys, {PACKAGE}.pipeline, {PACKAGE}.registry\n"
        "print(sorted({'mitmproxy', 'aiohttp', 'flask', 'tornado', 'pytest'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT.parent)}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
