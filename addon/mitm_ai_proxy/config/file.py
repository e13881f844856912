"""config.yaml to typed configuration; every complaint names its key and none shows a value that could be a secret.

What a key means to a provider is the provider's business: types are handed in, none is known here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

import yaml

from ..auth.secret import Secret
from ..wire.targets import Origin, split_host_port
from .model_mapping import ModelMapping

PROTOCOLS: Final = ("openai", "original")
BASE_PATH_HANDLINGS: Final = ("removePrefix", "prepend")
KLING_APIS: Final = ("legacy", "v2")
VIDEO_RESPONSES: Final = ("auto", "openai", "native")

# Keys of the Higress ai-proxy plugin for every type of provider that this version does not implement.
NOT_IMPLEMENTED: Final = frozenset({"customSettings", "failover", "logUpstreamErrorResponseBody", "retryOnFailure"})
# Keys that only chat-like APIs look at, and those about side calls and Envoy headers, which do not exist here.
CHAT_KEYS: Final = frozenset(
    "context contextCleanupCommands disableStreamUsageStats hiclawMode mergeConsecutiveMessages"
    " promoteThinkingOnEmpty reasoningContentMode responseJsonSchema".split()
)
SIDE_CALL_KEYS: Final = frozenset({"firstByteTimeout", "timeout"})
# Keys of one type each: the plugin accepts them everywhere, and other types do not look at them.
TYPE_KEYS: Final = frozenset(
    "apiVersion awsAccessKey awsRegion awsSecretKey azureServiceUrl bedrockAdditionalFields"
    " bedrockPromptCachePointPositions botType claudeCodeMode claudeVersion cloudflareAccountId difyApiUrl"
    " doubaoDomain geminiSafetySetting geminiThinkingBudget genericHost hunyuanAuthId hunyuanAuthKey inputVariable"
    " klingAccessKey klingSecretKey klingTokenRefreshAhead minimaxApiType minimaxGroupId moonshotFileId"
    " ollamaServerHost ollamaServerPort openaiCustomUrl outputVariable promptCacheRetention qwenDomain"
    " qwenEnableCompatible qwenEnableSearch qwenFileIds targetLang tritonDomain tritonModelVersion"
    " vertexAuthKey vertexAuthServiceName vertexOpenAICompatible vertexProjectId vertexRegion"
    " vertexTokenRefreshAhead vllmCustomUrl vllmServerHost zhipuCodePlanMode zhipuDomain".split()
)
CREDENTIALS: Final = frozenset({"apiTokens", "klingAccessKey", "klingSecretKey"})
"""Keys that hold what nobody but the provider may see."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_T = TypeVar("_T")


class Problem(NamedTuple):
    """One thing wrong: the key's path in the file (empty: the file itself), and a sentence.

    `follows` are keys that are not complained about again: had they been right, this might be, too.
    """

    key: str
    message: str
    follows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class ConfigurationError(Exception):
    """All that is wrong with one configuration. Its text can be shown: it holds no secret."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        lines = [str(problem) for problem in self.problems]
        super().__init__(f"{source}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{source}:", *lines]))


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A `provider:` block, checked. Field names are the file's keys in snake_case.

    `variables` tells which environment variables the value of a key was written with. `offline`: nothing is sent.
    `speed` is how much faster than the real provider this one is.
    """

    type: str
    id: str = ""
    protocol: str = "openai"
    api_tokens: tuple[Secret, ...] = ()
    model_mapping: ModelMapping = field(default_factory=lambda: ModelMapping({}))
    capabilities: Mapping[str, str] = field(default_factory=dict)
    base_path: str = ""
    base_path_handling: str = "removePrefix"
    provider_base_path: str = ""
    provider_domain: Origin | None = None
    kling_access_key: str = ""
    kling_secret_key: Secret = field(default_factory=lambda: Secret(""))
    kling_token_refresh_ahead: int = 60
    kling_api: str = "legacy"
    video_response: str = "auto"
    generic_host: Origin | None = None
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    offline: bool = False
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class HostPattern:
    """An entry of `hosts`: a host, with a port when only that port is meant."""

    host: str
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        """Whether a request to this host and port is meant."""
        return host.lower() == self.host and self.port in (None, port)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole file, checked. `hosts` is None where the file has no such key; `scrub` is what cassettes leave out."""

    provider: ProviderConfig
    hosts: tuple[HostPattern, ...] | None = None
    scrub: tuple[str, ...] = ()


class ProviderType(Protocol):
    """What this module has to know of a type of provider: its own keys, keys it accepts and ignores, its checks."""

    keys: ClassVar[frozenset[str]]
    ignored_keys: ClassVar[frozenset[str]]

    @classmethod
    def problems(cls, config: ProviderConfig) -> Iterator[Problem]:
        """What is wrong between keys that are each right; keys are given without the block's name in front."""


