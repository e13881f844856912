"""The command `ai-proxy docs`: writes the generated tables in docs/, each from a table of the code.

A page has such a table between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is one of TABLES.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from .. import apis, registry
from ..auth.secret import Secret
from ..chat.dialects import ANTHROPIC, OPENAI
from ..chat.translate import CHAT_APIS
from ..chat.unsaid import MEMBERS
from ..config.keys import Key, declared
from ..config.reliability import Failover, Limits, Rate, RetryOnFailure, Statuses
from ..config.routes import Route
from ..config.values import UnknownWord
from ..kling import error_codes, models
from ..kling.provider import Kling
from ..kling.task_kinds import TASK_KINDS
from ..providers import google_images
from ..providers.base import Provider
from ..providers.chats import COUNT_TOKENS
from ..providers.common_keys import CommonKeys
from ..providers.compatible import Compatible
from ..simulator import faults, kling_error
from . import init
from .command_line import program

_REGION = re.compile(r"(<!-- generated: ([^\n]*?) -->\n)(.*?)(?=<!-- (end|generated: [^\n]*?) -->|\Z)", re.DOTALL)


class DocsError(Exception):
    """The tables of a page or a folder cannot be written; the text names it and says why."""


def main(words: Sequence[str]) -> int:
    """Write the generated tables; with --check, only print the pages whose tables are stale.

    Returns the exit status: 0 success, 1 stale tables or an error. Usage errors exit with 2.
    """
    parser = ArgumentParser(f"{program()} docs", description="Write the tables of docs/ that are made from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 and name the stale pages")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"), metavar="FOLDER")
    chosen = parser.parse_args(words)
    try:
        pages = stale(chosen.folder)
        for page, text in pages.items():
            if chosen.check:
                print(f"ai-proxy: {page}: a generated table is stale; run {program()} docs", file=sys.stderr)
            else:
                page.write_text(text, encoding="utf-8", newline="\n")
                print(f"{page}: written")
    except (DocsError, OSError) as error:
        print(f"ai-proxy: {error}", file=sys.stderr)
        return 1
    return 1 if chosen.check and pages else 0


def stale(folder: Path) -> dict[Path, str]:
    """The pages of a folder whose tables are stale, each with its new text.

    Raises DocsError, also for a table that is on no page.
    """
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(folder.glob("**/*.md"))}
    if not pages:
        raise DocsError(f"{folder}: holds no pages (*.md)")
    missing = TABLES.keys() - {found[2] for text in pages.values() for found in _REGION.finditer(text)}
    if missing:
        raise DocsError(f"{folder}: no page has the table {', '.join(sorted(missing))}")
    written = {page: fill(page, text) for page, text in pages.items()}
    return {page: text for page, text in written.items() if text != pages[page]}


def fill(page: Path, text: str) -> str:
    """The text of a page with its tables replaced by generated ones. Raises DocsError, which names the page."""

    def region(found: re.Match[str]) -> str:
        begin, name, _, end = found.groups()
        if end != "end":
            raise DocsError(f"{page}: <!-- generated: {name} --> has no <!-- end -->")
        if name not in TABLES:
            raise DocsError(f"{page}: unknown table {name} (known: {', '.join(TABLES)})")
        return begin + TABLES[name]()

    return _REGION.sub(region, text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with a line break at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


# The content of an empty cell.
_NONE: Final = "-"
_TYPES: Final = tuple(registry.TYPES.items())


def _types() -> str:
    """The types of provider: where each is, the variable of its key, what it is."""
    rows = [[_code(name), _url(provider), _variable(provider), _about(provider)] for name, provider in _TYPES]
    return table(["`type`", "Base URL, where none is given", "Its key", "What it is"], rows)


def _url(provider: type[Provider]) -> str:
    if not issubclass(provider, Compatible):
        return _code(str(provider.home))
    row = provider.row
    return _code(f"{provider.home}{row.base}") if row.host else _NONE


def _variable(provider: type[Provider]) -> str:
    if not provider.variable:
        return _NONE
    return f"{_code(provider.variable)}{', optional' if provider.is_key_optional and provider is not Kling else ''}"


def _about(provider: type[Provider]) -> str:
    text = " ".join((inspect.getdoc(provider) or "").partition("\n\n")[0].split())
    return f"{text} [Its documentation]({provider.site})" if provider.site else text


def _capabilities() -> str:
    """The API names, with the types of provider that have them."""

    providers = [_provider(name) for name in registry.TYPES]

    def row(api: apis.Api) -> list[str]:
        types = [provider.type for provider in providers if provider.has(api.name)]
        return [_code(api.name), _code(str(api)), _of_types(types, registry.TYPES.keys() - {"generic"})]

    return table(["API name", "The client's request", "Types that have it"], map(row, apis.APIS))


def _chat_dialects() -> str:
    """By dialect: the types that have it, those for which it is translated, and those that count tokens themselves."""
    providers = [_provider(name) for name in registry.TYPES]
    chats = [provider for provider in providers if any(map(provider.has, CHAT_APIS))]
    among = [provider.type for provider in chats]

    def row(api: str) -> list[str]:
        native = [provider.type for provider in chats if provider.has(api) and not provider.translates(api)]
        counting = [provider.type for provider in chats if api == COUNT_TOKENS and provider.counts_tokens]
        others = [name for name in among if name not in (*native, *counting)]
        return [f"{_code(apis.BY_NAME[api].path)}", _of_types(native, among), _of_types(others, among)]

    rows = [row(api) for api in (*CHAT_APIS, COUNT_TOKENS)]
    return table(["The client's request", "Passes as it is", "Is translated; tokens are estimated"], rows)


def _chat_members() -> str:
    """The members of requests that only their own dialect can say."""
    rows = [
        [
            _code(name),
            {OPENAI: "OpenAI", ANTHROPIC: "Anthropic"}[dialect],
            rule.why,
            "refused" if rule.is_refused else "left out",
            _codes(sorted(value.decode() for value in rule.harmless)) or _NONE,
        ]
        for dialect, members in MEMBERS.items()
        for name, rule in members.items()
    ]
    return table(["Member", "Dialect", "Why", "It is", "No word about"], rows)


def _of_types(types: Sequence[str], among: Collection[str]) -> str:
    """Names of types; where most of those `among` them are meant, the ones that are not."""
    others = sorted(set(among) - set(types))
    if not others:
        return "all"
    if len(others) * 2 < len(types):
        return f"all but {_codes(others)}"
    return _codes(types) or _NONE


def _provider(name: str) -> Provider:
    """A provider of a type, with only an address in its configuration."""
    has_url = "baseUrl" in declared(registry.TYPES[name].Keys)
    address = {"baseUrl": "https://provider.example"} if has_url else {"providerDomain": "provider.example"}
    return registry.provider(registry.read({"provider": {"type": name, **address}}, {}, offline=True))


def _paths() -> str:
    """The capabilities whose upstream path differs from the client's, and is not that below the base URL."""
    rows = [[_code(name), _code(api), _code(path)] for name, provider in _TYPES for api, path in _elsewhere(provider)]
    return table(["Type", "API name", "Path at the provider"], rows)


