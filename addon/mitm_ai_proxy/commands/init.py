"""The command `ai-proxy init`: writes a first configuration with one provider, and keeps its key in `.env`."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from .. import registry
from ..config import values
from ..config.document import MAX_SIZE
from ..config.file import ConfigurationError
from ..config.keys import Key, declared, nearest
from ..config.regular_files import content
from ..kling.provider import Kling
from ..providers.compatible import Compatible
from . import dotenv
from .command_line import DEFAULT_CONFIG, program

KEY_SUFFIX: Final = "-api-key"
BASE_URL: Final = "baseUrl"
_FIRST_LINE: Final = "# Made by ai-proxy init. All keys: docs/configuration.md\n"
_IGNORED: Final = frozenset((".env", "/.env", "**/.env", ".env*", "*.env", ".env.*"))
_YES: Final = ("y", "yes")
_COLUMNS: Final = 5


class WantedKey(NamedTuple):
    """A key that a provider needs: the option that gives it, its environment variable, its key in the configuration."""

    option: str
    variable: str
    key: str


class AuthChoice(NamedTuple):
    """A provider, and what it authenticates with; `name` is the value of --auth-choice."""

    name: str
    type: str
    wanted: tuple[WantedKey, ...]


class Stop(Exception):
    """The command ends without having written anything. The text is for the user, and holds no key."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


_PAIR: Final = (
    WantedKey("--kling-access-key", "KLING_ACCESS_KEY", "klingAccessKey"),
    WantedKey("--kling-secret-key", "KLING_SECRET_KEY", "klingSecretKey"),
)


def choices() -> dict[str, AuthChoice]:
    """One choice for each type of provider, and one for Kling's key pair, by their names."""
    found = []
    for name, kind in registry.TYPES.items():
        variable = kind.variable or f"{name.upper().replace('-', '_')}_API_KEY"
        found.append(
            AuthChoice(f"{name}{KEY_SUFFIX}", name, (WantedKey(f"--{name}{KEY_SUFFIX}", variable, "apiTokens"),))
        )
        if name == Kling.type:
            found.append(AuthChoice(f"{name}-key-pair", name, _PAIR))
    return {choice.name: choice for choice in found}


