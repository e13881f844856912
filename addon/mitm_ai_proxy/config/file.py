"""Reads config.yaml into one checked value. Each error message names its key; none shows a secret.

The keys of provider types and of blocks are declared by dataclasses (see keys.py), which the caller passes in.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from . import document, values
from .blocks import LONGEST_SHOWN, Block, shortened
from .keys import Problem, Reading, declared, nearest
from .routes import CONDITIONS, Route

SOURCE: Final = "config.yaml"
"""The name in error messages of a configuration that is in no file and has no other name."""

_TOKENS: Final = "apiTokens"
_PROVIDER_KEYS: Final = ("provider", "providers", "activeProviderId", "routes")
_T = TypeVar("_T")
_Keys = TypeVar("_Keys")


class ConfigurationError(Exception):
    """All mistakes in one configuration. Its text holds no secret."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        lines = [str(problem) for problem in self.problems]
        super().__init__(f"{source}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{source}:", *lines]))


class ProviderType(NamedTuple, Generic[_Keys]):
    """The keys in the block of one type of provider.

    `keys` declares them. Keys in `ignored` are accepted with any value, those in `not_implemented` only if they are
    switched off. `problems` checks keys against each other; it names them without the block's path. `variable`: the
    environment variable that is used where `apiTokens` is missing, if there is one, and no key of `instead` either.
    `aliases`: other names of keys.
    """

    keys: type[_Keys]
    ignored: frozenset[str]
    not_implemented: frozenset[str]
    problems: Callable[[_Keys, Reading], Iterator[Problem]]
    variable: str = ""
    instead: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = MappingProxyType({})


class Unknown(NamedTuple):
    """What is said about a file that is meant for another program, or for a type of provider that is not here.

    `hint`: what serves the type. Each of `foreign` gives a complaint about the file of another program, None for one of
    ours.
    """

    hint: str
    foreign: tuple[Callable[[Mapping[Any, Any]], Problem | None], ...]


NOTHING_UNKNOWN: Final = Unknown("", ())


@dataclass(frozen=True, slots=True)
class Configuration(Generic[_Keys]):
    """A whole, checked configuration.

    `source`: its name in messages, usually a path. `providers`: by id, in the order of the file, the keys of those that
    are in use: a route or `activeProviderId` names them. `active`: the id of the one for what no route takes, None if
    there is none. `blocks`: the values of all other blocks, and of the keys beside them. `placeholders`: the paths of
    values of providers that were pasted from an example, and not replaced.
    """

    source: str
    providers: Mapping[str, _Keys]
    active: str | None
    routes: tuple[Route, ...]
    blocks: tuple[object, ...]
    placeholders: tuple[str, ...] = ()

    @property
    def provider(self) -> _Keys:
        """The keys of the provider for what no route takes. Raises LookupError if there is none."""
        if self.active is None:
            raise LookupError("no provider is active")
        return self.providers[self.active]

    def block(self, declaration: type[_T]) -> _T:
        """The block that a dataclass declares. Raises LookupError if read() was not given the dataclass."""
        for value in self.blocks:
            if isinstance(value, declaration):
                return value
        raise LookupError(f"no block is declared by {declaration.__name__}")

    def with_block(self, value: object) -> Configuration[_Keys]:
        """A copy in which `value` replaces the block of its type."""
        others = (block for block in self.blocks if type(block) is not type(value))
        return replace(self, blocks=(*others, value))


def read(
    source: Path | str | Mapping[Any, Any],
    environment: Mapping[str, str],
    types: Mapping[str, ProviderType[_Keys]],
    blocks: Mapping[str, type[Any]],
    top_level: Iterable[type[Any]] = (),
    *,
    name: str = "",
    offline: bool = False,
    unset_secrets: bool = False,
    unknown: Unknown = NOTHING_UNKNOWN,
) -> Configuration[_Keys]:
    """The configuration in a file (a Path), in a text of YAML, or in a document that is parsed already.

    `types` are the provider types by name, `blocks` the dataclasses that declare the other blocks, `top_level` those
    that declare keys which stand beside the blocks. `${NAME}` comes from `environment`. `name` replaces the path in
    error messages. `offline`: nothing will be sent, so that a credential may be missing. `unset_secrets`: a variable in
    a secret of the provider may be unset, and is then empty. `unknown` has hints about what is not known here.
    Raises ConfigurationError with all mistakes.
    """
    name, found = _named_document(source, name)
    for complain in unknown.foreign:
        if foreign := complain(found):
            raise ConfigurationError(name, [foreign])
    problems: list[Problem] = []
    top = Block("", found, environment, problems)
    try:
        beside = {declaration: declared(declaration) for declaration in top_level}
        top.refuse_unknown((*_PROVIDER_KEYS, *blocks, *(key for keys in beside.values() for key in keys)))
        made = [top.take_declared(declaration) for declaration in beside]
        used = _used(top)
        keys = {name: _provider(block, types, unknown, offline, unset_secrets) for name, block in used.blocks.items()}
        made += [_block(top, block_name, declaration) for block_name, declaration in blocks.items()]
    except RecursionError:
        raise ConfigurationError(name, [Problem("", "holds a value that contains itself")]) from None
    providers = {identity: found for identity, found in keys.items() if found is not None}
    if problems or not providers:
        raise ConfigurationError(name, problems)
    pasted = [path for id, block in used.blocks.items() for path in block.placeholders(declared(type(keys[id])))]
    return Configuration(name, providers, used.active, used.routes, tuple(made), tuple(pasted))


