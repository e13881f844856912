"""Imported once by the process that forks the programs of the tests: what each of them would import and compile.

The package itself is forgotten again: mitmproxy's script loads it anew, and pytest rewrites the asserts of its plugins.
What stays is what it needs of others, and its regular expressions, which Python keeps.
"""

from __future__ import annotations

import importlib
import sys

for _name in (
    "mitmproxy.tools.main",
    "mitmproxy.tools.dump",
    "mitmproxy.tools.web.master",
    "pytest",
    "mitm_ai_proxy.gateway.addon",
    "mitm_ai_proxy.gateway.embedded",
    "mitm_ai_proxy.gateway.recorded",
    "mitm_ai_proxy.gateway.simulated",
    "mitm_ai_proxy.simulator.app",
):
    importlib.import_module(_name)

for _name in [name for name in sys.modules if name.partition(".")[0] == "mitm_ai_proxy"]:
    del sys.modules[_name]
