"""Declarations of keys, and a configuration read with such declarations, with made-up types and blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config import file, values
from mitm_ai_proxy.config.file import Configuration, ConfigurationError, ProviderType
from mitm_ai_proxy.config.keys import Problem, Reading, block, blocks, camel_case, declared, key, nearest, secrets
from mitm_ai_proxy.config.values import HostPattern
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table


@dataclass(frozen=True, slots=True)
class Base:
    """Keys that all types have."""

    type: str = key(values.text, "", help="Which.")
    tokens: tuple[Secret, ...] = key(values.secrets, (), secret=True, help="Tokens.")


@dataclass(frozen=True, slots=True)
class Special(Base):
    """Keys of one type."""

    special_host: Origin | None = key(values.origin, help="Where to.")
    special_key: str = key(values.credential, "", secret=True, help="A key.")
    other_key: Secret = key(values.secret, Secret(""), secret=True, help="Another.")
    third_key: Secret | None = key(values.secret, secret=True, help="One without a default.")
    names: dict[str, str] = key(values.text_mapping, {}, mapping=True, help="Names.")
    retries: int = key(values.whole(0, 9), 3, help="How often.")


@dataclass(frozen=True, slots=True)
class Weather:
    """A block."""

    wind_speed: float = key(values.number(0, 100), 2.5, help="Metres per second.")
    rain: bool = key(values.flag, False, help="Whether it rains.")


@dataclass(frozen=True, slots=True)
class Beside:
    """Keys that stand beside the blocks."""

    hosts: tuple[HostPattern, ...] = key(values.hosts, (), help="Where.")
    scrub: tuple[str, ...] = key(values.texts, (), help="What.")


@dataclass(frozen=True, slots=True)
class Moon:
    """A block within another one."""

    phase: int = key(values.whole(0, 4), 0, help="Quarters.")
    password: Secret = key(values.secret, Secret(""), secret=True, help="Opens it.")


@dataclass(frozen=True, slots=True)
class Tides:
    """Another block."""

    level: int = key(values.whole(0, 5), 0, help="Metres.")
    moon: Moon = block(Moon, help="One.")
    moons: Mapping[str, Moon] = blocks(Moon, short="phase", help="Many.")


def _problems(keys: Base, reading: Reading) -> Iterator[Problem]:
    if not (keys.tokens or reading.offline):
        yield Problem("tokens", f"is missing {[*reading.variables.items()]}")


TYPES = {
    "special": ProviderType[Base](Special, frozenset({"fromElsewhere"}), frozenset({"later"}), _problems),
    "plain": ProviderType[Base](Base, frozenset(), frozenset(), _problems),
}
BLOCKS: dict[str, type[Any]] = {"weather": Weather, "tides": Tides}
SPECIAL = {"type": "special", "tokens": "t"}


def _read(document: Any, offline: bool = False, unset_secrets: bool = False, **environment: str) -> Configuration[Base]:
    return file.read(document, environment, TYPES, BLOCKS, [Beside], offline=offline, unset_secrets=unset_secrets)


def _messages(document: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        _read(document)
    return [str(problem) for problem in refused.value.problems]


def test_a_declaration_tells_its_keys_with_those_it_inherits() -> None:
    keys = declared(Special)

    assert list(keys) == ["type", "tokens", "specialHost", "specialKey", "otherKey", "thirdKey", "names", "retries"]
    assert [name for name, one in keys.items() if one.is_secret] == ["tokens", "specialKey", "otherKey", "thirdKey"]
    assert (keys["retries"].field, keys["retries"].default, keys["retries"].help) == ("retries", 3, "How often.")


@table(("field", "name"), [("id", "id"), ("api_tokens", "apiTokens"), ("a_2_bc", "a2Bc"), ("raise_", "raise")])
def test_a_key_has_its_fields_name_in_camel_case(field: str, name: str) -> None:
    assert camel_case(field) == name


def test_a_field_without_a_default_is_none_until_it_is_set() -> None:
    assert Special().special_host is None
    assert Special(retries=4).retries == 4


def test_secrets_are_what_is_declared_secret_in_texts_and_lists_without_the_empty_ones() -> None:
    keys = Special("special", (Secret("a"), Secret("b")), None, "c", Secret("d"))

    assert secrets(keys) == ("a", "b", "c", "d")
    assert secrets(Special()) == ()


def test_values_of_secret_keys_are_not_shown() -> None:
    assert "hidden" not in repr(Special(special_key="hidden", tokens=(Secret("hidden"),)))


def test_a_document_becomes_the_keys_of_its_type_and_its_blocks() -> None:
    document = {"provider": {**SPECIAL, "retries": "7"}, "weather": {"windSpeed": 3}, "hosts": "a", "scrub": ["b"]}
    configuration = _read(document)

    assert isinstance(configuration.provider, Special)
    assert configuration.provider.retries == 7
    assert configuration.block(Weather) == Weather(3.0)
    assert configuration.block(Tides) == Tides()
    assert (configuration.source, configuration.block(Beside)) == ("config.yaml", Beside((HostPattern("a"),), ("b",)))


def test_an_undeclared_block_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match="Special"):
        _read({"provider": SPECIAL}).block(Special)


def test_a_configuration_with_another_block_keeps_the_rest() -> None:
    before = _read({"provider": SPECIAL, "tides": {"level": 2}})
    after = before.with_block(Weather(9.0))

    assert (after.block(Weather), after.block(Tides), after.provider) == (Weather(9.0), Tides(2), before.provider)
    assert before.block(Weather) == Weather()


def test_mistakes_of_all_blocks_come_together() -> None:
    document = {
        "wether": {},
        "provider": {"type": "special", "retires": 1, "later": True, "fromElsewhere": [], "specialHost": "ftp://a"},
        "hosts": ["a b"],
        "scrub": [[]],
        "weather": {"windSpeed": "strong", "rian": True},
        "tides": [],
    }

    assert _messages(document) == [
        "wether: unknown key; did you mean weather?",
        "hosts[0]: is not a host name or address: expected host or host:port",
        "scrub[0]: expected text",
        "provider.retires: unknown key; did you mean retries?",
        "provider.later: is not implemented for type special",
        "provider.specialHost: unknown scheme 'ftp': use http or https",
        "provider.tokens: is missing []",
        "weather.rian: unknown key; did you mean rain?",
        "weather.windSpeed: expected a number from 0 to 100",
        "tides: expected a mapping of keys to values",
    ]


def test_a_provider_type_checks_its_keys_together_and_sees_their_variables() -> None:
    document = {"provider": {"type": "plain", "tokens": ["${A:-}", "${B:-}"]}}

    assert _messages(document) == ["provider.tokens: is missing [('tokens', ('A', 'B'))]"]
    assert _read(document, offline=True).provider.tokens == ()


def test_a_variable_in_a_secret_may_be_unset_where_that_is_allowed_and_in_nothing_else() -> None:
    document: Any = {"provider": {"type": "special", "tokens": "${T}", "specialKey": "${K}"}}

    assert secrets(_read(document, offline=True, unset_secrets=True).provider) == ()
    with pytest.raises(ConfigurationError, match="T is not set"):
        _read(document, offline=True)
    document["provider"]["specialHost"] = "${H}"
    with pytest.raises(ConfigurationError, match=r"provider\.specialHost: the environment variable H is not set$"):
        _read(document, offline=True, unset_secrets=True)


def test_variables_are_replaced_inside_a_mapping_only_where_a_key_takes_one() -> None:
    named = _read({"provider": {**SPECIAL, "names": {"a": "${A}"}}}, A="b").provider

    assert isinstance(named, Special)
    assert named.names == {"a": "b"}
    assert _messages({"provider": {**SPECIAL, "specialHost": {"a": "${UNSET}"}}}) == [
        "provider.specialHost: expected text"
    ]


@table("document", [{}, {"weather": None}, {"weather": {}}, {"weather": {"windSpeed": None}}])
def test_a_block_is_read_alone_and_nothing_else_is_checked(document: dict[str, Any]) -> None:
    document |= {"provider": {"type": "nobody"}, "odd": 1}

    assert file.read_block(document, {}, "weather", Weather) == Weather()


def test_a_block_that_is_read_alone_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"^here: weather\.rain: expected true or false$"):
        file.read_block("weather: {rain: often}", {}, "weather", Weather, name="here")


@table(("name", "end"), [("hots", "; did you mean hosts?"), ("zzz", "")])
def test_a_message_about_an_unknown_name_ends_with_the_nearest_one(name: str, end: str) -> None:
    assert nearest(name, ["hosts", "scrub"]) == end


def test_blocks_within_blocks_are_read_by_their_own_declarations() -> None:
    tides = {"moon": {"phase": "${PHASE}"}, "moons": {"io": {"phase": 1, "password": "${WORD}"}, "mimas": 2}}
    found = _read({"provider": SPECIAL, "tides": tides}, PHASE="3", WORD="s3cret").block(Tides)

    assert (found.moon, {name: moon.phase for name, moon in found.moons.items()}) == (Moon(3), {"io": 1, "mimas": 2})
    assert found.moons["io"].password.reveal() == "s3cret"
    assert "s3cret" not in repr(found)
    assert _read({"provider": SPECIAL}).block(Tides) == Tides(0, Moon(), {})


@table(
    ("tides", "messages"),
    [
        ({"moon": 3}, ["tides.moon: expected a mapping of keys to values"]),
        ({"moon": {"phas": 3}}, ["tides.moon.phas: unknown key; did you mean phase?"]),
        ({"moons": ["io"]}, ["tides.moons: expected a mapping of keys to values"]),
        ({"moons": {"io": []}}, ["tides.moons.io: expected a mapping of keys to values"]),
        ({"moons": {"io": {"phase": 9}}}, ["tides.moons.io.phase: expected a whole number from 0 to 4"]),
        ({"moons": {"io": "full"}}, ["tides.moons.io.phase: expected a whole number from 0 to 4"]),
        ({"moons": {"io": "${NONE}"}}, ["tides.moons.io.phase: the environment variable NONE is not set"]),
        (
            {"moon": {"phase": -1}, "moons": {"io": {"x": 1}}},
            ["tides.moon.phase: expected a whole number from 0 to 4", "tides.moons.io.x: unknown key"],
        ),
    ],
)
def test_a_mistake_in_a_block_within_a_block_is_named_by_its_path(tides: Any, messages: list[str]) -> None:
    assert _messages({"provider": SPECIAL, "tides": tides}) == messages