def read_block(
    source: Path | str | Mapping[Any, Any],
    environment: Mapping[str, str],
    block: str,
    declaration: type[_T],
    *,
    name: str = "",
) -> _T:
    """One block of a configuration; the rest is not checked. Raises ConfigurationError."""
    name, found = _named_document(source, name)
    problems: list[Problem] = []
    try:
        made = _block(Block("", found, environment, problems), block, declaration)
    except RecursionError:
        raise ConfigurationError(name, [Problem("", "holds a value that contains itself")]) from None
    if problems:
        raise ConfigurationError(name, problems)
    return made


def _named_document(source: Path | str | Mapping[Any, Any], name: str) -> tuple[str, Mapping[Any, Any]]:
    name = name or (str(source) if isinstance(source, Path) else SOURCE)
    if isinstance(source, Mapping):
        return name, source
    try:
        return name, document.read(source) if isinstance(source, Path) else document.parsed(source)
    except document.DocumentError as error:
        raise ConfigurationError(name, [error.problem]) from None


class _Used(NamedTuple):
    """What a file says of its providers: by id, the blocks of those in use; the active one's id; the routes."""

    blocks: Mapping[str, Block]
    active: str | None = None
    routes: tuple[Route, ...] = ()


_NONE_USED: Final = _Used({})


def _used(top: Block) -> _Used:
    """The providers in use; none, with a problem reported, if they are not known."""
    one, several, routes = (top.values.get(name) for name in ("provider", "providers", "routes"))
    if one is not None and routes is not None:
        top.refuse("routes", "stands beside provider; routes choose from providers, a list of blocks with an id each")
    if one is not None and several is not None:
        top.refuse("provider", "stands beside providers; keep one of the two")
    elif one is not None:
        if isinstance(one, dict):
            return _only(Block("provider", one, top.environment, top.problems))
        top.refuse("provider", "expected a mapping of keys to values")
    elif several is not None:
        return _chosen(top, several)
    elif "provider" in top.values or "providers" in top.values:
        top.refuse("provider" if "provider" in top.values else "providers", "is empty")
    else:
        top.refuse("provider", "is missing")
    return _NONE_USED


def _only(block: Block) -> _Used:
    return _Used({"": block}, "")


def _chosen(top: Block, several: Any) -> _Used:
    """Those of a list of providers that a route or `activeProviderId` names; the only one, where neither is there."""
    if not isinstance(several, list) or not all(isinstance(item, dict) for item in several):
        top.refuse("providers", "expected a list of provider blocks")
        return _NONE_USED
    blocks = [Block(f"providers[{i}]", item, top.environment, top.problems) for i, item in enumerate(several)]
    if len(blocks) == 1 and top.values.get("routes") is None and top.values.get("activeProviderId") is None:
        return _only(blocks[0])
    listed = _Listed(blocks, [block.take("id", values.text, "") for block in blocks])
    items = top.values.get("routes")
    if items is not None and not isinstance(items, list):
        top.refuse("routes", "expected a list of routes")
    routes = _routes(top, items, listed) if isinstance(items, list) else []
    if routes:
        listed.refuse_equal()
    active = _active(top, listed, is_needed=items is None or items == [])
    named = {active, *(name for route in routes for name in route.provider)}
    used = {name: block for name, block in zip(listed.ids, blocks, strict=True) if name and name in named}
    return _Used(used, active, tuple(routes))


class _Listed(NamedTuple):
    """The blocks of a list of providers, and their ids; "" for one without."""

    blocks: list[Block]
    ids: list[str]

    @property
    def known(self) -> str:
        """The ids for a message. One from the environment is not shown, as in Block.refuse_word()."""
        return ", ".join(map(shortened, self.shown)) or "none"

    @property
    def shown(self) -> list[str]:
        """The ids that a message may show."""
        pairs = zip(self.blocks, self.ids, strict=True)
        return list(dict.fromkeys(name for block, name in pairs if name and "id" not in block.variables))

    def refuse_unknown(self, owner: Block, key: str, name: str) -> None:
        """Report that a key names a provider that is not in the list."""
        owner.refuse(key, f"no provider has this id{nearest(name, self.shown)} (known: {self.known})")

    def refuse_equal(self) -> None:
        """Report each id that an earlier block has too."""
        for index, name in enumerate(self.ids):
            if name and (first := self.ids.index(name)) < index:
                self.blocks[index].refuse("id", f"{self.blocks[first].path} has this id too")


