"""Prints how many milliseconds the fixture of the pytest plugin takes until a test has its proxy. For cassettes.py.

An interpreter for each, because an import happens only once in one.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

from pathlib import Path  # noqa: E402 - the clock is running

from mitm_ai_proxy.testing.session import Session, plan  # noqa: E402

if __name__ == "__main__":
    session = Session(None, "")
    session.start()
    proxy = session.begin(plan({"provider": {"type": "kling"}}, Path("none.har"), "none", {}, None))
    print((time.perf_counter() - BEGAN) * 1000)
    session.end(proxy)
    session.stop()
