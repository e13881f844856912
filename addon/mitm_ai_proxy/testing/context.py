"""The context manager `mitm_ai_proxy.testing.proxy`, for tests and scripts without pytest."""

from __future__ import annotations

import atexit
import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..cassette.budget import Budget
from .ai_proxy import AIProxy
from .arguments import DEFAULT_CONFIG, cassette_complaint, simulate_complaint
from .names import path_of
from .report import report
from .results import Result, finish
from .runs import OF_CONTEXT, Unusable, make_test_run, recorded_api
from .session import PATIENCE, shared

_results: Final[list[Result]] = []
"""The results of the uses that have ended, and that no report has told."""


_rewritten: Final[list[Result]] = []
"""The results of all uses in the mode rewrite."""


class Failure(AssertionError):
    """A request had no answer, could not be recorded, or strictness is violated. The text holds no secret."""


@contextlib.contextmanager
def opened(
    cassette: str | Path | None,
    mode: str,
    config: Mapping[str, Any] | None,
    simulate: bool | Mapping[str, Any],
    variation: Mapping[str, Any],
    strict: bool,
    allow_unused: bool,
    budget: float | None,
) -> Iterator[AIProxy]:
    """See proxy(). Raises Unusable and Failure."""
    arguments = {name: value for name, value in variation.items() if value is not None}
    settings = simulate if isinstance(simulate, Mapping) else {}
    name = None if cassette is None else str(cassette)
    problem = cassette_complaint((), {"name": name, "mode": mode, **arguments}) or simulate_complaint((), settings)
    if not problem and name is None and simulate is False:
        problem = "takes a cassette, or simulate=True"
    if not problem and budget is not None and not budget >= 0:
        problem = "takes a number of units, from 0 on, as budget"
    if problem:
        raise Unusable(f"proxy() {problem}")
    path = None if name is None else path_of(Path.cwd(), name)
    limit = None if budget is None else Budget(budget, recorded_api())
    with shared() as session:
        is_played = path is not None and session.is_played(path, mode)
        simulated = None if simulate is False or is_played else settings
        test_run = make_test_run(DEFAULT_CONFIG if config is None else config, path, mode, arguments, simulated)
        proxy = session.begin(test_run, limit, OF_CONTEXT)
        passed = False
        try:
            yield proxy
            passed = True
        except BaseException as error:
            for text in filter(None, (proxy.trouble(), proxy.remark())):
                error.add_note(f"ai-proxy: {text}")
            raise
        finally:
            if not session.end(proxy, passed):
                text = f"an exchange was still under way {PATIENCE:g} s after the end of the context"
                warnings.warn(text, RuntimeWarning, stacklevel=3)
            _results.append(result := proxy.result(passed and not allow_unused))
            if "rewritten" in result:
                _rewritten.append(result)
                for complaint in finish([other for other in _rewritten if other["path"] == result["path"]]):
                    warnings.warn(complaint, RuntimeWarning, stacklevel=3)
        if proxy.trouble():
            raise Failure(proxy.trouble())
        if strict and not allow_unused and proxy.left_over():
            raise Failure(proxy.left_over())


def take_results() -> list[Result]:
    """The results that no report has told yet; they count as told from now on."""
    taken = list(_results)
    _results.clear()
    return taken


@atexit.register
def _tell() -> None:
    """Print the report to stderr."""
    results = take_results()
    if results and sys.stderr:
        told = report(results)
        print("\n".join([f"ai-proxy: {told.line}", *told.files]), file=sys.stderr)
