"""Reads config.yaml into one checked value. Each error message names its key; none shows a secret.

The keys of provider types and of blocks are declared by dataclasses (see keys.py), which the caller passes in.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import yaml

from . import values, yaml_problems
from .keys import Key, Problem, Reading, declared, nearest
from .values import UnknownWord, WrongParts

SOURCE: Final = "config.yaml"
"""The name in error messages of a configuration that is in no file and has no other name."""
MAX_SIZE: Final = 1024 * 1024
"""Bytes of a configuration file."""

MAX_VALUES: Final = 100_000
"""Values in a file, each counted as often as aliases repeat it: a few lines of them can stand for billions."""
MAX_BITS: Final = 4096
"""Of an integer. Python refuses to write longer ones than some 14,000 bits."""
MAX_BRACKETS: Final = 100
"""Brackets in each other; PyYAML's time grows with their square."""

LONGEST_SHOWN: Final = 60
"""Characters of an unknown word that a message shows."""

_PROVIDER_KEYS: Final = ("provider", "providers", "activeProviderId")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
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
    switched off. `problems` checks keys against each other; it names them without the block's path.
    """

    keys: type[_Keys]
    ignored: frozenset[str]
    not_implemented: frozenset[str]
    problems: Callable[[_Keys, Reading], Iterator[Problem]]


class Elsewhere(NamedTuple):
    """A type of provider that is not here: the type that serves it (its block is checked as one), and a hint how."""

    type: str
    hint: str


class Unknown(NamedTuple):
    """What is said about a file that is meant for another program, or for a type of provider that is not here.

    `types`: by name, the types that are known elsewhere; `hint` is for all others. Each of `foreign` gives a complaint
    about the file of another program, None for one of ours.
    """

    types: Mapping[str, Elsewhere]
    hint: str
    foreign: tuple[Callable[[Mapping[Any, Any]], Problem | None], ...]


NOTHING_UNKNOWN: Final = Unknown({}, "", ())


@dataclass(frozen=True, slots=True)
class Configuration(Generic[_Keys]):
    """A whole, checked configuration.

    `source`: its name in messages, usually a path. `provider`: the keys of the active provider. `blocks`: the values of
    all other blocks, and of the keys beside them.
    """

    source: str
    provider: _Keys
    blocks: tuple[object, ...]

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
    name, document = _named_document(source, name)
    for complain in unknown.foreign:
        if foreign := complain(document):
            raise ConfigurationError(name, [foreign])
    problems: list[Problem] = []
    top = _Block("", document, environment, problems)
    try:
        beside = {declaration: declared(declaration) for declaration in top_level}
        top.refuse_unknown((*_PROVIDER_KEYS, *blocks, *(key for keys in beside.values() for key in keys)))
        made = [top.take_declared(declaration) for declaration in beside]
        block = _active_provider(top)
        provider = _provider(block, types, unknown, offline, unset_secrets) if block else None
        made += [_block(top, block_name, declaration) for block_name, declaration in blocks.items()]
    except RecursionError:
        raise ConfigurationError(name, [Problem("", "holds a value that contains itself")]) from None
    if problems or provider is None:
        raise ConfigurationError(name, problems)
    return Configuration(name, provider, tuple(made))


def read_block(
    source: Path | str | Mapping[Any, Any],
    environment: Mapping[str, str],
    block: str,
    declaration: type[_T],
    *,
    name: str = "",
) -> _T:
    """One block of a configuration; the rest is not checked. Raises ConfigurationError."""
    name, document = _named_document(source, name)
    problems: list[Problem] = []
    try:
        made = _block(_Block("", document, environment, problems), block, declaration)
    except RecursionError:
        raise ConfigurationError(name, [Problem("", "holds a value that contains itself")]) from None
    if problems:
        raise ConfigurationError(name, problems)
    return made


def _named_document(source: Path | str | Mapping[Any, Any], name: str) -> tuple[str, Mapping[Any, Any]]:
    name = name or (str(source) if isinstance(source, Path) else SOURCE)
    if isinstance(source, Mapping):
        return name, source
    return name, _document(_text_of(source) if isinstance(source, Path) else source, name)


def _text_of(path: Path) -> str:
    try:
        data = _content(path)
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem("", f"is not UTF-8 (byte {error.start})")]) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(str(path), [Problem("", f"cannot be read: {reason}")]) from None


def _content(path: Path) -> bytes:
    """The bytes of a regular file up to MAX_SIZE. Raises OSError; a pipe or a device would block, or never end."""
    # Opening a pipe must not wait for its writer either.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise OSError(0, f"it is longer than {MAX_SIZE} bytes")
    return data


def _document(text: str, source: str) -> dict[Any, Any]:
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except _TooManyValues:
        raise ConfigurationError(source, [Problem("", f"stands for more than {MAX_VALUES} values")]) from None
    except yaml.MarkedYAMLError as error:
        # The text of the error quotes the file, which may hold a secret.
        raise ConfigurationError(source, [yaml_problems.described(error)]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(source, [yaml_problems.bad_character(text, error.position)]) from None
    except RecursionError:
        raise ConfigurationError(source, [Problem("", "is nested too deeply")]) from None
    if not isinstance(document, dict):
        raise ConfigurationError(source, [Problem("", "needs a provider: block")])
    return document


class _TooManyValues(Exception):
    """Aliases repeat so much that the file stands for more than MAX_VALUES values."""


class _Loader(yaml.SafeLoader):
    """SafeLoader, but a repeated key in a mapping is an error, and so are too many values or brackets."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= MAX_BRACKETS:
            raise yaml.scanner.ScannerError(None, None, "is nested too deeply", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def get_single_node(self) -> yaml.Node | None:
        found: yaml.Node | None = super().get_single_node()
        if found is not None:
            _count(found, {})
        return found

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception:
            # PyYAML's constructors raise exceptions of many types, with the value in their text.
            raise yaml.constructor.ConstructorError(None, None, yaml_problems.NOT_BUILT, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, "a key stands here twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    """An integer, which Python has to be able to write as text."""
    found = loader.construct_yaml_int(node)
    if found.bit_length() > MAX_BITS:
        raise yaml.constructor.ConstructorError(None, None, "a number is far too long", node.start_mark)
    return found


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def _count(node: yaml.Node, counts: dict[yaml.Node, int]) -> int:
    """The number of values that a node stands for; `counts` has those of other nodes. Raises _TooManyValues."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in counts:
        # Of a node that contains itself, which is refused where it is used.
        counts[node] = 0
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counts[node] = 1 + sum(_count(part, counts) for part in parts)
        if counts[node] > MAX_VALUES:
            raise _TooManyValues
    return counts[node]


def shortened(text: str) -> str:
    """A text for a message: its first LONGEST_SHOWN characters."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


class _Block:
    """A mapping in the file, with its path; collects the problems of its values."""

    def __init__(
        self, path: str, values: Mapping[Any, Any], environment: Mapping[str, str], problems: list[Problem]
    ) -> None:
        self.path = path
        self.values = values
        self.environment = environment
        self.problems = problems
        self.variables: dict[str, tuple[str, ...]] = {}
        self.unset_secrets = False
        """Whether a variable in the value of a secret key may be unset (and is then empty)."""
        self._refused: set[str] = set()

    def refuse(self, name: str, message: str) -> None:
        name = shortened(name)
        self.problems.append(Problem(f"{self.path}.{name}" if self.path else name, message))

    def has_problem(self, *names: str) -> bool:
        """Whether the value of one of these keys was refused."""
        return not self._refused.isdisjoint(names)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        names = sorted(known)
        for name in self.values:
            if name not in names:
                # Without a space after the colon, YAML reads key and value as one key.
                key, colon, _ = str(name).partition(":")
                problem = "no blank behind the colon" if colon else f"unknown key{nearest(key, names)}"
                self.refuse(key, problem)

    def refuse_word(self, name: str, kind: str, word: str, known: Iterable[str], hint: str = "") -> None:
        """Report an unknown word, and a hint what to write instead; one from the environment is not shown."""
        shown = "" if name in self.variables else f" {shortened(word)!r}"
        hint = f"; {hint}" if hint else nearest(word, known)
        self.refuse(name, f"unknown {kind}{shown}{hint} (known: {', '.join(known)})")

    def take_declared(self, owner: type[_T]) -> _T:
        """The values of the keys that a dataclass declares, as an instance of it."""
        found = {one.field: self.take_key(one) for one in declared(owner).values()}
        return owner(**found)

    def take(self, name: str, convert: Callable[[Any], _T], default: _T) -> _T:
        """The converted value of one key; the default if it is missing, null or refused."""
        found: _T = self.take_key(Key(name, "", convert, default))
        return found

    def take_key(self, key: Key) -> Any:
        """The converted value of a declared key, as take() gives it."""
        name, default = key.name, key.default
        value = self.values.get(name)
        if value is None:
            return default
        try:
            found = key.convert(self._substituted(key, value))
            return default if found is None else found
        except WrongParts as wrong:
            self._refused.add(name)
            for where, message in wrong.reasons:
                self.refuse(f"{name}{where}", message)
        except UnknownWord as unknown:
            self._refused.add(name)
            self.refuse_word(name, "value", unknown.word, unknown.known)
        except ValueError as error:
            self._refused.add(name)
            self.refuse(name, str(error))
        return default

    def _substituted(self, key: Key, value: Any, where: str = "") -> Any:
        """The value with `${NAME}` and `${NAME:-default}` replaced in all of its strings."""
        if isinstance(value, dict) and key.is_mapping:
            # In the value of a pattern (modelMapping), ${name} is a group of the regular expression.
            return {
                name: item
                if isinstance(name, str) and name.startswith("~")
                else self._substituted(key, item, f"{where}.{name}")
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._substituted(key, item, f"{where}[{index}]") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            variable, default = match.groups()
            self.variables[key.name] = (*self.variables.get(key.name, ()), variable)
            # As in a shell, the default replaces an empty variable too.
            found = self.environment.get(variable)
            if found or (found is not None and default is None):
                return found
            if default is None and key.is_secret and self.unset_secrets:
                return ""
            if default is None:
                raise WrongParts((where, f"the environment variable {variable} is not set"))
            return str(default)

        return _VARIABLE.sub(replace, value)


def _active_provider(top: _Block) -> _Block | None:
    """The block of the active provider; None, with a problem reported, if there is none."""
    one, several = top.values.get("provider"), top.values.get("providers")
    if one is not None and several is not None:
        top.refuse("provider", "stands beside providers; keep one of the two")
    elif one is not None:
        if isinstance(one, dict):
            return _Block("provider", one, top.environment, top.problems)
        top.refuse("provider", "expected a mapping of keys to values")
    elif several is not None:
        return _chosen_provider(top, several)
    elif "provider" in top.values or "providers" in top.values:
        top.refuse("provider" if "provider" in top.values else "providers", "is empty")
    else:
        top.refuse("provider", "is missing")
    return None


def _chosen_provider(top: _Block, several: Any) -> _Block | None:
    if not isinstance(several, list) or not all(isinstance(item, dict) for item in several):
        top.refuse("providers", "expected a list of provider blocks")
        return None
    blocks = [_Block(f"providers[{i}]", item, top.environment, top.problems) for i, item in enumerate(several)]
    identities = [block.take("id", values.text, "") for block in blocks]
    chosen = top.take("activeProviderId", values.text, "")
    found = [block for block, identity in zip(blocks, identities, strict=True) if chosen and identity == chosen]
    if len(found) == 1:
        return found[0]
    # One from the environment is not shown, as in refuse_word().
    shown = [identity for block, identity in zip(blocks, identities, strict=True) if "id" not in block.variables]
    known = ", ".join(shortened(identity) for identity in shown if identity) or "none"
    if found:
        top.refuse("activeProviderId", f"{len(found)} providers have this id")
    elif chosen:
        top.refuse("activeProviderId", f"no provider has this id{nearest(chosen, shown)} (known: {known})")
    elif not top.has_problem("activeProviderId"):
        top.refuse("activeProviderId", f"is missing: name the provider to use (known: {known})")
    return None


def _provider(
    block: _Block, types: Mapping[str, ProviderType[_Keys]], unknown: Unknown, offline: bool, unset_secrets: bool
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
    elsewhere = unknown.types.get(name)
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], types, n=1)
    hint = elsewhere.hint if elsewhere else "" if near else unknown.hint
    block.refuse_word("type", "type", name, sorted(types), hint)
    meant = elsewhere.type if elsewhere else next(iter(near), "")
    if meant in types:
        keys = _take_keys(block, meant, types[meant])
        # What is missing may come with the right type.
        _report(block, types[meant], keys, offline, only_given=True)
    else:
        _take_common(block, types)
    return None


def _take_keys(block: _Block, name: str, kind: ProviderType[_Keys]) -> _Keys:
    """The keys of a block of a type; its unknown and wrong keys are reported."""
    block.refuse_unknown(declared(kind.keys).keys() | kind.ignored | kind.not_implemented)
    for key in sorted(kind.not_implemented & block.values.keys()):
        if not _is_off(block.values[key]):
            block.refuse(key, f"is not implemented for type {name}")
    return block.take_declared(kind.keys)


def _report(block: _Block, kind: ProviderType[_Keys], keys: _Keys, offline: bool, *, only_given: bool = False) -> None:
    """Report the mistakes of keys against each other; `only_given`: of keys that are in the block."""
    for problem in kind.problems(keys, Reading(block.variables, offline)):
        is_given = problem.key.partition(".")[0] in block.values
        if not block.has_problem(problem.key, *problem.follows) and (is_given or not only_given):
            block.refuse(problem.key, problem.message)


def _take_common(block: _Block, types: Mapping[str, ProviderType[_Keys]]) -> None:
    """Report what is wrong with a block whose type is not known: what no type has, and wrong values of common keys."""
    keys = [declared(kind.keys) for kind in types.values()]
    others = [kind.ignored | kind.not_implemented for kind in types.values()]
    block.refuse_unknown({name for known in (*keys, *others) for name in known})
    for name, key in keys[0].items():
        if name != "type" and all(known.get(name) == key for known in keys):
            block.take_key(key)


def _block(top: _Block, name: str, declaration: type[_T]) -> _T:
    """A block other than a provider's. The block and all of its keys are optional."""
    found = top.values.get(name)
    if found is not None and not isinstance(found, dict):
        top.refuse(name, "expected a mapping of keys to values")
        found = None
    block = _Block(name, found or {}, top.environment, top.problems)
    block.refuse_unknown(declared(declaration))
    return block.take_declared(declaration)


def _is_off(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.get("enabled", bool(value))
    return not value or value == "false"
