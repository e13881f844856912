"""Functions of mitmproxy's whose places others take, as long as mitmproxy's own are those that were studied."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

Replacement = tuple[Any, str, Callable[..., Any]]
"""A class or module, a name in it, and the function that goes there."""

_BEFORE = "ai_proxy_before"


def own(place: object, name: str) -> Any:
    """mitmproxy's own function, also while one of an earlier load of the script is in its place; None without one."""
    function = vars(place).get(name)
    return getattr(function, _BEFORE, function)


def are_known(functions: Iterable[Any], digests: Collection[str]) -> bool:
    """Whether the source of these functions, as SHA-256 in hexadecimal digits, is one of `digests`."""
    try:
        source = "".join(map(inspect.getsource, functions))
    except (OSError, TypeError):
        return False
    return hashlib.sha256(source.encode()).hexdigest() in digests


def put(replacements: Iterable[Replacement]) -> None:
    """Put these functions in the places of mitmproxy's own."""
    for place, name, function in replacements:
        setattr(function, _BEFORE, vars(place).get(name))
        setattr(place, name, function)


def put_back(replacements: Iterable[Replacement]) -> None:
    """Put mitmproxy's own functions back, also in the places of those of an earlier load of the script."""
    for place, name, _ in replacements:
        function = vars(place).get(name)
        if hasattr(function, _BEFORE):
            if before := getattr(function, _BEFORE):
                setattr(place, name, before)
            else:
                delattr(place, name)
