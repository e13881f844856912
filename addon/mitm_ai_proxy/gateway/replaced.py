"""Functions of ours in the places of mitmproxy's; an earlier load of the script may have put some there."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

_BEFORE: Final = "ai_proxy_before"


def is_ours(place: object, name: str) -> bool:
    """Whether a function of ours has this name in a class or module."""
    return hasattr(vars(place).get(name), _BEFORE)


def own(place: object, name: str) -> Any:
    """mitmproxy's own function, also while one of ours is in its place; None without one."""
    function = vars(place).get(name)
    return getattr(function, _BEFORE, function)


def put(place: object, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of what is there."""
    setattr(function, _BEFORE, vars(place).get(name))
    setattr(place, name, function)


def put_back(place: object, name: str) -> None:
    """Put back what was there before a function of ours."""
    if is_ours(place, name):
        if before := own(place, name):
            setattr(place, name, before)
        else:
            delattr(place, name)


def are_known(functions: Iterable[Any], digest: str) -> bool:
    """Whether `digest` is the SHA-256, in hexadecimal digits, of the source of these functions."""
    try:
        source = "".join(map(inspect.getsource, functions))
    except (OSError, TypeError):
        return False
    return hashlib.sha256(source.encode()).hexdigest() == digest