def _elsewhere(provider: type[Provider]) -> Iterable[tuple[str, str]]:
    if issubclass(provider, Compatible):
        return provider.row.elsewhere.items()
    paths = provider.default_capabilities.items()
    return [(api, path) for api, path in paths if api not in apis.BY_NAME or apis.BY_NAME[api].path != path]


def _provider_keys() -> str:
    """The keys of a provider block: those of every type, then those of some."""
    keys: list[Key] = []
    for _, provider in _TYPES:
        keys += [key for key in declared(provider.Keys).values() if key not in keys]
    common = declared(CommonKeys).keys()

    def types(key: Key) -> list[str]:
        return [name for name, provider in _TYPES if declared(provider.Keys).get(key.name) == key]

    rows = [[_of_types(types(key), registry.TYPES), *_key(key)] for key in keys]
    return table(["Types", *_KEY_HEADER], sorted(rows, key=lambda row: row[1].strip("`") not in common))


def _block_keys(declaration: type[object]) -> str:
    """The keys of another block, or of a block within one."""
    return table(_KEY_HEADER, map(_key, declared(declaration).values()))


def _blocks() -> Iterable[tuple[str, type[object]]]:
    """The blocks besides those of providers, and the blocks within them, by their paths."""
    for name, declaration in registry.BLOCKS.items():
        yield name, declaration
        for key in declared(declaration).values():
            if key.inner:
                yield f"{name}.{key.name}", key.inner


def _init_choices() -> str:
    """The choices of `ai-proxy init`, with the options and variables of their keys."""
    rows = [
        [
            _code(choice.name),
            _codes(wanted.option for wanted in choice.wanted),
            _codes(wanted.variable for wanted in choice.wanted),
            _codes(map(init.option_of, registry.TYPES[choice.type].needs)) or _NONE,
        ]
        for choice in init.choices().values()
    ]
    return table(["`--auth-choice`", "Key", "Variable", "Also needed, or `--base-url`"], rows)


def _route_keys() -> str:
    """The keys of a route."""
    return _keys_of(Route)


def _keys_of(declaration: type[object]) -> str:
    """The keys that a dataclass declares."""
    return table(_KEY_HEADER, map(_key, declared(declaration).values()))


_KEY_HEADER: Final = ("Key", "Default", "Values", "Meaning")


def _key(key: Key) -> list[str]:
    return [_code(key.name), _code(_default(key.default)) or _NONE, _values(key), key.help]


def _default(value: object) -> str:
    """A default as in a configuration file; "" for none."""
    if isinstance(value, Statuses):
        return json.dumps(value.texts)
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, tuple) and value and all(isinstance(item, int | float) for item in value):
        return f"[{', '.join(map(_default, value))}]"
    return str(value) if isinstance(value, str | int) else ""


