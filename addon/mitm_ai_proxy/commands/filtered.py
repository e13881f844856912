"""Runs a tool of mitmproxy's that knows the filter `~ai` before it reads its options, and so before any script."""

from __future__ import annotations

import sys

from mitmproxy.tools import main as tools

from ..gateway import filters

if __name__ == "__main__":
    filters.add()
    tool, *arguments = sys.argv[1:]
    sys.exit(getattr(tools, tool)(arguments))
