"""What all tests share: a garbage collector that leaves alone what stays, a disk that nobody waits for, a database."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from tests.compiled import share_compiling
from tests.platform.servers import Postgres, binary

# mitmproxy, the package and thousands of collected tests stay to the end: a collection that walks through them finds
# nothing. Collections of young objects are rarer than by default, for most tests end before there is anything to find.
_YOUNG = 10_000


def pytest_configure(config: pytest.Config) -> None:
    """Collect tests without collecting garbage, and compile them once."""
    gc.disable()
    share_compiling(config)


def pytest_collection_finish() -> None:
    """Take what is there by now out of all collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Have no file wait for the disk: no test cuts the power. A test that is about it puts in a function of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests of this process; a test that fills it clears it first."""
    if not binary("initdb"):
        pytest.skip("PostgreSQL is not installed")
    server = Postgres()
    yield server
    server.close()
