"""mitmproxy's look-ups of header fields, options, hosts and arguments of hooks, with fewer steps and the same results.

Where mitmproxy's own are not those that were studied here, they stay.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

from mitmproxy import hooks, http, optmanager
from mitmproxy.coretypes.multidict import _MultiDict
from mitmproxy.http import Headers
from mitmproxy.net import check
from mitmproxy.net.http import url
from mitmproxy.optmanager import _Option
from mitmproxy.utils import strutils

from . import replaced
from .replaced import own

_IMITATED: Final[tuple[Any, ...]] = (
    _MultiDict.__getitem__,
    _MultiDict.get_all,
    own(Headers, "get_all"),
    Headers._kconv,
    Headers._reduce_values,
    http._always_bytes,
    http._native,
    strutils.always_bytes,
    vars(_Option)["default"].fget,
    own(_Option, "current"),
    own(hooks.Hook, "args"),
    own(url, "parse_authority"),
    check,
)
_DIGEST: Final = "7688a49fc4a8978507da2d69485474405b67d10281ab31b941bd1347ffbba447"
"""Of the source of these functions, which is the same in mitmproxy 11.0.2 and 12.0 to 12.3."""
_PLAIN: Final = frozenset((bool, bytes, float, int, str, type(None)))
"""Types of options whose deep copies are themselves."""
_LONGEST_HOST: Final = 255
_names: Final[dict[type, list[str]]] = {}
"""The names of the arguments of kinds of hooks."""
_read_authority: Final[Callable[[str | bytes, bool], tuple[str, int | None]]] = own(url, "parse_authority")
_read_authority_once: Final = functools.lru_cache(256)(_read_authority)


def _get_all(self: Headers, name: str | bytes) -> list[str]:
    key = (name.encode("utf-8", "surrogateescape") if type(name) is str else http._always_bytes(name)).lower()
    # A loop: before Python 3.12 a comprehension costs as much as the rest.
    length, values = len(key), []
    for found, value in self.fields:
        if len(found) == length and found.lower() == key:
            values.append(value.decode("utf-8", "surrogateescape"))
    return values


def _get(self: Headers, key: str | bytes, default: Any = None) -> Any:
    values = self.get_all(key)
    return self._reduce_values(values) if values else default


def _contains(self: Headers, key: str | bytes) -> bool:
    return bool(self.get_all(key))


def _current(self: _Option) -> Any:
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _PLAIN else copy.deepcopy(value)


def _args(self: Any) -> list[Any]:
    kind = type(self)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = [field.name for field in dataclasses.fields(self)]
    return [getattr(self, name) for name in names]


def _parse_authority(authority: str | bytes, check: bool) -> tuple[str, int | None]:
    read = _read_authority if len(authority) > _LONGEST_HOST else _read_authority_once
    return read(authority, check)


_REPLACED: Final[tuple[tuple[Any, str, Callable[..., Any]], ...]] = (
    (Headers, "get_all", _get_all),
    (Headers, "get", _get),
    (Headers, "__contains__", _contains),
    (_Option, "current", _current),
    (hooks.Hook, "args", _args),
    (url, "parse_authority", _parse_authority),
)


def switch(is_on: bool) -> None:
    """Use these look-ups, or mitmproxy's own again."""
    for place, name, _ in _REPLACED:
        replaced.put_back(place, name)
    if is_on and is_known():
        for place, name, function in _REPLACED:
            replaced.put(place, name, function)


def is_known() -> bool:
    """Whether mitmproxy's look-ups are those that are imitated here."""
    return replaced.are_known(_IMITATED, _DIGEST)