def _active(top: Block, listed: _Listed, is_needed: bool) -> str | None:
    """The id of the active provider; None, with a problem reported, if it is needed or names none or several."""
    chosen = top.take("activeProviderId", values.text, "")
    count = listed.ids.count(chosen)
    if chosen and count == 1:
        return chosen
    if chosen and count:
        top.refuse("activeProviderId", f"{count} providers have this id")
    elif chosen:
        listed.refuse_unknown(top, "activeProviderId", chosen)
    elif is_needed and not top.has_problem("activeProviderId"):
        top.refuse("activeProviderId", f"is missing: name the provider to use (known: {listed.known})")
    return None


def _routes(top: Block, items: list[Any], listed: _Listed) -> list[Route]:
    """All routes; what is wrong with them is reported."""
    found = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            top.refuse(f"routes[{index}]", "expected a mapping of conditions, with a provider")
            continue
        block = Block(f"routes[{index}]", item, top.environment, top.problems)
        block.refuse_unknown(declared(Route), "condition")
        route = block.take_declared(Route)
        if not any(item.get(name) is not None for name in item if name != "provider"):
            top.refuse(block.path, f"has no condition: give {', '.join(CONDITIONS[:-1])} or {CONDITIONS[-1]}")
        if not route.provider and not block.has_problem("provider"):
            block.refuse("provider", f"is missing: name the provider of this route (known: {listed.known})")
        for place, name in enumerate(route.provider):
            if name not in listed.ids:
                key = f"provider[{place}]" if isinstance(item["provider"], list) else "provider"
                listed.refuse_unknown(block, key, name)
        found.append(route)
    return found


def _provider(
    block: Block, types: Mapping[str, ProviderType[_Keys]], unknown: Unknown, offline: bool, unset_secrets: bool
) -> _Keys | None:
    block.unset_secrets = unset_secrets
    name = block.take("type", values.text, "")
    if name in types:
        keys = _take_keys(block, name, types[name])
        _report(block, types[name], keys, offline)
        return keys
    if not name:
        if not block.has_problem("type"):
            block.refuse("type", f"is missing (known: {', '.join(sorted(types))})")
        _take_common(block, types)
        return None
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], types, n=1)
    block.refuse_word("type", "type", name, sorted(types), "" if near else unknown.hint)
    if near:
        meant = near[0]
        keys = _take_keys(block, meant, types[meant])
        # What is missing may come with the right type.
        _report(block, types[meant], keys, offline, only_given=True)
    else:
        _take_common(block, types)
    return None


def _take_keys(block: Block, name: str, kind: ProviderType[_Keys]) -> _Keys:
    """The keys of a block of a type; its unknown and wrong keys are reported."""
    for alias, key in kind.aliases.items():
        if alias in block.values and key in block.values:
            block.refuse(alias, f"stands beside {key}, which means the same; keep one of the two")
        block.values = {key if name == alias else name: value for name, value in block.values.items()}
    block.refuse_unknown(declared(kind.keys).keys() | kind.ignored | kind.not_implemented | kind.aliases.keys())
    for key in sorted(kind.not_implemented & block.values.keys()):
        if not _is_off(block.values[key]):
            block.refuse(key, f"is not implemented for type {name}")
    has_key = block.values.get(_TOKENS) or kind.instead & block.values.keys()
    if block.environment.get(kind.variable) and not has_key:
        block.values = {**block.values, _TOKENS: f"${{{kind.variable}}}"}
    return block.take_declared(kind.keys)


def _report(block: Block, kind: ProviderType[_Keys], keys: _Keys, offline: bool, *, only_given: bool = False) -> None:
    """Report the mistakes of keys against each other; `only_given`: of keys that are in the block."""
    for problem in kind.problems(keys, Reading(block.variables, offline)):
        is_given = problem.key.partition(".")[0] in block.values
        if not block.has_problem(problem.key, *problem.follows) and (is_given or not only_given):
            block.refuse(problem.key, problem.message)


def _take_common(block: Block, types: Mapping[str, ProviderType[_Keys]]) -> None:
    """Report what is wrong with a block whose type is not known: what no type has, and wrong values of common keys."""
    keys = [declared(kind.keys) for kind in types.values()]
    others = [kind.ignored | kind.not_implemented for kind in types.values()]
    block.refuse_unknown({name for known in (*keys, *others) for name in known})
    for name, key in keys[0].items():
        if name != "type" and all(known.get(name) == key for known in keys):
            block.take_key(key)


def _block(top: Block, name: str, declaration: type[_T]) -> _T:
    """A block other than a provider's. The block and all of its keys are optional."""
    found = top.values.get(name)
    if found is not None and not isinstance(found, dict):
        top.refuse(name, "expected a mapping of keys to values")
        found = None
    block = Block(name, found or {}, top.environment, top.problems)
    block.refuse_unknown(declared(declaration))
    return block.take_declared(declaration)


def _is_off(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.get("enabled", bool(value))
    return not value or value == "false"