def read(
    path: Path,
    environment: Mapping[str, str],
    types: Mapping[str, type[ProviderType]],
    *,
    offline: bool = False,
    optional: frozenset[str] = frozenset(),
) -> Config:
    """The configuration in a file; `${NAME}` comes from `environment`. Raises ConfigurationError."""
    return parse(_text_of(path), environment, types, source=str(path), offline=offline, optional=optional)


def read_section(
    path: Path, environment: Mapping[str, str], name: str, converters: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    """The values of a top-level block that is no provider's, converted, by key; absent ones are left out.

    Raises ConfigurationError.
    """
    source, problems = str(path), list[Problem]()
    values = _document(_text_of(path), source).get(name)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(source, [Problem(name, "expected a mapping of keys to values")])
    block = _Block(name, values, environment, problems)
    block.refuse_unknown(converters)
    found = {key: block.take(key, convert, None) for key, convert in converters.items()}
    if problems:
        raise ConfigurationError(source, problems)
    return {key: value for key, value in found.items() if value is not None}


def parse(
    text: str,
    environment: Mapping[str, str],
    types: Mapping[str, type[ProviderType]],
    *,
    source: str = "config.yaml",
    offline: bool = False,
    optional: frozenset[str] = frozenset(),
) -> Config:
    """The configuration in a text of YAML. Raises ConfigurationError, which names `source`.

    `offline`: nothing will be sent, so that a credential may be missing. `optional` are keys of the provider whose
    value may name a variable that is not set.
    """
    problems: list[Problem] = []
    document = _document(text, source)
    top = _Block("", document, environment, problems)
    try:
        top.refuse_unknown(("provider", "providers", "activeProviderId", "hosts", "simulator", "cassette", "scrub"))
        hosts = top.take("hosts", to_host_patterns, None)
        scrub = top.take("scrub", to_texts, None) or ()
        block = _active_provider(top)
        if block:
            block.optional = optional
        provider = _provider(block, types, offline) if block else None
    except RecursionError:
        raise ConfigurationError(source, [Problem("", "holds a value that contains itself")]) from None
    if problems or not provider:
        raise ConfigurationError(source, problems)
    return Config(provider, hosts, scrub)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem("", f"is not UTF-8 (byte {error.start})")]) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(str(path), [Problem("", f"cannot be read: {reason}")]) from None


def _document(text: str, source: str) -> dict[Any, Any]:
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        # The text of the error quotes the file, which may hold a secret; only the place and the problem are shown.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(source, [Problem(f"line {line}", _yaml_problem(error))]) from None
    except yaml.YAMLError:
        raise ConfigurationError(source, [Problem("", "holds a character that YAML does not allow")]) from None
    except Exception:
        # PyYAML's constructors raise whatever comes, with the value in the text.
        raise ConfigurationError(source, [Problem("", "holds a value that YAML cannot build")]) from None
    if not isinstance(document, dict):
        raise ConfigurationError(source, [Problem("", "needs a provider: block")])
    return document


