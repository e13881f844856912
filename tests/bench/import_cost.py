"""Run in a fresh interpreter: prints the milliseconds that importing the addon adds to what mitmproxy imports itself.

The argument is the entry script; what it puts off until a request needs it is imported too.
"""

from __future__ import annotations

import importlib
import pkgutil
import runpy
import sys
import time

# mitmdump has imported these before it loads a script.
import mitmproxy.tools.dump
import mitmproxy.tools.main  # noqa: F401

# Modules of other commands, which a proxied request does not need.
ELSEWHERE = set(
    """
    __main__ cassette commands embedded error_log platform recorded replay_server server simulated simulator testing
    view
    """.split()
)


def main() -> None:
    begin = time.perf_counter()
    runpy.run_path(sys.argv[1])
    import_all("mitm_ai_proxy")
    print((time.perf_counter() - begin) * 1000)


def import_all(package: str) -> None:
    """Import all modules of a package and of its subpackages."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name not in ELSEWHERE:
            name = f"{package}.{module.name}"
            importlib.import_module(name)
            if module.ispkg:
                import_all(name)


if __name__ == "__main__":
    main()
