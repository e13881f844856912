"""mitmproxy's check of the types in each message: left out where nothing but mitmproxy and this package makes messages.

It takes a tenth of a request's CPU time, and finds only mistakes of addons and in files of flows.
"""

from __future__ import annotations

import types
from typing import Any, Final

from mitmproxy import ctx, hooks, http
from mitmproxy.addonmanager import traverse
from mitmproxy.tools.dump import DumpMaster

_NAME: Final = "__post_init__"
_CHECK: Final = vars(http.MessageData).get(_NAME)
_OURS: Final = (__name__.partition(".")[0], "mitmproxy")
_FILES: Final = ("rfile", "client_replay", "server_replay")
"""Options that read flows from files, whose mistakes the check finds."""


def leave_out() -> None:
    """Leave the check out, if this is a mitmdump without other scripts and files of flows; call it when all is loaded.

    Without effect under `python -O`, where mitmproxy does not check.
    """
    if _CHECK is None or type(ctx.master) is not DumpMaster:
        # Another master may lack these options.
        return
    options: Any = ctx.options
    is_alone = len(options.scripts) <= 1 and all(map(_is_known, traverse(ctx.master.addons.chain)))
    if is_alone and not any(getattr(options, name) for name in _FILES):
        setattr(http.MessageData, _NAME, _nothing)


def put_back() -> None:
    """Have mitmproxy check again."""
    if _CHECK:
        setattr(http.MessageData, _NAME, _CHECK)


def _is_known(addon: object) -> bool:
    if isinstance(addon, types.ModuleType):
        # Of the script, whose addons are looked at as well.
        return not any(hasattr(addon, name) for name in hooks.all_hooks)
    return type(addon).__module__.partition(".")[0] in _OURS


def _nothing(_message: http.MessageData) -> None: ...
