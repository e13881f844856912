"""The file `.env` beside a configuration: variables that are used where the environment has none."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Collection, Iterator, MutableMapping
from pathlib import Path
from typing import Final

from .. import registry
from ..config import document, regular_files

NAME: Final = ".env"

_NAMED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED: Final = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./+=:@%,-]*")
_ESCAPED: Final = re.compile(r'(["\\$`])')


def use(config: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """As load(), with the variables of all types of provider; complaints are printed."""
    names = [kind.variable for kind in registry.TYPES.values() if kind.variable]
    for complaint in load(config, names, environment):
        print(f"ai-proxy: {complaint}", file=sys.stderr)


def load(config: Path, known: Collection[str], environment: MutableMapping[str, str]) -> list[str]:
    """Put into the environment what the `.env` beside a configuration has of the variables that it names, or `known`.

    What the environment has already stays, and nothing else is taken: other variables could change how programs run.
    Returns complaints, which show no value.
    """
    path = config.parent / NAME
    try:
        text = _text(path)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        return [f"{path} cannot be read: {reason}"]
    try:
        wanted = {*known, *_NAMED.findall(_text(config))}
    except (OSError, UnicodeDecodeError):
        wanted = set(known)
    complaints = []
    for number, name, value in entries(text):
        if value is None:
            complaints.append(f"{path}: line {number} is not NAME=value")
        elif name in wanted:
            environment.setdefault(name, value)
    return complaints


def entries(text: str) -> Iterator[tuple[int, str, str | None]]:
    """The lines that are neither empty nor a comment: number, name and value; no value if the line cannot be read."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        yield number, found[1] if found else "", _value(found[2].strip()) if found else None


def value_of(text: str, name: str) -> str | None:
    """The value of a variable in the text of such a file, the last one that can be read; None without one."""
    return next((value for _, own, value in reversed(list(entries(text))) if own == name and value is not None), None)


def with_value(text: str, name: str, value: str) -> str:
    """The text with a variable set: in its own line if it has one, else at the end."""
    line = f"{name}={quoted(value)}"
    lines = text.splitlines(keepends=True)
    places = [number - 1 for number, own, _ in entries(text) if own == name]
    for place in places:
        end = lines[place][len(lines[place].rstrip("\r\n")) :]
        lines[place] = line + end
    if places:
        return "".join(lines)
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"


def quoted(value: str) -> str:
    """A value as shells and readers of `.env` files read it back."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + _ESCAPED.sub(r"\\\1", value) + '"'


def _value(text: str) -> str | None:
    """What a value stands for: quotes are removed, and a comment behind a blank; None if its quotes do not end."""
    if text[:1] not in ("'", '"'):
        return re.split(r"\s#", f" {text}", maxsplit=1)[0].strip()
    found = _QUOTED.match(text)
    if not found or text[found.end() :].strip().partition("#")[0]:
        return None
    return found[1] if found[1] is not None else re.sub(r"\\(.)", r"\1", found[2])


def _text(path: Path) -> str:
    return regular_files.content(path, document.MAX_SIZE).decode()


def read(path: Path) -> str:
    """The text of a file; "" if there is none. Raises OSError, and ValueError for what is no UTF-8."""
    try:
        return _text(path)
    except FileNotFoundError:
        return ""


def write(path: Path, text: str, mode: int = 0o644, *, replaces: bool = True) -> None:
    """Write a file whole or not at all, with this mode from its first byte on.

    Raises FileExistsError for one that is there, unless it `replaces` it, and OSError.
    """
    # What a symbolic link leads to is written, and the link stays.
    path = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        os.chmod(name, mode)
        if replaces:
            os.replace(name, path)
        else:
            _put(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _put(name: str, path: Path) -> None:
    """Give a file its name. Raises FileExistsError if there is such a file by now."""
    try:
        os.link(name, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        if path.exists():
            raise FileExistsError from None
        os.replace(name, path)
    else:
        os.unlink(name)