def main(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Write a configuration. Returns the exit status: 0 success, 1 nothing was written, 2 wrong usage."""
    known = choices()
    parser = _parser(known)
    chosen, unknown = parser.parse_known_args(words)
    if unknown:
        # What stands behind an option may be a key.
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        parser.error(f"unknown options: {' '.join(options)}" if options else "takes options only")
    is_person = sys.stdin is not None and sys.stdin.isatty()
    try:
        _Init(chosen, known, environment, is_person).run()
    except Stop as stop:
        print(f"ai-proxy: {stop}", file=sys.stderr)
        return stop.status
    except (KeyboardInterrupt, EOFError):
        print("\nai-proxy: nothing was written", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        name = getattr(error, "filename", None)
        print(f"ai-proxy: {f'{name}: ' if name else ''}{reason}", file=sys.stderr)
        return 1
    return 0


def _parser(known: Mapping[str, AuthChoice]) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"{program()} init",
        description="Write a first configuration with one provider. Keys go to .env beside it, never into it.",
        allow_abbrev=False,
    )
    parser.add_argument("--auth-choice", metavar="CHOICE", help=f"the provider: {', '.join(known)}")
    parser.add_argument(
        "--config", type=Path, default=Path(DEFAULT_CONFIG), metavar="PATH", help="the file (default: %(default)s)"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a configuration, and a key in .env, that is there"
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="what an SDK calls base_url, where it is not the provider's usual one"
    )
    for choice in known.values():
        for wanted in choice.wanted:
            parser.add_argument(wanted.option, metavar="KEY", help=f"its key (else {wanted.variable} is used)")
    for key in _needed_keys().values():
        parser.add_argument(option_of(key.name), metavar="VALUE", help=f"{key.name}: {key.help}")
    return parser


def _needed_keys() -> dict[str, Key]:
    """The keys that some types cannot do without, by name."""
    return {name: declared(kind.Keys)[name] for kind in registry.TYPES.values() for name in kind.needs}


def option_of(key: str) -> str:
    """The option for a key of the configuration: `--vllm-server-host`."""
    return "--" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in key)


AS_IT_CAME: Final = "29e1ec84e53e0ce1d6c46c0da6cd0d766d4bb507f6c865847c3049c854d1056c"
"""SHA-256 of the config.yaml that comes with the package."""


class _Init:
    """The steps. `is_person`: somebody can be asked."""

    def __init__(
        self, chosen: Namespace, known: Mapping[str, AuthChoice], environment: Mapping[str, str], is_person: bool
    ) -> None:
        self._chosen, self._known, self._is_person = chosen, known, is_person
        self._environment = environment
        self._config: Path = chosen.config
        self._dotenv = self._config.parent / dotenv.NAME
        self._saved = dotenv.read(self._dotenv)
        self._new: dict[str, str] = {}
        """Keys to be kept in `.env`, by their variables."""
        self._notes: list[str] = []

    def run(self) -> None:
        """All of them. Raises Stop."""
        may_replace = self._may_replace()
        choice = self._choice()
        document: dict[str, str | list[str]] = {"type": choice.type, **self._place(choice)}
        for wanted in choice.wanted:
            if self._take(choice, wanted, document):
                value = f"${{{wanted.variable}}}"
                document[wanted.key] = [value] if wanted.key == "apiTokens" else value
        text = _written(document)
        self._check(text)
        if self._new:
            self._keep()
        self._write(self._config, text, may_replace)
        self._report()

    # Questions

    def _may_replace(self) -> bool:
        """Whether the configuration may replace one that is there. Raises Stop if it must not."""
        if not self._config.parent.is_dir():
            raise Stop(f"{self._config.parent} is not a folder")
        if self._chosen.force or not os.path.lexists(self._config):
            return bool(self._chosen.force)
        if self._is_as_it_came():
            self._notes.append(f"{self._config} was as it came, and is replaced")
            return True
        if not self._is_person:
            raise Stop(f"{self._config} is there already; --force replaces it. Nothing was written.")
        self._ask_leave(f"{self._config} is there already. Replace it?")
        return True

    def _is_as_it_came(self) -> bool:
        """Whether the configuration is the one that comes with the package, with which nothing of anybody is lost."""
        try:
            return hashlib.sha256(content(self._config, MAX_SIZE)).hexdigest() == AS_IT_CAME
        except OSError:
            return False

    def _ask_leave(self, question: str) -> None:
        if _answer(f"{question} [y/N] ").lower() not in _YES:
            raise Stop("nothing was written")

    def _choice(self) -> AuthChoice:
        """The provider: by its option, by that of a key, or asked for. Raises Stop."""
        name = self._chosen.auth_choice
        given = {choice.name for choice in self._known.values() if any(map(self._given, choice.wanted))}
        if name is None and len(given) == 1:
            name = given.pop()
        if name is None and not self._is_person:
            raise Stop(f"give --auth-choice, one of {', '.join(self._known)}", 2)
        if name is None:
            return self._asked_choice()
        choice = self._found(name)
        if choice is None:
            raise Stop(f"--auth-choice: there is no such choice{nearest(name, self._known)} (init --help has them)", 2)
        others = sorted(wanted.option for other in given - {choice.name} for wanted in self._known[other].wanted)
        if others:
            raise Stop(f"{others[0]} does not go with --auth-choice {choice.name}", 2)
        return choice

    def _asked_choice(self) -> AuthChoice:
        names = [name.removesuffix(KEY_SUFFIX) for name in self._known]
        print("Providers:")
        width = max(map(len, names)) + 2
        for start in range(0, len(names), _COLUMNS):
            print("  " + "".join(name.ljust(width) for name in names[start : start + _COLUMNS]).rstrip())
        while True:
            name = _answer("Which one? ")
            choice = self._found(name)
            if choice:
                return choice
            print(f"There is no {name}{nearest(name, names)}" if name else "One of the names above.")

    def _found(self, name: str) -> AuthChoice | None:
        return self._known.get(name) or self._known.get(f"{name}{KEY_SUFFIX}")

    def _place(self, choice: AuthChoice) -> dict[str, str]:
        """Where the provider is, if that has to be said: `baseUrl`, or another key that the type needs."""
        kind = registry.TYPES[choice.type]
        keys = declared(kind.Keys)
        for name in _needed_keys():
            if name not in kind.needs and self._value(option_of(name)) is not None:
                raise Stop(f"{option_of(name)} does not go with --auth-choice {choice.name}", 2)
        if self._chosen.base_url is not None and BASE_URL not in keys:
            raise Stop(f"--base-url does not go with --auth-choice {choice.name}", 2)
        ways = [(name, option_of(name)) for name in kind.needs]
        if BASE_URL in keys:
            ways.insert(0, (BASE_URL, "--base-url"))
        given = {name: value for name, option in ways if (value := self._value(option)) is not None}
        for name, value in given.items():
            _checked(dict(ways)[name], keys[name].convert, value)
        if given or not kind.needs:
            return given
        if not self._is_person:
            raise Stop(f"where is {choice.type}? Give {' or '.join(option for _, option in ways)}", 2)
        # Of a host of the user's own, the base URL; of a service, what it is missing.
        has_host = issubclass(kind, Compatible) and bool(kind.row.host)
        key = keys[kind.needs[0] if has_host or BASE_URL not in keys else BASE_URL]
        return {key.name: _asked(f"{key.name} ({key.help}) ", key.convert)}

    # Keys

    def _given(self, wanted: WantedKey) -> bool:
        return self._value(wanted.option) is not None

    def _value(self, option: str) -> str | None:
        found: str | None = getattr(self._chosen, option.removeprefix("--").replace("-", "_"))
        return found

    def _take(self, choice: AuthChoice, wanted: WantedKey, document: Mapping[str, Any]) -> bool:
        """Find a key: the option, the environment or `.env`, a question. False if there is none, and none is needed."""
        given, variable = self._value(wanted.option), wanted.variable
        if given is not None:
            key = _checked(wanted.option, values.credential, given)
            if not key:
                raise Stop(f"{wanted.option} is empty", 2)
            self._new[variable] = key
            self._notes.append(f"the history of this shell has the key that {wanted.option} gave")
            if self._environment.get(variable) not in (None, "", key):
                self._notes.append(f"{variable} of this shell is another key, and wins over {self._dotenv}")
            return True
        if self._environment.get(variable):
            self._notes.append(f"the key is {variable} of the environment, which has to be set where the proxy starts")
            return True
        if dotenv.value_of(self._saved, variable):
            self._notes.append(f"the key is {variable} in {self._dotenv}")
            return True
        is_needed = _needs_key(document)
        if not self._is_person:
            if not is_needed:
                self._notes.append(f"no key: the client's own is sent on ({wanted.option} or {variable} gives one)")
                return False
            raise Stop(f"no key for {choice.type}: give {wanted.option}, or set {variable}", 2)
        return self._ask_key(choice, wanted, is_needed)

    def _ask_key(self, choice: AuthChoice, wanted: WantedKey, is_needed: bool) -> bool:
        what = f"{choice.type} {wanted.key}" if len(choice.wanted) > 1 else f"Key of {choice.type}"
        rest = "" if is_needed else ", empty for none"
        while True:
            try:
                key = values.credential(getpass.getpass(f"{what} (not shown{rest}): "))
            except ValueError as error:
                print(f"Not this one: {error}.")
                continue
            if key:
                self._new[wanted.variable] = key
                return True
            if not is_needed:
                return False

    # Writing

    def _check(self, text: str) -> None:
        """Raise Stop if the configuration would be refused."""
        try:
            registry.read(text, {**self._environment, **self._all_keys()}, name=str(self._config))
        except ConfigurationError as error:
            raise Stop(f"{error}\nNothing was written.") from None

    def _all_keys(self) -> dict[str, str]:
        saved = {name: value for _, name, value in dotenv.entries(self._saved) if value is not None}
        return {**saved, **{name: value for name, value in self._environment.items() if value}, **self._new}

    def _keep(self) -> None:
        """Write the new keys into `.env`, which git is told to ignore. Raises Stop if another key is there."""
        text = self._saved
        for name, key in self._new.items():
            before = dotenv.value_of(text, name)
            if before not in (None, "", key) and not self._chosen.force:
                if not self._is_person:
                    raise Stop(f"{self._dotenv} has another {name}; --force replaces it. Nothing was written.")
                self._ask_leave(f"{self._dotenv} has another {name}. Replace it?")
            text = dotenv.with_value(text, name, key)
        ignored = _ignoring(self._dotenv)
        if ignored:
            dotenv.write(ignored, _with_line(dotenv.read(ignored), dotenv.NAME), _mode(ignored))
            self._notes.append(f"{ignored}: git ignores {dotenv.NAME} from now on")
        dotenv.write(self._dotenv, text, 0o600)
        self._notes.append(f"{self._dotenv}: {', '.join(self._new)}, for you alone to read")

    def _write(self, path: Path, text: str, may_replace: bool) -> None:
        try:
            dotenv.write(path, text, _mode(path), replaces=may_replace)
        except FileExistsError:
            raise Stop(f"{path} is there by now; it stays as it is") from None

    def _report(self) -> None:
        """Read back what was written, and say where requests go and how to start. Raises Stop."""
        try:
            configuration = registry.read(self._config, {**self._environment, **self._all_keys()})
        except ConfigurationError as error:
            raise Stop(str(error)) from None
        for line in registry.described(configuration, registry.providers(configuration)):
            print(f"{self._config}: {line}")
        for note in self._notes:
            print(f"  {note}")
        is_default = self._config == Path(DEFAULT_CONFIG)
        rest = "" if is_default else f" --config {shlex.quote(str(self._config))}"
        print(f"Nothing was sent. To start: {program()}{rest}")


def _needs_key(document: Mapping[str, Any]) -> bool:
    """Whether a provider with these keys does nothing without a credential."""
    return registry.lacks_credential(registry.read({"provider": dict(document)}, {}, offline=True))


def _written(document: Mapping[str, Any]) -> str:
    """The configuration as a text. JSON in it is YAML."""
    lines = [f"  {name}: {value if name == 'type' else json.dumps(value)}\n" for name, value in document.items()]
    return f"{_FIRST_LINE}provider:\n{''.join(lines)}"


def _ignoring(path: Path) -> Path | None:
    """The `.gitignore` to which a file has to be added; None if it is not in a repository, or ignored already."""
    folder = path.resolve().parent
    root = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
    if root is None:
        return None
    places = [place for place in (folder, *folder.parents) if place == root or root in place.parents]
    for place in places:
        lines = {line.strip() for line in dotenv.read(place / ".gitignore").splitlines()}
        # With a slash in front, it is only for the folder itself.
        if lines & (_IGNORED if place == folder else _IGNORED - {"/.env"}):
            return None
    return folder / ".gitignore"


def _with_line(text: str, line: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o644


def _checked(option: str, convert: Callable[[Any], Any], value: str) -> Any:
    """The converted value of an option. Raises Stop, whose text does not have the value."""
    try:
        return convert(value)
    except ValueError as error:
        raise Stop(f"{option}: {error}", 2) from None


def _asked(question: str, convert: Callable[[Any], Any]) -> str:
    """An answer that can be converted; the question is repeated until there is one."""
    while True:
        answer = _answer(question)
        try:
            if answer and convert(answer) is not None:
                return answer
        except ValueError as error:
            print(f"Not this one: {error}.")


def _answer(question: str) -> str:
    """The line that a person writes. Raises EOFError at the end of the input."""
    sys.stdout.write(question)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()
