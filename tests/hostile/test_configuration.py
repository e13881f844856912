"""Whatever stands in config.yaml, it is a configuration, or mistakes that name their keys and show no secret."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.config.keys import declared
from mitm_ai_proxy.config.routes import Route
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Head
from mitm_ai_proxy.registry import Configuration
from tests.hostile.inputs import Inputs, changed, mutated

LIMIT: Final = 2.0
"""Seconds of CPU time for one configuration."""
SECRETS: Final = ("s3cr3t-access-key-1", "s3cr3t-secret-key-2", "s3cr3t-token-3", "s3cr3t-token-4", "s3cr3t-variable-5")
ENVIRONMENT: Final = {"TOKEN": SECRETS[4], "EMPTY": "", "DOMAIN": "host.test:81", "LINES": "a\nb"}
_KEYS: Final = {name: one for kind in registry.TYPES.values() for name, one in declared(kind.Keys).items()}
_BLOCK_KEYS: Final = {name: one for kind in registry.BLOCKS.values() for name, one in declared(kind).items()}
_CONDITIONS: Final = declared(Route)
_BESIDE: Final = {name: one for kind in registry.TOP_LEVEL for name, one in declared(kind).items()}
SECRET_KEYS: Final = {name for name, one in (_KEYS | _BLOCK_KEYS).items() if one.is_secret}
TOP_KEYS: Final = {"provider", "providers", "activeProviderId", "routes", *registry.BLOCKS, *_BESIDE}
_OPEN_KEYS: Final = ({*_KEYS, *_BLOCK_KEYS, *_CONDITIONS} | TOP_KEYS) - SECRET_KEYS
NAMES: Final = (
    *_KEYS,
    *_BLOCK_KEYS,
    *_CONDITIONS,
    *TOP_KEYS,
    "failover",
    "timeout",
    "typ",
    "apiToken",
    "openai/v1/videos",
    "~sora-(.*)",
)
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 5, 1.5, 10**30, math.inf, math.nan, -0.0, "", " ", "x", "*", "~", "~(", "\x00", "é",
    "\u2028", "true", "null", "~sora", "kling", "openai", "generic", "v2", "original", "prepend", "instant", "real",
    "native", "${TOKEN}", "${UNSET}", "${UNSET:-x}", "${EMPTY}", "${LINES}", "${", "$1", "${name}", "$" + "9" * 5000,
    "9" * 5000, "host", "host:0", "host:81", "http://[::1]:3000", "ftp://x", "https://user:x@host", "https://h/p",
    "a..b", "[::1", "é.test", "/v1", "v1/", "/v1?x=1", "/../v1", "/a b", "//", "/v1/{video_id}", "/{x}", "whsec_!",
    "whsec_aGk=", "slow:1", "429", [], {}, [[]], [None], {"a": None}, {None: 1}, {1: 2}, ["x", 1, None],
    {"enabled": True}, {(1, 2): 3},
)  # fmt: skip
CHOICES: Final = ("type", "protocol", "klingApi", "videoResponse", "basePathHandling", "id", "providerDomain", "speed")
"""Keys whose mistakes show the value, unless it comes from the environment."""
PATTERNS: Final = (
    "(", ")", "a", "sora", "-", "(.*)", "(?P<n>s)", "[", "]", "{9999999999}", "{1,2}", "*", "+", "?", "|", "^", "$",
    "\\", ".", "(?i)", "(?:", "\\d", "\\1", "é", "x" * 300, "(" * 200, "$1", "${n}", "${TOKEN}", "$$",
    "$" + "9" * 5000,
)  # fmt: skip
WORDS: Final = [
    b"\n", b"\n  ", b": ", b":", b"- ", b"#", b"&a ", b"*a", b"*", b"!", b"!!int ", b"!!binary ", b"!!set ",
    b"!!omap ", b"!!x ", b"!!python/object/apply:os.system ", b"!!float ", b"!!timestamp ", b"!!null ", b"!!str ",
    b"!!bool ", b"!!pairs ", b"!!map ", b"<<: ", b"<<: *a", b"<<: [*a, *a]", b"? ", b"| ", b"> ", b"'", b'"', b"{",
    b"}", b"[", b"]", b",", b"---\n", b"...\n", b"%YAML 1.3\n", b"0x" + b"f" * 5000, b"9" * 5000, b"0o7", b"1:30:00",
    b"2026-01-01", b".inf", b".nan", b"1e999", b"0b1", b"=", b"~", b"null", b"\t", b"\x00", b"\x07", b"\xff",
    b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\\", b"\\x00", b"\\ud800", b"[" * 3000, b"{a: " * 500,
]  # fmt: skip


def _document(random: Random) -> dict[str, Any]:
    """A good configuration."""
    kind = random.choice(("kling", "kling", "openai", "generic"))
    provider: dict[str, Any] = {
        "type": kind,
        "apiTokens": random.choice((SECRETS[2], [SECRETS[2], SECRETS[3]], "${TOKEN}")),
    }
    if kind == "kling":
        provider |= {"klingAccessKey": SECRETS[0], "klingSecretKey": SECRETS[1], "klingTokenRefreshAhead": 60}
    provider |= random.choice(
        (
            {"providerDomain": "${DOMAIN}"},
            {"providerDomain": "http://127.0.0.1:3000", "providerBasePath": "/gateway", "basePath": "/base"},
            {
                "providerDomain": "h.test",
                "modelMapping": {"gpt-4": "kling-v3", "sora-*": "", "~gpt-(.*)": "$1", "*": "x"},
            },
            {"providerDomain": "h.test", "capabilities": {"openai/v1/videos": "/v1/videos/text2video"}, "id": "a"},
        )
    )
    document: dict[str, Any] = {"provider": provider}
    if random.random() < 0.3:
        document = {"providers": [provider | {"id": "a"}, {"id": "b", "type": "kling"}], "activeProviderId": "a"}
        if random.random() < 0.5:
            document["routes"] = [
                {"model": ["sora-*", "~gpt-(.*)"], "header": {"X-A": "b"}, "provider": "a"},
                {"path": "/v1/*", "host": "a.test", "provider": random.choice("ab")},
            ]
    if random.random() < 0.6:
        simulator = {
            "speed": "instant",
            "fault": "429",
            "units": 5.5,
            "accessKey": SECRETS[0],
            "callbackHosts": ["a.test"],
        }
        cassette = {"ignore": ["seed"], "headers": "x", "pace": 0.5, "publicUrl": "https://p.test"}
        document |= {"simulator": simulator, "cassette": cassette, "hosts": ["a.test:81"], "scrub": ["prompts"]}
        document |= {"allowedOrigins": ["https://app.example", "tauri://localhost"]}
    return document


def _blocks(document: dict[str, Any]) -> list[dict[str, Any]]:
    lists = [document.get(name) for name in ("providers", "routes")]
    found = [*document.values(), *(item for one in lists if isinstance(one, list) for item in one)]
    return [value for value in found if isinstance(value, dict)]


def _mapping(random: Random) -> dict[str, str]:
    def text() -> str:
        return "".join(random.choices(PATTERNS, k=random.randint(0, 4)))

    return {random.choice(("~", "~", "", "~(.*)")) + text(): text() for _ in range(random.randint(0, 3))}


def _bomb(random: Random) -> str:
    """A few lines that stand for a great many values."""
    levels, width = random.choice(((9, 9), (30, 2), (6, 40)))
    kind = random.randrange(4)
    lines = ["l0: &l0 {x: y}" if kind == 3 else "l0: &l0 [x, y]"]
    for level in range(1, levels):
        below = [f"*l{level - 1}"] * width
        if kind == 0:
            lines.append(f"l{level}: &l{level} [{', '.join(below)}]")
        elif kind == 1:
            lines.append(f"l{level}: &l{level} {{{', '.join(f'k{n}: {one}' for n, one in enumerate(below))}}}")
        elif kind == 2:
            lines.append(f"l{level}: &l{level} {{a: [{', '.join(below)}]}}")
        else:
            lines.append(f"l{level}: &l{level} {{<<: [{', '.join(below)}]}}")
    key = random.choice((*_KEYS, "failover", "timeout"))
    block = f"provider:\n  type: {random.choice(('kling', 'openai'))}\n  {key}: *l{levels - 1}\n"
    beside = random.choice((f"{random.choice((*TOP_KEYS, 'x'))}: *l{levels - 1}\n", ""))
    return "\n".join([*lines, beside + block])


def _yaml(random: Random, document: Any) -> str:
    try:
        return str(yaml.safe_dump(document, default_flow_style=random.choice((True, False, None)), allow_unicode=True))
    except (yaml.YAMLError, RecursionError, ValueError):
        return "provider:"


def _plain(content: bytes) -> Any:
    """What PyYAML alone reads; None where it fails, or would take seconds to."""
    try:
        return None if b"[" * 500 in content else yaml.safe_load(content)
    except Exception:
        return None


def _may_show_a_secret(document: Any) -> bool:
    """Whether a secret stands where no secret belongs: as a key, or as the value of a key that is none."""
    waiting: list[tuple[Any, Any]] = [(document, None)]
    seen: set[int] = set()
    while waiting:
        value, key = waiting.pop()
        if isinstance(value, dict | list | tuple | set):
            if id(value) not in seen:
                seen.add(id(value))
                waiting += (
                    [(value[name], name) for name in value] if isinstance(value, dict) else [(v, key) for v in value]
                )
                waiting += [(name, "id") for name in value] if isinstance(value, dict) else []
        elif key in _OPEN_KEYS and any(secret in str(value) for secret in SECRETS):
            return True
    return False


def _use(configuration: Configuration, random: Random) -> None:
    """What is made of a configuration before the first request, and of a model with it."""
    providers = registry.providers(configuration)
    registry.hosts(configuration, *providers)
    registry.warnings(configuration)
    registry.public_origins(configuration)
    registry.lacks_credential(configuration)
    model = random.choice(("sora-2", "gpt-4", "kling-v3", ""))
    for provider in providers:
        provider.map_model(model)
    if providers.router:
        with contextlib.suppress(Refusal):
            providers.router.choose(Head("GET", f"/v1/realtime?model={model}"))
            providers.router.choose(Head("GET", "/v1/models"))


def test_a_configuration_is_read_or_its_mistakes_are_named(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for random in inputs.of(150, limit=LIMIT):
        document = _document(random)
        is_bomb = random.random() < 0.05
        if is_bomb:
            content = _bomb(random).encode()
        elif random.random() < 0.5:
            for block in random.choices([document, *_blocks(document)], k=random.choice((0, 1, 2))):
                block[random.choice(NAMES)] = random.choice(VALUES)
            if random.random() < 0.1:
                random.choice(_blocks(document) or [document])[random.choice(CHOICES)] = "${TOKEN}"
            if random.random() < 0.2:
                random.choice(_blocks(document) or [document])["modelMapping"] = _mapping(random)
            content = _yaml(random, changed(random, document, VALUES, NAMES)).encode("utf-8", "surrogatepass")
        else:
            content = mutated(random, _yaml(random, document).encode(), WORDS)
        path.write_bytes(content)
        offline, simulated = random.random() < 0.2, random.random() < 0.2
        try:
            configuration = registry.read(path, ENVIRONMENT, offline=offline, simulated=simulated)
        except ConfigurationError as error:
            _check(error, path, None if is_bomb else content)
        else:
            inputs.tally["used"] += 1
            _use(configuration, random)
            assert _may_show_a_secret(_plain(content)) or not any(one in repr(configuration) for one in SECRETS[:4])


def _check(error: ConfigurationError, path: Path, content: bytes | None) -> None:
    text = str(error)
    assert text.startswith((f"{path}: ", f"{path}:\n"))
    assert all(problem.message for problem in error.problems)
    if content is None:
        return
    document = _plain(content)
    named = {str(name).partition(":")[0] for name in document} if isinstance(document, dict) else set()
    for problem in error.problems:
        is_line = re.fullmatch(r"line \d+, column \d+", problem.key)
        assert is_line or not problem.key or problem.key.startswith((*TOP_KEYS, *named)), problem
    assert _may_show_a_secret(document) or not any(secret in text for secret in SECRETS), text
