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

from .auth.secret import Secret
from .models import ModelMapping
from .targets import Origin, split_host_port

PROTOCOLS: Final = ("openai", "original")
BASE_PATH_HANDLINGS: Final = ("removePrefix", "prepend")

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

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_T = TypeVar("_T")


class Problem(NamedTuple):
    """One thing wrong: the key's path in the file (empty: the file itself), and a sentence."""

    key: str
    message: str

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

    `variables` tells which environment variables the value of a key was written with.
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
    generic_host: Origin | None = None
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    """A whole file, checked. `hosts` is None where the file has no such key."""

    provider: ProviderConfig
    hosts: tuple[HostPattern, ...] | None = None


class ProviderType(Protocol):
    """What this module has to know of a type of provider: its own keys, keys it accepts and ignores, its checks."""

    keys: ClassVar[frozenset[str]]
    ignored_keys: ClassVar[frozenset[str]]

    @classmethod
    def problems(cls, config: ProviderConfig) -> Iterator[Problem]:
        """What is wrong between keys that are each right; keys are given without the block's name in front."""


def read(path: Path, environment: Mapping[str, str], types: Mapping[str, type[ProviderType]]) -> Config:
    """The configuration in a file; `${NAME}` comes from `environment`. Raises ConfigurationError."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem("", f"is not UTF-8 (byte {error.start})")]) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(str(path), [Problem("", f"cannot be read: {reason}")]) from None
    return parse(text, environment, types, source=str(path))


def parse(
    text: str,
    environment: Mapping[str, str],
    types: Mapping[str, type[ProviderType]],
    *,
    source: str = "config.yaml",
) -> Config:
    """The configuration in a text of YAML. Raises ConfigurationError, which names `source`."""
    problems: list[Problem] = []
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        # The text of the error quotes the file, which may hold a secret; only the place and the problem are shown.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(source, [Problem(f"line {line}", _yaml_problem(error))]) from None
    except yaml.YAMLError:
        raise ConfigurationError(source, [Problem("", "holds a character that YAML does not allow")]) from None
    except (RecursionError, ValueError):
        raise ConfigurationError(source, [Problem("", "holds a value that YAML cannot build")]) from None
    if not isinstance(document, dict):
        raise ConfigurationError(source, [Problem("", "needs a provider: block")])

    top = _Block("", document, environment, problems)
    top.refuse_unknown(("provider", "providers", "activeProviderId", "hosts"))
    hosts = top.take("hosts", _hosts, None)
    block = _active_provider(top)
    provider = _provider(block, types) if block else None
    if problems or not provider:
        raise ConfigurationError(source, problems)
    return Config(provider, hosts)


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
    """A value that will not do. `where` continues the key's path; the message follows it."""

    def __init__(self, message: str, where: str = "") -> None:
        self.message = message
        self.where = where


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

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(Problem(f"{self.path}.{name}" if self.path else name, message))

    def refuse_unknown(self, known: Iterable[str]) -> None:
        names = sorted(known)
        for name in self.values:
            if name not in names:
                self.refuse(str(name), f"unknown key{nearest(str(name), names)}")

    def take(self, name: str, convert: Callable[[Any], _T], default: _T) -> _T:
        """The converted value of a key; the default where it is absent, null or refused."""
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return convert(self._substituted(name, value))
        except _Refused as refused:
            self.refuse(f"{name}{refused.where}", refused.message)
        except ValueError as error:
            self.refuse(name, str(error))
        return default

    def _substituted(self, name: str, value: Any, where: str = "") -> Any:
        """The value with `${NAME}` and `${NAME:-default}` replaced in every text of it."""
        if isinstance(value, dict):
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
            if default is None:
                raise _Refused(f"the environment variable {variable} is not set", where)
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
    identities = [str(item.get("id", "")) for item in several]
    chosen = top.take("activeProviderId", _text, "")
    found = [index for index, identity in enumerate(identities) if chosen and identity == chosen]
    if len(found) == 1:
        index = found[0]
        return _Block(f"providers[{index}]", several[index], top.environment, top.problems)
    known = ", ".join(identity for identity in identities if identity) or "none"
    if found:
        top.refuse("activeProviderId", f"{len(found)} providers have the id {chosen!r}")
    elif chosen:
        top.refuse("activeProviderId", f"no provider has this id{nearest(chosen, identities)} (known: {known})")
    else:
        top.refuse("activeProviderId", f"is missing: name the provider to use (known: {known})")
    return None


