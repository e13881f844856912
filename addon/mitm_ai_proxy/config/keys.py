"""Declares the keys of a block of the file, as fields of a frozen dataclass.

@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    max_tasks: int = key(whole(1, 100_000), 1000, help="Tasks that are kept.")    # the key maxTasks
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar, overload

from ..auth.secret import Secret

_T = TypeVar("_T")

_METADATA: Final = "key"
_DECLARED: Final[dict[type[Any], Mapping[str, Key]]] = {}


class Key(NamedTuple):
    """A declared key: `name` in the file, `field` in the dataclass; `convert` makes the field's value from YAML's.

    `inner`: the value is a block with the keys of this dataclass; `is_named`: blocks of it, by names that the user
    chooses. `short`: the key of such a block that a single value stands for.
    """

    name: str
    field: str
    convert: Callable[[Any], Any]
    default: Any
    help: str = ""
    is_secret: bool = False
    is_mapping: bool = False
    is_extension: bool = False
    inner: type[Any] | None = None
    is_named: bool = False
    short: str = ""


class Problem(NamedTuple):
    """One mistake: the path of the key (empty: the file itself), and a sentence.

    It is not reported if one of the keys in `follows` has a mistake, for it may be a consequence of that one.
    """

    key: str
    message: str
    follows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class Reading(NamedTuple):
    """How a block was read.

    `variables`: by key, the environment variables in its value. `offline`: nothing will be sent, so that a credential
    may be missing.
    """

    variables: Mapping[str, tuple[str, ...]]
    offline: bool


@overload
def key(
    convert: Callable[[Any], _T | None],
    *,
    help: str,
    secret: bool = False,
    mapping: bool = False,
    extension: bool = False,
) -> _T | None: ...


@overload
def key(
    convert: Callable[[Any], _T | None],
    default: _T,
    *,
    help: str,
    secret: bool = False,
    mapping: bool = False,
    extension: bool = False,
) -> _T: ...


def key(
    convert: Callable[[Any], Any],
    default: Any = None,
    *,
    help: str,
    secret: bool = False,
    mapping: bool = False,
    extension: bool = False,
) -> Any:
    """Declare a key, as the default of a field; the name of the field in camelCase is that of the key.

    `default` is used if the key is missing, null, or converted to None. `help` is a sentence for the table in docs/.
    `secret`: the value is never shown. `mapping`: variables are replaced inside a mapping too. `extension`: the Higress
    ai-proxy plugin has no such key, and other types of provider refuse it.
    """
    made = Key("", "", convert, default, help, secret, mapping, extension)
    return dataclasses.field(default_factory=lambda: default, repr=not secret, metadata={_METADATA: made})


def block(inner: type[_T], *, help: str) -> _T:
    """Declare a key whose value is a block with the keys that another dataclass declares, all of them optional."""
    made = Key("", "", _not_a_block, None, help, inner=inner)
    declaration: Any = dataclasses.field(default_factory=inner, metadata={_METADATA: made})
    return declaration  # type: ignore[no-any-return]


def blocks(inner: type[_T], *, help: str, short: str = "") -> Mapping[str, _T]:
    """Declare a key whose value has a block with the keys of another dataclass for each of the user's names.

    `short`: a single value in the place of a block is that of this key.
    """
    made = Key("", "", _not_a_block, None, help, inner=inner, is_named=True, short=short)
    declaration: Any = dataclasses.field(default_factory=lambda: MappingProxyType({}), metadata={_METADATA: made})
    return declaration  # type: ignore[no-any-return]


def _not_a_block(_: Any) -> Any:
    raise ValueError("expected a mapping of keys to values")


def declared(owner: type[Any]) -> Mapping[str, Key]:
    """The keys that a dataclass declares, by their names in the file, in the order of its fields."""
    if owner not in _DECLARED:
        found = {}
        for field in dataclasses.fields(owner):
            if _METADATA in field.metadata:
                made: Key = field.metadata[_METADATA]
                one = made._replace(name=camel_case(field.name), field=field.name)
                found[one.name] = one
        _DECLARED[owner] = MappingProxyType(found)
    return _DECLARED[owner]


def secrets(values: Any) -> tuple[str, ...]:
    """The values of all secret keys, each item of a list by itself; without empty ones."""
    found: list[str] = []
    for one in declared(type(values)).values():
        if one.is_secret:
            value = getattr(values, one.field)
            items = value if isinstance(value, tuple) else (value,)
            found += [item.reveal() if isinstance(item, Secret) else str(item) for item in items if item is not None]
    return tuple(filter(None, found))


def camel_case(field: str) -> str:
    """The key of a field: `max_tasks` gives `maxTasks`, `raise_` gives `raise`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), field.removesuffix("_"))


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean provider?`, or "" if no known name is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""
