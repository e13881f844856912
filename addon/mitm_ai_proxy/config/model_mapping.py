"""modelMapping: the provider's model for the model that a client asks for.

The rules are those of the Higress ai-proxy plugin; patterns apply in file order, where the plugin's order is undefined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..errors import bad_body
from . import patterns

if TYPE_CHECKING:
    import regex

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


class Rule(NamedTuple):
    """A pattern of modelMapping, and a function that maps a model, or returns None if the pattern does not match."""

    pattern: str
    apply: Callable[[str], str | None]


class ModelMapping:
    """An ordered modelMapping.

    Exact names come first, then `prefix*` and `~regex` patterns in file order, then `*`. A value of "" keeps the
    model. A regex matches anywhere; every match is replaced, and the value may refer to groups as $1 or ${name}.
    Raises ValueError, naming the pattern, if a regex cannot be compiled.
    """

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._items = tuple(mapping.items())
        self._exact = {key: value for key, value in mapping.items() if patterns.is_exact(key)}
        self._rules = [_rule(key, value) for key, value in mapping.items() if not patterns.is_exact(key) and key != "*"]
        if "*" in mapping:
            self._rules.append(_rule("*", mapping["*"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelMapping) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __bool__(self) -> bool:
        return bool(self._exact or self._rules)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that stand in it by their exact names, in the order of the file."""
        return tuple(self._exact)

    def map(self, model: str) -> tuple[str, str | None]:
        """The mapped model, and the pattern that matched; the same model and None if no pattern matched.

        Raises Refusal (400) for a model for which a regex takes too long.
        """
        if model in self._exact:
            return self._exact[model] or model, model
        for rule in self._rules:
            mapped = rule.apply(model)
            if mapped is not None:
                return mapped, rule.pattern
        return model, None


def _rule(key: str, value: str) -> Rule:
    if not key.startswith("~"):
        prefix = key.removesuffix("*")
        return Rule(key, lambda model: (value or model) if model.startswith(prefix) else None)
    compiled = patterns.compiled(key)
    return Rule(key, lambda model: _matched(key, compiled, value, model))


def _matched(key: str, compiled: regex.Pattern[str], value: str, model: str) -> str | None:
    if len(model) > patterns.MAX_LENGTH:
        raise bad_body(f"model has more than {patterns.MAX_LENGTH} characters.", param="model")
    try:
        return _replace(compiled, value, model)
    except TimeoutError:
        raise bad_body(f"The pattern {key!r} of modelMapping takes too long for this model.", param="model") from None


def _replace(compiled: regex.Pattern[str], value: str, model: str) -> str | None:
    if not compiled.search(model, timeout=patterns.TIME):
        return None
    if not value:
        return model
    parts: list[str] = []
    position = -1
    for match in compiled.finditer(model, timeout=patterns.TIME):
        # Go's ReplaceAll skips an empty match right after another match.
        if match.end() > position:
            parts += (model[max(position, 0) : match.start()], _expand(value, match))
            position = match.end()
    return "".join([*parts, model[max(position, 0) :]])


def _expand(template: str, match: regex.Match[str]) -> str:
    """Go's regexp.Expand: $1, $name, ${name}; $$ is a dollar; an unknown group is empty."""

    def group(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except (IndexError, ValueError):
            # int() refuses thousands of digits.
            return ""

    return _REFERENCE.sub(group, template)
