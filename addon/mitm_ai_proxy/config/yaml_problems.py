"""What is wrong with a text that is no YAML, in words of our own: PyYAML's quote the file, which may hold a secret."""

from __future__ import annotations

import re
from typing import Final

import yaml

from .keys import Problem

NOT_BUILT: Final = "looks like a date, a number or another value of YAML's, and is none: put it into quotes"
_OWN: Final = frozenset({NOT_BUILT, "a key stands here twice", "is nested too deeply", "a number is far too long"})
_QUOTES: Final = "put the value into quotes"

_TEXTS: Final = (
    ("scanning a block scalar", f"| and > at the beginning of a value begin a text of several lines: {_QUOTES}"),
    ("(scanning|parsing) a (tag|directive)", f"! and % at the beginning of a value mean something to YAML: {_QUOTES}"),
    ("scanning an (alias|anchor)", f"* and & at the beginning of a value mean something to YAML: {_QUOTES}"),
    ("undefined alias", f"* at the beginning of a value repeats another one, and there is none: {_QUOTES}"),
    ("duplicate anchor", "an anchor (&) is defined twice"),
    (
        "determine a constructor|undefined tag handle|expected a .* node, but found",
        f"! at the beginning of a value names a type, which is not known or does not fit: {_QUOTES}",
    ),
    (
        "mapping values are not allowed",
        f"a colon and a blank stand inside a value, or a line is indented wrongly: {_QUOTES}, or mend the indentation",
    ),
    ("sequence entries are not allowed", "a list with - cannot begin in this line: begin a new one for it"),
    ("mapping keys are not allowed", "? begins a key, which cannot stand here"),
    (r"found character '\\t'", "a tab stands where only blanks may indent"),
    ("cannot start any token", f"a value cannot begin with this character: {_QUOTES}"),
    ("expected <block end>|expected '<document start>'", "this is indented otherwise than what it belongs to"),
    (r"expected ',' or '\]'", "a list that begins with [ goes on without a comma, or has no ]"),
    (r"expected ',' or '\}'", "a mapping that begins with { goes on without a comma, or has no }"),
    ("could not find expected ':'", "a key has no colon and blank behind it"),
    ("unexpected end of stream|unexpected document separator", "a text in quotes has no end"),
    ("unknown escape|escape sequence", r"\ in double quotes begins no escape that YAML knows: use single quotes"),
    ("another document", "a second document begins here; the file has to be one"),
    ("unhashable key|for merging", "a list or a mapping can be neither a key nor merged here"),
    ("recursive node", "holds a value that contains itself"),
    ("the node content", "a value is missing here, or begins with a character that it cannot begin with"),
)
"""A pattern of PyYAML's message, and what it means."""
_BEGUN: Final = ("parsing a flow", "scanning a quoted", "scanning a double-quoted", "scanning a simple key")
"""Contexts whose beginning helps to find the mistake."""


def described(error: yaml.MarkedYAMLError) -> Problem:
    """A mistake with its line and column, and those where began what has no end."""
    problem, context = error.problem or "", error.context or ""
    text = problem if problem in _OWN else _text(f"{context}; {problem}")
    mark, begun = error.problem_mark or error.context_mark, error.context_mark
    if begun and begun is not mark and any(word in context for word in _BEGUN):
        text = f"{text} (it begins in {_place(begun.line, begun.column)})"
    return Problem(_place(mark.line, mark.column) if mark else "", text)


def bad_character(text: str, position: int) -> Problem:
    """The complaint about the character at a position, which YAML does not allow."""
    before = text[:position]
    column = position - (before.rfind("\n") + 1)
    return Problem(_place(before.count("\n"), column), "YAML does not allow this character")


def _text(said: str) -> str:
    return next((text for pattern, text in _TEXTS if re.search(pattern, said)), "is not valid YAML")


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"
