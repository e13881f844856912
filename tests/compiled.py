"""The tests' files as pytest compiles them, made by all processes of a run together instead of by each for itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

try:
    from _pytest.assertion.rewrite import PYC_TAIL, _rewrite_test, _write_pyc, assertstate_key, get_cache_dir
except ImportError:
    # A pytest that has other names for it: each process compiles for itself, as ever.
    IS_KNOWN = False
else:
    IS_KNOWN = True


def share_compiling(config: pytest.Config) -> None:
    """In a process of xdist's: compile a share of the files that are to be collected, and what others have not made.

    To compile all takes longer than to import them. What is older than its file is made anew when that is imported.
    """
    given = getattr(config, "workerinput", None)
    if not given or sys.dont_write_bytecode or not IS_KNOWN:
        return
    files = _files(config)
    first = int(given["workerid"].removeprefix("gw")) * len(files) // given["workercount"]
    for file in files[first:] + files[:first]:
        folder = get_cache_dir(file)
        compiled = folder / f"{file.stem}{PYC_TAIL}"
        if compiled.exists():
            continue
        folder.mkdir(exist_ok=True)
        try:
            status, code = _rewrite_test(file, config)
        except SyntaxError:
            continue  # said when it is imported
        _write_pyc(config.stash[assertstate_key], code, status, compiled)


def _files(config: pytest.Config) -> list[Path]:
    given = [config.invocation_params.dir / word.partition("::")[0] for word in config.args]
    ignored = [config.invocation_params.dir / word for word in config.getoption("ignore") or ()]
    files = {file for path in given for file in (path.rglob("test_*.py") if path.is_dir() else [path])}
    return sorted(file for file in files if not any(file.is_relative_to(path) for path in ignored))
