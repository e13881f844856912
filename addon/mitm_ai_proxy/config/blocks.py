"""A mapping in the configuration: takes the values of its keys, and collects what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from . import placeholders
from .keys import Key, Problem, declared, nearest
from .values import UnknownWord, WrongParts

LONGEST_SHOWN: Final = 60
"""Characters of an unknown word that a message shows."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_T = TypeVar("_T")


def shortened(text: str) -> str:
    """A text for a message: its first LONGEST_SHOWN characters."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def nested(owner: type[_T]) -> Callable[[Any], _T | None]:
    """A converter of a mapping with the keys that a dataclass declares; `true` stands for `enabled` alone.

    What is empty or false counts as missing. It raises WrongParts. The key has to be one with `mapping`, so that
    variables are replaced.
    """

    def convert(value: Any) -> _T | None:
        known = declared(owner)
        if not value or value == "false":
            return None
        if value is True and "enabled" in known:
            value = {"enabled": value}
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping of keys to values (known: {', '.join(known)})")
        problems: list[Problem] = []
        block = Block("", value, {}, problems)
        block.refuse_unknown(known)
        found = block.take_declared(owner)
        if problems:
            raise WrongParts(*[(f".{problem.key}", problem.message) for problem in problems])
        return found

    return convert


class Block:
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
        """Report what is wrong with the value of a key."""
        self.problems.append(Problem(self._path_of(name), message))

    def has_problem(self, *names: str) -> bool:
        """Whether the value of one of these keys was refused."""
        return not self._refused.isdisjoint(names)

    def refuse_unknown(self, known: Iterable[str], kind: str = "key") -> None:
        """Report the keys that are not known; `kind` is the word for one."""
        names = sorted(known)
        for name in self.values:
            if name not in names:
                # Without a space after the colon, YAML reads key and value as one key.
                key, colon, _ = str(name).partition(":")
                problem = "no blank behind the colon" if colon else f"unknown {kind}{nearest(key, names)}"
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
        if key.inner:
            return self._named(key, key.inner) if key.is_named else self._inner(key.name, key.inner)
        name, default = key.name, key.default
        value = self.values.get(name)
        if value is None:
            return default
        try:
            found = key.convert(self._substituted(key, value))
            return default if found is None else found
        except WrongParts as wrong:
            self._refused.add(name)
            pasted = set(placeholders.places(value))
            for where, message in wrong.reasons:
                self.refuse(f"{name}{where}", placeholders.MESSAGE if where in pasted else message)
        except UnknownWord as unknown:
            self._refused.add(name)
            self.refuse_word(name, "value", unknown.word, unknown.known)
        except ValueError as error:
            self._refused.add(name)
            is_pasted = any(True for _ in placeholders.places(value))
            self.refuse(name, placeholders.MESSAGE if is_pasted else str(error))
        return default

    def placeholders(self, known: Iterable[str]) -> list[str]:
        """The paths of placeholders in the values of these keys."""
        given = ((name, self.values[name]) for name in known if name in self.values)
        return [self._path_of(f"{name}{place}") for name, value in given for place in placeholders.places(value)]

    def _named(self, key: Key, inner: type[_T]) -> Mapping[str, _T]:
        """The blocks of a key, by the user's names."""
        named = self._within(key.name)
        return {str(name): named._inner(name, inner, key.short) for name in named.values}

    def _inner(self, name: Any, inner: type[_T], short: str = "") -> _T:
        """A block within this one, as an instance of the dataclass that declares its keys."""
        block = self._within(name, short)
        block.refuse_unknown(declared(inner))
        return block.take_declared(inner)

    def _within(self, name: Any, short: str = "") -> Block:
        value = self.values.get(name)
        if short and isinstance(value, str | int | float):
            value = {short: value}
        if value is not None and not isinstance(value, dict):
            self._refused.add(str(name))
            self.refuse(str(name), "expected a mapping of keys to values")
            value = None
        block = Block(self._path_of(str(name)), value or {}, self.environment, self.problems)
        block.unset_secrets = self.unset_secrets
        return block

    def _path_of(self, name: str) -> str:
        name = shortened(name)
        return f"{self.path}.{name}" if self.path else name

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
