"""The simulator imports nothing of the rooms that are tested with it."""

from __future__ import annotations

import ast
from pathlib import Path

import mitm_ai_proxy.simulator

ROOM = Path(mitm_ai_proxy.simulator.__file__).parent
# What every room may use, and what is the simulator's own.
ALLOWED = {
    "config",
    "config.keys",
    "config.values",
    "wire.header_fields",
    "wire.printable",
    "wire.targets",
    "auth.secret",
    "simulator",
}


def _imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, without the package's name."""
    here = ["simulator", *path.relative_to(ROOM).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) + 1 - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]) for name in names}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found |= {name.partition(".")[2] for name in names if name.startswith("mitm_ai_proxy")}
            assert not any(name.startswith("mitmproxy") for name in names), path
    return found


def test_it_imports_nothing_of_providers_translations_or_mitmproxy() -> None:
    files = sorted(ROOM.rglob("*.py"))
    assert len(files) > 10
    for path in files:
        odd = {name for name in _imports(path) if name not in ALLOWED and not name.startswith("simulator.")}
        assert not odd, f"{path.name} imports {odd}"
