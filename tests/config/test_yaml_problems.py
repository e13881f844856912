"""What is said about a file that is no YAML: what is wrong, in which line and column, and nothing of its text."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config import document
from mitm_ai_proxy.config.file import ConfigurationError
from tests.tables import table

SECRET = "SECRET"
"""Stands in the texts."""
QUOTES = "put the value into quotes"


def _problem(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(text, {})
    (problem,) = caught.value.problems
    return str(problem)


@table(
    ("text", "place", "says"),
    [
        (
            "provider:\n  id: a: SECRET",
            "2, 8",
            "a colon and a blank stand inside a value, or a line",
        ),
        ("provider:\n  id: SECRET\n   type: kling", "3, 8", "a colon and a blank stand inside a value"),
        ("provider:\n  type: kling\n id: SECRET", "3, 2", "this is indented otherwise than what it belongs to"),
        ("provider:\n  - a\n  id: SECRET", "3, 3", "this is indented otherwise than what it belongs to"),
        ("provider:\n\tid: SECRET", "2, 1", "a tab stands where only blanks may indent"),
        ("provider:\n  apiTokens: [SECRET\n  id: b", "3, 5", "a list that begins with [ goes on without a comma"),
        ("provider: {id: SECRET\nhosts: [a]", "2, 6", "a mapping that begins with { goes on without a comma"),
        ("provider: {apiTokens: [SECRET}", "1, 30", "a list that begins with [ goes on without a comma, or has no ]"),
        ("provider:\n  id: '${SECRET}", "2, 17", "a text in quotes has no end (it begins in line 2, column 7)"),
        (
            'provider:\n  id: "SECRET\n  type: kling\n',
            "4, 1",
            "a text in quotes has no end (it begins in line 2, column 7)",
        ),
        ('provider:\n  id: "SECRET\n---\n', "3, 1", "a text in quotes has no end"),
        (
            'provider: {id: "C:\\SECRET"}',
            "1, 20",
            "\\ in double quotes begins no escape that YAML kno",
        ),
        ('provider: {id: "\\x8SECRET"}', "1, 19", "\\ in double quotes begins no escape that YAML knows"),
        ("provider: {id: @SECRET}", "1, 16", f"a value cannot begin with this character: {QUOTES}"),
        ("provider: {id: `SECRET}", "1, 16", f"a value cannot begin with this character: {QUOTES}"),
        ("provider:\n  id: %SECRET", "2, 7", f"a value cannot begin with this character: {QUOTES}"),
        ("\nprovider: *SECRET", "2, 11", "* at the beginning of a value repeats another one, and there is none"),
        ("provider: {id: *}", "1, 17", f"* and & at the beginning of a value mean something to YAML: {QUOTES}"),
        ("provider: {id: &SECRET$}", "1, 23", f"* and & at the beginning of a value mean something to YAML: {QUOTES}"),
        ("a: &SECRET 1\nb: &SECRET 2", "2, 4", "an anchor (&) is defined twice"),
        ("provider: !SECRET {}", "1, 11", "! at the beginning of a value names a type, which is not known or does not"),
        ("provider: !a!SECRET {}", "1, 11", "! at the beginning of a value names a type"),
        ("provider: !!int [SECRET]", "1, 11", "! at the beginning of a value names a type"),
        ("provider: !<SECRET {}", "1, 19", f"! and % at the beginning of a value mean something to YAML: {QUOTES}"),
        (
            "provider:\n  id: |SECRET",
            "2, 8",
            "| and > at the beginning of a value begin a text",
        ),
        ("provider:\n  id: >0", "2, 8", "| and > at the beginning of a value begin a text of several lines"),
        ("provider:\n  SECRET\n  type: kling", "3, 7", "a colon and a blank stand inside a value"),
        (
            "provider:\n  type: kling\n  SECRET\nhosts: [a]",
            "4, 1",
            "a key has no colon and blank behind it (it begins in line 3, column 3)",
        ),
        ("provider: - SECRET", "1, 11", "a list with - cannot begin in this line: begin a new one for it"),
        ("provider: ? SECRET", "1, 11", "? begins a key, which cannot stand here"),
        ("provider: {}\n---\nid: SECRET", "2, 1", "a second document begins here; the file has to be one"),
        ("- a\nid: SECRET", "2, 1", "this is indented otherwise than what it belongs to"),
        ("? [SECRET]\n: 1", "1, 3", "a list or a mapping can be neither a key nor merged here"),
        ("provider: {<<: SECRET}", "1, 16", "a list or a mapping can be neither a key nor merged here"),
        ("provider: {SECRET: 1, SECRET: 2}", "1, 23", "a key stands here twice"),
        ("provider: {id: ]SECRET}", "1, 16", "a mapping that begins with {|a value is missing here"),
        ("provider: 2026-13-45", "1, 11", "looks like a date, a number or another value of YAML's, and is none"),
        ("provider: !!int SECRET", "1, 11", "looks like a date, a number or another value of YAML's, and is none"),
        ("provider:\n  id: !!float SECRET", "2, 7", "looks like a date, a number or another value of YAML's"),
        ("provider: !!binary é", "1, 11", "looks like a date, a number or another value of YAML's|is not valid YAML"),
        ("provider:\n  id: SECRET\x01", "2, 13", "YAML does not allow this character"),
        ("\x00", "1, 1", "YAML does not allow this character"),
        ("a: 1\r\nb: \x7f", "2, 4", "YAML does not allow this character"),
    ],
)
def test_it_says_what_is_wrong_and_where_and_quotes_nothing(text: str, place: str, says: str) -> None:
    line, column = place.split(", ")
    problem = _problem(text)

    where = f"line {line}, column {int(column)}: "
    assert SECRET not in problem
    assert problem.startswith(tuple(f"{where}{start}" for start in says.split("|"))) or problem == says, problem


def test_a_colon_between_texts_in_quotes_needs_no_blank() -> None:
    text = 'a:\n  "B" :"C"\n  \'D\':\'E:F\'\n  "G" : 5\n  h: |\n    {"a":"b"}\n'

    assert document.parsed(text) == {"a": {"B": "C", "D": "E:F", "G": 5, "h": '{"a":"b"}\n'}}
    for wrong in ('a"b":"c"', "'a'\n:'b'"):
        with pytest.raises(document.DocumentError):
            document.parsed(wrong)