def _provider(block: _Block, types: Mapping[str, type[ProviderType]]) -> ProviderConfig | None:
    name = block.take("type", _text, "")
    if name not in types:
        if "type" not in block.values or name:
            known = ", ".join(sorted(types))
            wrong = f"unknown type {name!r}{nearest(name, types)}" if name else "is missing"
            block.refuse("type", f"{wrong} (known: {known})")
        return None
    provider_type = types[name]
    own = {key: _CONVERTERS[key] for key in _COMMON_KEYS | provider_type.keys}
    block.refuse_unknown(own.keys() | provider_type.ignored_keys | NOT_IMPLEMENTED | CHAT_KEYS | TYPE_KEYS)
    unavailable = (NOT_IMPLEMENTED | CHAT_KEYS | TYPE_KEYS) - own.keys() - provider_type.ignored_keys
    for key in sorted(unavailable & block.values.keys()):
        if not _is_off(block.values[key]):
            block.refuse(key, f"is not implemented for type {name}")

    before = len(block.problems)
    fields: dict[str, Any] = {}
    for key, convert in own.items():
        value = block.take(key, convert, None)
        if value is not None:
            fields[_snake_case(key)] = value
    config = ProviderConfig(**fields, variables=block.variables)
    complained = {problem.key.rsplit(".", 1)[-1].partition("[")[0] for problem in block.problems[before:]}
    for problem in provider_type.problems(config):
        if problem.key not in complained:
            block.refuse(problem.key, problem.message)
    return config


def _snake_case(key: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", key)


def _is_off(value: Any) -> bool:
    return not value or (isinstance(value, dict) and value.get("enabled", True) is False)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected text")
    return str(value).strip()


def _credential(value: Any) -> str:
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
    return _credential(value.strip() if isinstance(value, str) else value)


def _tokens(value: Any) -> tuple[Secret, ...]:
    tokens = []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        try:
            text = _credential(item)
        except ValueError as error:
            raise _Refused(str(error), f"[{index}]") from None
        if text:
            tokens.append(Secret(text))
    return tuple(tokens)


def _one_of(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        text = _text(value)
        if text not in words:
            raise ValueError(f"unknown value {text!r}{nearest(text, words)} (known: {', '.join(words)})")
        return text

    return convert


def _seconds(below: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        text = _text(value)
        if not (text.isascii() and text.isdigit() and int(text) < below):
            raise ValueError(f"expected a whole number of seconds from 0 to {below - 1}")
        return int(text)

    return convert


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to texts")
    texts = {}
    for key, item in value.items():
        try:
            # A null is what `name:` without a value means in YAML, and "" is what was meant.
            texts[_text(key)] = "" if item is None else _text(item)
        except ValueError as error:
            raise _Refused(str(error), f".{key}") from None
    return texts


def _model_mapping(value: Any) -> ModelMapping:
    return ModelMapping(_texts(value))


def _path(value: Any) -> str:
    """A path prefix: with a slash in front, none at its end, no query."""
    text = _text(value)
    if not text.isascii() or not text.isprintable() or any(character in text for character in " ?#"):
        raise ValueError("expected a path without a query")
    text = text.rstrip("/")
    return text if not text or text.startswith("/") else f"/{text}"


def _capabilities(value: Any) -> dict[str, str]:
    paths = _texts(value)
    for name, path in paths.items():
        if not path.startswith("/") or "#" in path or " " in path or not path.isprintable():
            raise _Refused("expected a path that begins with a slash", f".{name}")
    return paths


def _hosts(value: Any) -> tuple[HostPattern, ...]:
    patterns = []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        try:
            patterns.append(HostPattern(*split_host_port(_text(item))))
        except ValueError as error:
            raise _Refused(f"{error}: expected host or host:port", f"[{index}]") from None
    return tuple(patterns)


def _origin(value: Any) -> Origin | None:
    text = _text(value)
    return Origin.parse(text) if text else None


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "type": _text,
    "id": _text,
    "protocol": _one_of(*PROTOCOLS),
    "apiTokens": _tokens,
    "modelMapping": _model_mapping,
    "capabilities": _capabilities,
    "basePath": _path,
    "basePathHandling": _one_of(*BASE_PATH_HANDLINGS),
    "providerBasePath": _path,
    "providerDomain": _origin,
    "klingAccessKey": _key_of_pair,
    "klingSecretKey": lambda value: Secret(_key_of_pair(value)),
    # From 1800 s on, the life of a token, each request would sign anew.
    "klingTokenRefreshAhead": _seconds(1800),
    "genericHost": _origin,
}
_COMMON_KEYS: Final = frozenset(_CONVERTERS) - TYPE_KEYS
