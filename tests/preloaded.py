"""Imported once by the process that forks the programs of the tests: what each of them would import and compile.

The package itself is kept aside: a program gets it at its first import, and at the next one, after a reload, reads it
from its files.
"""

from __future__ import annotations

import copy
import gc
import importlib
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

from _pytest.config import default_plugins
from mitmproxy.certs import CertStore

_PACKAGE = "mitm_ai_proxy"

# All that is imported stays: a collection that walks through it finds nothing.
gc.disable()
for _name in (
    "mitmproxy.tools.main",
    "mitmproxy.tools.dump",
    "mitmproxy.tools.web.master",
    "pytest",
    # Not its plugins from elsewhere, whose assertions it rewrites when it imports them.
    *(f"_pytest.{name}" for name in default_plugins),
    "execnet",
    "pdb",
    f"{_PACKAGE}.cassette.cassette",
    f"{_PACKAGE}.cassette.foreign",
    f"{_PACKAGE}.cassette.listing",
    f"{_PACKAGE}.cassette.playing",
    f"{_PACKAGE}.cassette.variations",
    f"{_PACKAGE}.gateway.addon",
    f"{_PACKAGE}.gateway.commands",
    f"{_PACKAGE}.gateway.conversations",
    f"{_PACKAGE}.gateway.configuration_changes",
    f"{_PACKAGE}.kling.recorded_api",
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

# What is made once in a process: of all declarations, of the simulator's routes, and of the filters.
importlib.import_module(f"{_PACKAGE}.registry").read("provider: {type: generic, genericHost: h}", {})
_settings = importlib.import_module(f"{_PACKAGE}.simulator.settings").SimulatorSettings()
importlib.import_module(f"{_PACKAGE}.simulator.app").Simulator(_settings)
importlib.import_module(f"{_PACKAGE}.gateway.filters").add()

SHORT_KEY = 1024
"""Bits of the keys of proxies whose certificates nobody sees. All have the same ones: to make and to read them is half
of a start."""
_read_store = CertStore.from_store
with tempfile.TemporaryDirectory() as _folder:
    _store = _read_store(Path(_folder), "mitmproxy", SHORT_KEY)


def _from_store(path: Path | str, basename: str, key_size: int, passphrase: bytes | None = None) -> CertStore:
    if key_size != SHORT_KEY:
        return _read_store(path, basename, key_size, passphrase)
    store = copy.copy(_store)
    store.certs, store.expire_queue = {}, []
    return store


CertStore.from_store = staticmethod(_from_store)  # type: ignore[method-assign]

_modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == _PACKAGE}

# A program's collections look at what it made itself only.
gc.freeze()
gc.enable()


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
