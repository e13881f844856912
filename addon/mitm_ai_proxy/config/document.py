"""Reads a file of YAML as plain values, with limits. No message shows its text, which may hold a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from . import yaml_problems
from .keys import Problem
from .regular_files import content

MAX_SIZE: Final = 1024 * 1024
"""Bytes of a configuration file."""

MAX_VALUES: Final = 100_000
"""Values in a file, each counted as often as aliases repeat it: a few lines of them can stand for billions."""
MAX_BITS: Final = 4096
"""Of an integer. Python refuses to write longer ones than some 14,000 bits."""
MAX_COMMAS: Final = 20
"""Commas that are passed over."""
_COMMA: Final = re.compile(r",[ \t]*(?:#.*)?(?=\r?$)", re.MULTILINE)
MAX_BRACKETS: Final = 100
"""Brackets in each other; PyYAML's time grows with their square."""


class DocumentError(Exception):
    """A text that is not the YAML of a mapping, or a file that cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


_ABSENT: Final = "there is no such file (ai-proxy init writes a first one)"


def read(path: Path) -> dict[Any, Any]:
    """The mapping in a file. Raises DocumentError."""
    return parsed(_text_of(path))


def _text_of(path: Path) -> str:
    try:
        data = content(path, MAX_SIZE)
        return data.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(Problem("", f"is not UTF-8 (byte {error.start})")) from None
    except FileNotFoundError:
        raise DocumentError(Problem("", f"cannot be read: {_ABSENT}")) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DocumentError(Problem("", f"cannot be read: {reason}")) from None


def _loaded(text: str) -> Any:
    for _ in range(MAX_COMMAS):
        try:
            return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
        except yaml.parser.ParserError as error:
            place = error.problem_mark.index if error.problem_mark else len(text)
            if not _COMMA.match(text, place):
                raise
            text = text[:place] + " " + text[place + 1 :]
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader


def parsed(text: str) -> dict[Any, Any]:
    """The mapping that a text of YAML stands for. Raises DocumentError.

    A comma behind a value in quotes, at the end of a line, is passed over: the Higress plugin's page has several.
    """
    try:
        document = _loaded(text)
    except _TooManyValues:
        raise DocumentError(Problem("", f"stands for more than {MAX_VALUES} values")) from None
    except yaml.MarkedYAMLError as error:
        # The text of the error quotes the file, which may hold a secret.
        raise DocumentError(yaml_problems.described(error)) from None
    except yaml.reader.ReaderError as error:
        raise DocumentError(yaml_problems.bad_character(text, error.position)) from None
    except RecursionError:
        raise DocumentError(Problem("", "is nested too deeply")) from None
    if not isinstance(document, dict):
        raise DocumentError(Problem("", "needs a provider: block"))
    return document


class _TooManyValues(Exception):
    """Aliases repeat so much that the file stands for more than MAX_VALUES values."""


class _Loader(yaml.SafeLoader):
    """SafeLoader, but a repeated key in a mapping is an error, and so are too many values or brackets.

    A colon between two texts in quotes needs no blank behind it (`"A" :"B"`): other parsers take it, and blocks of the
    Higress ai-proxy plugin's documentation have it.
    """

    def check_value(self) -> bool:
        last = self.tokens[-1] if self.tokens else None
        is_quoted = isinstance(last, yaml.ScalarToken) and not last.plain and last.end_mark.line == self.line
        return bool(super().check_value()) or (is_quoted and self.peek(1) in "\"'")

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
