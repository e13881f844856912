"""JSON values that the simulated model makes up: the arguments of a call, or an answer to a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_DEPTH: Final = 8
"""How deep a value is made; schemas may contain themselves."""
_GIVEN: Final = r"(?<![\w.]){name}\s*[=:]\s*(?:\"([^\"]*)\"|([^\s,;\"\])}}]+))"
"""A value that the prompt gives for a property: `city=Paris`, `city: "San José"`."""
_LITERALS: Final[Mapping[str, Any]] = {"boolean": True, "null": None, "integer": 1, "number": 1.5}


def text_of(value: Any) -> str:
    """The JSON text of a value."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def of_schema(schema: Any, prompt: str) -> Any:
    """A value that fits a JSON Schema, with what the prompt gives for its properties (`city=Paris`).

    Required properties are filled in, and those that the prompt gives. Always the same for the same arguments.
    """
    return _value(schema, prompt, "value", schema, 0)


def _value(schema: Any, prompt: str, name: str, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None if depth > _DEPTH else name
    if isinstance(schema.get("$ref"), str):
        return _value(_referred(schema["$ref"], root), prompt, name, root, depth + 1)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for word in ("enum", "examples"):
        if isinstance(schema.get(word), list) and schema[word]:
            return schema[word][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return _value(schema[word][0], prompt, name, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        return _object(schema, prompt, root, depth)
    if kind == "array":
        least = schema.get("minItems", 0)
        count = min(least, 8) if isinstance(least, int) else 0
        return [_value(schema.get("items"), prompt, "item", root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number") and isinstance(schema.get("minimum"), int | float):
        return schema["minimum"]
    return _LITERALS.get(str(kind), name)


def _object(schema: Mapping[str, Any], prompt: str, root: Any, depth: int) -> dict[str, Any]:
    properties, required = schema.get("properties"), schema.get("required")
    properties = properties if isinstance(properties, dict) else {}
    required = required if isinstance(required, list) else []
    made = {}
    for name, member in properties.items():
        given = _given(name, member, prompt)
        if given is not None:
            made[name] = given
        elif name in required:
            made[name] = _value(member, prompt, name, root, depth + 1)
    return made


def _given(name: str, schema: Any, prompt: str) -> Any:
    """The value that the prompt gives for a property, if it is one of the schema's type; else None."""
    found = re.search(_GIVEN.format(name=re.escape(name)), prompt)
    if found is None:
        return None
    text = found[2] if found[1] is None else found[1]
    text = text.rstrip(".?!") if found[1] is None else text
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind in (None, "string"):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return None
    kinds = {"integer": int, "number": int | float, "boolean": bool}
    is_flag = isinstance(value, bool)
    fits = isinstance(value, kinds.get(str(kind), ())) and is_flag == (kind == "boolean")
    return value if fits else None


def _referred(reference: str, root: Any) -> Any:
    """The part of a schema that a `$ref` (`#/$defs/City`) names; None if there is none."""
    found = root
    for part in reference.removeprefix("#/").split("/") if reference.startswith("#/") else ():
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return None if found is root else found
