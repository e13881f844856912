"""Reads compose.yaml as an engine does, as far as that file needs it: variables, commands, environments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FILE: Final = Path(__file__).parents[2] / "addon" / "mitm_ai_proxy" / "platform" / "compose.yaml"
_VARIABLE: Final = re.compile(r"\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}")


class Missing(Exception):
    """A variable that has to be set; the text is the file's."""


def read(variables: Mapping[str, str]) -> dict[str, Any]:
    """The services by name, with variables replaced. Raises Missing."""

    def replaced(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == ":?":
            raise Missing(f"{name}: {rest}")
        return rest or ""

    # Comments may name variables, too.
    text = "".join(line for line in FILE.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    services: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(replaced, text))["services"]
    return services
