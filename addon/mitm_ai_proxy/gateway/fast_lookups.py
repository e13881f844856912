"""mitmproxy's look-ups of header fields and options, with fewer steps and the same results.

Where mitmproxy's own are not those that were studied here, they stay.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, Final

from mitmproxy import http, optmanager
from mitmproxy.coretypes.multidict import _MultiDict
from mitmproxy.http import Headers
from mitmproxy.optmanager import _Option
from mitmproxy.utils import strutils

_IMITATED: Final[tuple[Any, ...]] = (
    _MultiDict.__getitem__,
    _MultiDict.get_all,
    Headers.get_all,
    Headers._kconv,
    Headers._reduce_values,
    http._always_bytes,
    http._native,
    strutils.always_bytes,
    _Option.default.fget,
    _Option.current,
)
_DIGEST: Final = "95a32a0812f7e5e93e18e72bbd47f4afd704ed16eab44a70cbdedb822c43022e"
"""Of the source of these functions, which is the same in mitmproxy 11.0.2 and 12.0 to 12.3."""
_BEFORE: Final = "ai_proxy_before"
_PLAIN: Final = frozenset((bool, bytes, float, int, str, type(None)))
"""Types of options whose deep copies are themselves."""


def _get_all(self: Headers, name: str | bytes) -> list[str]:
    key = (name if type(name) is bytes else http._always_bytes(name)).lower()
    return [value.decode("utf-8", "surrogateescape") for found, value in self.fields if found.lower() == key]


def _get(self: Headers, key: str | bytes, default: Any = None) -> Any:
    values = self.get_all(key)
    return self._reduce_values(values) if values else default


def _contains(self: Headers, key: str | bytes) -> bool:
    return bool(self.get_all(key))


def _current(self: _Option) -> Any:
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _PLAIN else copy.deepcopy(value)


_REPLACED: Final[tuple[tuple[type, str, Callable[..., Any]], ...]] = (
    (Headers, "get_all", _get_all),
    (Headers, "get", _get),
    (Headers, "__contains__", _contains),
    (_Option, "current", _current),
)


def switch(is_on: bool) -> None:
    """Use these look-ups, or mitmproxy's own again."""
    for kind, name, _ in _REPLACED:
        function = vars(kind).get(name)
        if hasattr(function, _BEFORE):
            # Of this load of the script, or of an earlier one.
            if before := getattr(function, _BEFORE):
                setattr(kind, name, before)
            else:
                delattr(kind, name)
    if is_on and is_known():
        for kind, name, function in _REPLACED:
            setattr(function, _BEFORE, vars(kind).get(name))
            setattr(kind, name, function)


def is_known() -> bool:
    """Whether mitmproxy's look-ups are those that are imitated here."""
    try:
        source = "".join(map(inspect.getsource, _IMITATED))
    except (OSError, TypeError):
        return False
    return hashlib.sha256(source.encode()).hexdigest() == _DIGEST
