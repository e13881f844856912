"""What differs between two configurations, without values: they may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..auth.secret import Secret
from ..config import keys
from ..registry import Configuration


def changes(before: Configuration, after: Configuration) -> list[str]:
    """A line for each provider that came or went, and for each key that was changed."""
    found = [*_providers(before.providers, after.providers)]
    found += ["activeProviderId"] if before.active != after.active else []
    found += ["routes"] if _plain(before.routes) != _plain(after.routes) else []
    others = {type(block): block for block in before.blocks}
    for block in after.blocks:
        found += _keys("", others.get(type(block)), block)
    return found


def _providers(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in {**before, **after}:
        title = f"provider {name}" if name else "provider"
        if name not in after:
            yield f"{title} is gone"
        elif name not in before:
            yield f"{title} is new"
        elif type(before[name]) is not type(after[name]):
            yield f"{title}: type"
        else:
            yield from (f"{title}: {key}" for key in _keys("", before[name], after[name]))


def _keys(path: str, before: Any, after: Any) -> Iterator[str]:
    """The names of the keys whose values differ."""
    if before is None or after is None or type(before) is not type(after):
        if _plain(before) != _plain(after):
            yield path.removesuffix(".") or type(after or before).__name__
        return
    for name, key in keys.declared(type(after)).items():
        one, other = getattr(before, key.field), getattr(after, key.field)
        if _plain(one) == _plain(other):
            continue
        if key.inner and not key.is_named:
            yield from _keys(f"{path}{name}.", one, other)
        else:
            yield f"{path}{name}"


def _plain(value: Any) -> Any:
    """A value that is equal to another one where they mean the same: secrets are not by themselves."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if is_dataclass(value):
        return type(value), tuple(_plain(getattr(value, field.name)) for field in fields(value))
    return value