class _Loader(yaml.SafeLoader):
    """YAML as usual, but a key that stands twice in a mapping is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, "a key stands here twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    # Quoted parts are cut out: they are characters, tags or aliases of the file.
    return re.sub(r"'.*'|\".*\"", "...", error.problem or "is not valid YAML")


class _Refused(Exception):
    """A value that will not do, for one or more reasons: what continues the key's path, and a sentence."""

    def __init__(self, *reasons: tuple[str, str]) -> None:
        self.reasons = reasons


class _Unknown(Exception):
    """A word that is none of those known."""

    def __init__(self, word: str, known: Iterable[str]) -> None:
        self.word = word
        self.known = known


class _Block:
    """A mapping of the file that knows its path and collects what is wrong with its values."""

    def __init__(
        self, path: str, values: dict[Any, Any], environment: Mapping[str, str], problems: list[Problem]
    ) -> None:
        self.path = path
        self.values = values
        self.environment = environment
        self.problems = problems
        self.variables: dict[str, tuple[str, ...]] = {}
        self.optional: frozenset[str] = frozenset()
        """Keys whose value may name a variable that is not set."""
        self._refused: set[str] = set()

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(Problem(f"{self.path}.{name}" if self.path else name, message))

    def complains(self, *names: str) -> bool:
        """Whether something is wrong with the value of one of these keys."""
        return not self._refused.isdisjoint(names)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        names = sorted(known)
        for name in self.values:
            if name not in names:
                # Without a blank behind its colon, a key ends with its value.
                key, colon, _ = str(name).partition(":")
                problem = "no blank behind the colon" if colon else f"unknown key{nearest(key, names)}"
                self.refuse(key, problem)

    def refuse_word(self, name: str, kind: str, word: str, known: Iterable[str]) -> None:
        """Complain about one of a few words; what came from the environment is not shown."""
        shown = "" if name in self.variables else f" {word!r}"
        self.refuse(name, f"unknown {kind}{shown}{nearest(word, known)} (known: {', '.join(known)})")

    def take(self, name: str, convert: Callable[[Any], _T], default: _T) -> _T:
        """The converted value of a key; the default where it is absent, null or refused."""
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return convert(self._substituted(name, value))
        except _Refused as refused:
            self._refused.add(name)
            for where, message in refused.reasons:
                self.refuse(f"{name}{where}", message)
        except _Unknown as unknown:
            self._refused.add(name)
            self.refuse_word(name, "value", unknown.word, unknown.known)
        except ValueError as error:
            self._refused.add(name)
            self.refuse(name, str(error))
        return default

    def _substituted(self, name: str, value: Any, where: str = "") -> Any:
        """The value with `${NAME}` and `${NAME:-default}` replaced in every text of it."""
        if isinstance(value, dict) and name in _MAPPINGS:
            # In the value of a regular expression, ${name} is a group of it (modelMapping).
            return {
                key: item
                if isinstance(key, str) and key.startswith("~")
                else self._substituted(name, item, f"{where}.{key}")
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._substituted(name, item, f"{where}[{index}]") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            variable, default = match.groups()
            self.variables[name] = (*self.variables.get(name, ()), variable)
            # As in a shell, an empty variable counts as missing where there is a default.
            found = self.environment.get(variable)
            if found or (found is not None and default is None):
                return found
            if default is None and name in self.optional:
                return ""
            if default is None:
                raise _Refused((where, f"the environment variable {variable} is not set"))
            return str(default)

        return _VARIABLE.sub(replace, value)


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a complaint about an unknown name: the nearest known one, if any is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _active_provider(top: _Block) -> _Block | None:
    """The block of the one provider that is used, with its path; None with a problem noted when there is none."""
    values = top.values
    one, several = values.get("provider"), values.get("providers")
    if one is not None and several is not None:
        top.refuse("provider", "stands beside providers; keep one of the two")
    elif one is not None:
        if isinstance(one, dict):
            return _Block("provider", one, top.environment, top.problems)
        top.refuse("provider", "expected a mapping of keys to values")
    elif several is not None:
        return _chosen_provider(top, several)
    elif "provider" in values or "providers" in values:
        top.refuse("provider" if "provider" in values else "providers", "is empty")
    else:
        top.refuse("provider", "is missing")
    return None


def _chosen_provider(top: _Block, several: Any) -> _Block | None:
    if not isinstance(several, list) or not all(isinstance(item, dict) for item in several):
        top.refuse("providers", "expected a list of provider blocks")
        return None
    blocks = [_Block(f"providers[{i}]", item, top.environment, top.problems) for i, item in enumerate(several)]
    identities = [block.take("id", to_text, "") for block in blocks]
    chosen = top.take("activeProviderId", to_text, "")
    found = [block for block, identity in zip(blocks, identities, strict=True) if chosen and identity == chosen]
    if len(found) == 1:
        return found[0]
    known = ", ".join(identity for identity in identities if identity) or "none"
    if found:
        top.refuse("activeProviderId", f"{len(found)} providers have this id")
    elif chosen:
        top.refuse("activeProviderId", f"no provider has this id{nearest(chosen, identities)} (known: {known})")
    elif not top.complains("activeProviderId"):
        top.refuse("activeProviderId", f"is missing: name the provider to use (known: {known})")
    return None


def _provider(block: _Block, types: Mapping[str, type[ProviderType]], offline: bool) -> ProviderConfig | None:
    name = block.take("type", to_text, "")
    if name not in types:
        known = sorted(types)
        if name:
            block.refuse_word("type", "type", name, known)
        elif not block.complains("type"):
            block.refuse("type", f"is missing (known: {', '.join(known)})")
        return None
    provider_type = types[name]
    own = {key: _CONVERTERS[key] for key in _COMMON_KEYS | provider_type.keys}
    block.refuse_unknown(own.keys() | provider_type.ignored_keys | NOT_IMPLEMENTED | CHAT_KEYS | TYPE_KEYS)
    unavailable = (NOT_IMPLEMENTED | CHAT_KEYS | TYPE_KEYS) - own.keys() - provider_type.ignored_keys
    for key in sorted(unavailable & block.values.keys()):
        if not _is_off(block.values[key]):
            block.refuse(key, f"is not implemented for type {name}")

    fields: dict[str, Any] = {}
    for key, convert in own.items():
        value = block.take(key, convert, None)
        if value is not None:
            fields[snake_case(key)] = value
    config = ProviderConfig(**fields, variables=block.variables, offline=offline)
    for problem in provider_type.problems(config):
        if not block.complains(problem.key, *problem.follows):
            block.refuse(problem.key, problem.message)
    return config


def snake_case(key: str) -> str:
    """A key of the file as the name of a field."""
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", key)


def _is_off(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.get("enabled", bool(value))
    return not value or value == "false"


def to_text(value: Any) -> str:
    """Text, also where YAML took it for a number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected text")
    return str(value).strip()


def to_credential(value: Any) -> str:
    """Text that may stand in a header: visible ASCII. Blanks around it are cut off, line breaks are not."""
    if not isinstance(value, str):
        raise ValueError("expected text (in quotes, if it is made of digits)")
    text = value.strip(" \t")
    if "\n" in text or "\r" in text:
        raise ValueError("holds a line break")
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("holds a blank, a control character or a character outside ASCII")
    return text


def _key_of_pair(value: Any) -> str:
    return to_credential(value.strip() if isinstance(value, str) else value)


def _each(items: Iterable[tuple[str, Any]], convert: Callable[[Any], _T]) -> list[_T]:
    """All items converted, each with what names it in the key's path; refused together."""
    converted, reasons = [], []
    for where, item in items:
        try:
            converted.append(convert(item))
        except ValueError as error:
            reasons.append((where, str(error)))
    if reasons:
        raise _Refused(*reasons)
    return converted


def _list(value: Any) -> list[tuple[str, Any]]:
    return [(f"[{index}]", item) for index, item in enumerate(value if isinstance(value, list) else [value])]


def _tokens(value: Any) -> tuple[Secret, ...]:
    return tuple(Secret(text) for text in _each(_list(value), to_credential) if text)


def _one_of(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        text = to_text(value)
        if text not in words:
            raise _Unknown(text, words)
        return text

    return convert


def _seconds(below: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        text = to_text(value)
        if not (text.isascii() and text.isdigit() and int(text) < below):
            raise ValueError(f"expected a whole number of seconds from 0 to {below - 1}")
        return int(text)

    return convert


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to texts")

    def pair(item: tuple[Any, Any]) -> tuple[str, str]:
        # A null is what `name:` without a value means in YAML, and "" is what was meant.
        return to_text(item[0]), "" if item[1] is None else to_text(item[1])

    return dict(_each([(f".{item[0]}", item) for item in value.items()], pair))


def _model_mapping(value: Any) -> ModelMapping:
    return ModelMapping(_texts(value))


def _is_path(text: str) -> bool:
    return text.isascii() and text.isprintable() and not any(character in text for character in " ?#")


def _path(value: Any) -> str:
    """A path prefix: with a slash in front, none at its end, no query."""
    text = to_text(value)
    if not _is_path(text) or any(segment in (".", "..") for segment in text.split("/")):
        raise ValueError("expected a path without a query")
    text = text.rstrip("/")
    return text if not text or text.startswith("/") else f"/{text}"


def _capabilities(value: Any) -> dict[str, str]:
    def check(path: str) -> None:
        if not path.startswith("/") or not _is_path(path.replace("?", "", 1)):
            raise ValueError("expected a path that begins with a slash")

    paths = _texts(value)
    _each([(f".{name}", path) for name, path in paths.items()], check)
    return paths


def to_host_patterns(value: Any) -> tuple[HostPattern, ...]:
    """Hosts, each with or without a port. Raises ValueError."""

    def pattern(item: Any) -> HostPattern:
        try:
            return HostPattern(*split_host_port(to_text(item)))
        except ValueError as error:
            raise ValueError(f"{error}: expected host or host:port") from None

    return tuple(_each(_list(value), pattern))


def to_texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one. Raises ValueError."""
    return tuple(text for text in _each(_list(value), to_text) if text)


def to_origin(value: Any) -> Origin | None:
    """An origin; None for an empty text. Raises ValueError."""
    text = to_text(value)
    return Origin.parse(text) if text else None


_MAPPINGS: Final = frozenset({"capabilities", "modelMapping"})
_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "type": to_text,
    "id": to_text,
    "protocol": _one_of(*PROTOCOLS),
    "apiTokens": _tokens,
    "modelMapping": _model_mapping,
    "capabilities": _capabilities,
    "basePath": _path,
    "basePathHandling": _one_of(*BASE_PATH_HANDLINGS),
    "providerBasePath": _path,
    "providerDomain": to_origin,
    "klingAccessKey": _key_of_pair,
    "klingSecretKey": lambda value: Secret(_key_of_pair(value)),
    # From 1800 s on, the life of a token, each request would sign anew.
    "klingTokenRefreshAhead": _seconds(1800),
    "klingApi": _one_of(*KLING_APIS),
    "videoResponse": _one_of(*VIDEO_RESPONSES),
    "genericHost": to_origin,
}
# Keys of one type each that the plugin does not have.
_OWN_KEYS: Final = frozenset({"klingApi", "videoResponse"})
_COMMON_KEYS: Final = frozenset(_CONVERTERS) - TYPE_KEYS - _OWN_KEYS
