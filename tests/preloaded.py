"""Imported once by the process that forks the programs of the tests: what each of them would import and compile.

The package itself is kept aside: a program gets it at its first import, and at the next one, after a reload, reads it
from its files.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

_PACKAGE = "mitm_ai_proxy"

for _name in (
    "mitmproxy.tools.main",
    "mitmproxy.tools.dump",
    "mitmproxy.tools.web.master",
    "pytest",
    f"{_PACKAGE}.gateway.addon",
    f"{_PACKAGE}.commands.main",
    f"{_PACKAGE}.commands.platform",
    f"{_PACKAGE}.commands.platform_all",
    f"{_PACKAGE}.commands.serve",
    f"{_PACKAGE}.gateway.embedded",
    f"{_PACKAGE}.gateway.recorded",
    f"{_PACKAGE}.gateway.simulated",
    f"{_PACKAGE}.platform.postgres",
    f"{_PACKAGE}.server.service",
    f"{_PACKAGE}.simulator.app",
):
    importlib.import_module(_name)

_modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == _PACKAGE}

# A program's collections look at what it made itself only.
gc.freeze()


class _Package(MetaPathFinder, Loader):
    """Puts all modules of the package where imports find them when the package is asked for, once."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        sys.modules.update({found: module for found, module in _modules.items() if found != _PACKAGE})
        return spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        spec.submodule_search_locations = list(_modules[_PACKAGE].__path__)
        return _modules[_PACKAGE]

    def exec_module(self, module: ModuleType) -> None:
        """It has been executed already."""


def offer_package() -> None:
    """Let the first import of the package in this process find its modules as they were imported here."""
    sys.meta_path.insert(0, _Package())