def _values(key: Key) -> str:
    """The allowed values of a key, from its converter's error for a wrong value."""
    try:
        key.convert("\0")
    except UnknownWord as error:
        return ", ".join(map(_code, error.known))
    except ValueError as error:
        _, expected, what = str(error).rpartition("expected ")
        what = what if expected else "text"
    else:
        what = "text"
    return f"{what}; one, or a list" if isinstance(key.default, tuple) else what


def _models() -> str:
    """The parameters that Kling's models support."""
    header = [
        "Model",
        "Seconds",
        "Modes",
        "From text alone",
        "Last picture in",
        "Sound in",
        "Fields that others lack",
        "Extended",
        "With `klingApi: v2`",
    ]
    rows = [
        [
            _code(name),
            _lengths(model.durations),
            _codes(model.modes) or "takes none",
            "yes" if model.text else "no",
            _codes(model.tail) or _NONE,
            _codes(model.sound) or _NONE,
            _codes(sorted(model.only)) or _NONE,
            "yes" if model.extends else "no",
            _code(models.V2_MODELS.get(name, "")) or _NONE,
        ]
        for name, model in models.MODELS.items()
    ]
    return table(header, rows)


def _other_models() -> str:
    """The models that are available only in the newer API, or only for edits."""
    rows = [
        [_code(name), _code(v2), "remix and edit" if name in models.OMNI_MODELS else "create, with `klingApi: v2`"]
        for name, v2 in models.V2_MODELS.items()
        if name not in models.MODELS
    ]
    return table(["Model", "With `klingApi: v2`", "For"], rows)


def _lengths(durations: Sequence[int]) -> str:
    first, last = durations[0], durations[-1]
    is_range = len(durations) > 2 and tuple(durations) == tuple(range(first, last + 1))
    return f"{first} to {last}" if is_range else " or ".join(map(str, durations))


def _sizes() -> str:
    """OpenAI's sizes with the parameters of Kling that they become."""
    rows = [[_code(size), _code(ratio), _code(mode)] for size, (ratio, mode) in models.SIZES.items()]
    return table(["`size`", "`aspect_ratio`", "`mode`"], rows)


def _google_sizes() -> str:
    """OpenAI's sizes of pictures with what they are for Gemini's models."""
    rows = [[_code(size), _code(ratio), _code(name)] for size, (ratio, name) in google_images.SIZES.items()]
    return table(["`size`", "`aspectRatio`", "`imageSize`"], rows)


def _task_kinds() -> str:
    """Kling's kinds of tasks: ids, paths, hints."""
    rows = [
        [
            kind.name,
            _code(f"{kind.prefix}ID"),
            _code(Kling.default_capabilities[kind.create]),
            _codes(sorted(kind.hints)),
        ]
        for kind in TASK_KINDS.values()
    ]
    return table(["Family", "Id", "Path at Kling", "`?kling_task_type=`"], rows)


def _kling_errors() -> str:
    """Kling's error codes with the OpenAI errors that they become."""

    rows = [
        [str(code), kling_error.CODES[code].message, f"{meaning.status} {_code(meaning.code)}", _repeats(meaning)]
        for code, meaning in error_codes.MEANINGS.items()
    ]
    return table(["Kling's code", "Kling's usual message", "Status, `code`", "SDKs repeat it"], rows)


def _repeats(meaning: error_codes.Meaning) -> str:
    if not meaning.repeat:
        return "no (`x-should-retry: false`)"
    if meaning.retry_after is not None:
        return f"after {meaning.retry_after} s"
    return "after their own delay" if meaning.status >= 500 else "no"


def _faults() -> str:
    """The faults that the simulator makes on demand."""
    rows = ([_code(word), what, faults.CHAT_FAULTS[word]] for word, what in faults.FAULTS.items())
    return table(["Word", "With videos and pictures", "With chats"], rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "types": _types,
    "provider keys": _provider_keys,
    **{f"{path} keys": functools.partial(_block_keys, declaration) for path, declaration in _blocks()},
    "route keys": _route_keys,
    "retryOnFailure keys": functools.partial(_keys_of, RetryOnFailure),
    "failover keys": functools.partial(_keys_of, Failover),
    "tokenLimits keys": functools.partial(_keys_of, Limits),
    "rate keys": functools.partial(_keys_of, Rate),
    "init choices": _init_choices,
    "capabilities": _capabilities,
    "paths": _paths,
    "chat dialects": _chat_dialects,
    "chat members": _chat_members,
    "kling models": _models,
    "kling models besides": _other_models,
    "kling sizes": _sizes,
    "google sizes": _google_sizes,
    "kling families": _task_kinds,
    "kling errors": _kling_errors,
    "simulator faults": _faults,
}
"""The functions that generate tables, by the names that pages use."""
