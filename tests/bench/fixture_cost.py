"""Prints the milliseconds from the start of the pytest fixture to a test's proxy. See cassettes.py.

Each measurement needs a new interpreter, since modules are imported only once.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

from pathlib import Path  # noqa: E402 - the clock is running

from mitm_ai_proxy.testing.runs import make_test_run  # noqa: E402
from mitm_ai_proxy.testing.session import Session  # noqa: E402

if __name__ == "__main__":
    session = Session()
    proxy = session.begin(make_test_run({"provider": {"type": "kling"}}, Path("none.har"), "none", {}, None))
    print((time.perf_counter() - BEGAN) * 1000)
    session.end(proxy)
    session.stop()
