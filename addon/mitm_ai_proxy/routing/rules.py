"""Which provider serves a request: the first route that takes it, else the one that the request itself points at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .. import apis, errors
from ..config.keys import nearest
from ..config.patterns import PatternError
from ..config.routes import Patterns, Route
from ..errors import Refusal
from ..exchange import Head
from ..providers.base import Provider
from ..wire import targets
from ..wire.targets import DEFAULT_PORTS, Origin
from . import models

MODELS_API: Final = "openai/v1/models"
LIST_OF: Final = "provider"
"""Query parameter of a list of models: the id of the provider whose own list is asked for; not sent upstream."""
MOST_SHOWN: Final = 20
"""Routes that an error names."""
LONGEST_SHOWN: Final = 60
"""Characters of a model or a path that an error shows."""


class Choice(NamedTuple):
    """The provider of a request, a note why, and the head that it gets: without what was for the router alone.

    `names`: the ids of the providers that may be tried, the first of which is that one.
    """

    provider: Provider
    note: str
    head: Head
    names: tuple[str, ...] = ("",)


class Listing(NamedTuple):
    """A request that is answered here: the body of the answer, in JSON, and a note."""

    body: bytes
    note: str


class _Asked(NamedTuple):
    """What a request says, as routes compare it.

    `host`: what the client addresses, in lower case and without brackets; `port` if it names one. `hosts`: all that may
    be written for it in a pattern.
    """

    head: Head
    path: str
    query: str
    host: str = ""
    port: int | None = None
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, head: Head) -> _Asked:
        path, query = targets.split_query(head.target)
        authority = head.caller.host.strip().lower()
        try:
            host, port = targets.split_host_port(authority)
        except ValueError:
            return cls(head, path, query)
        default = DEFAULT_PORTS["https" if head.is_tls else "http"]
        written = f"[{host}]" if ":" in host else host
        hosts = (host, authority, f"{written}:{default if port is None else port}")
        return cls(head, path, query, host, port, tuple(dict.fromkeys(hosts)))

    def is_for(self, origin: Origin) -> bool:
        """Whether the client addresses this origin, by TLS or not."""
        if self.host != origin.host:
            return False
        return (DEFAULT_PORTS[origin.scheme] if self.port is None else self.port) == origin.port


class _Rule:
    """A route with its providers. `name` is its key in the configuration: `routes[3]`."""

    def __init__(self, index: int, route: Route, providers: Sequence[Provider]) -> None:
        self.name = f"routes[{index}]"
        self.route, self.providers = route, providers
        self._header = [(name.encode("utf-8", "surrogateescape"), found) for name, found in route.header.items()]

    def matched(self, asked: _Asked) -> list[str] | None:
        """What matched of the conditions but that of the model, in words; None if one does not hold."""
        words = self.matched_where(asked)
        if words is None or not self.route.path:
            return words
        found = self._first("path", self.route.path, self._paths(asked.path))
        return None if found is None else [*words, f"path {found}"]

    def matched_where(self, asked: _Asked) -> list[str] | None:
        """The same of the conditions on the host and on header fields."""
        route, words = self.route, []
        if route.host:
            found = self._first("host", route.host, asked.hosts)
            if found is None:
                return None
            words.append(f"host {found}")
        for name, patterns in self._header:
            values = [value for own, value in asked.head.fields if own.lower() == name]
            texts = [value.decode("utf-8", "surrogateescape").strip() for value in values]
            if self._first(f"header {name.decode()}", patterns, texts) is None:
                return None
            # Its value may be a secret.
            words.append(f"header {name.decode()}")
        return words

    def matched_model(self, model: str) -> str | None:
        """The pattern that matches a model; None if there is none."""
        return self._first("model", self.route.model, (model,))

    def _paths(self, path: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(one.without_base_path(path) for one in self.providers), path]))

    def _first(self, condition: str, patterns: Patterns, texts: Iterable[str]) -> str | None:
        """The first pattern that matches one of the texts. Raises Refusal (400) if that takes too long."""
        for text in texts:
            for pattern in patterns:
                try:
                    if pattern.matches(text):
                        return pattern.text
                except PatternError as error:
                    raise _not_compared(f"{self.name}.{condition}", condition, error) from None
        return None

    @property
    def described(self) -> str:
        """Its conditions in words, without the values of header fields."""
        route = self.route
        words = [f"header {name}" for name in route.header]
        for name, patterns in (("host", route.host), ("path", route.path), ("model", route.model)):
            if patterns:
                words.append(f"{name} {' or '.join(pattern.text for pattern in patterns)}")
        return ", ".join(words)


class Router:
    """Chooses among providers, by id. Without a route and an active one, only what a request points at itself counts.

    `links`: beginnings of paths that lead to a provider's results through the proxy, each with the id of the provider.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Sequence[Route] = (),
        active: str | None = None,
        links: Mapping[str, str] | None = None,
    ) -> None:
        self._providers, self._active = providers, active
        self._links = dict(links or {})
        self._rules = [
            _Rule(index, route, [providers[name] for name in route.provider]) for index, route in enumerate(routes)
        ]
        # Of several at one host, or with ids of one kind, the active one counts, else the first.
        by_rank = sorted(providers, key=lambda name: name != active)
        self._origins = [(origin, name) for name in by_rank for origin in providers[name].origins]
        self._ids = [(prefix, name) for name in by_rank for prefix in providers[name].id_prefixes]

    def choose(self, head: Head) -> Choice | Listing | None:
        """The provider for a head, or the answer; None if the model decides, which is in the body. Raises Refusal."""
        asked = _Asked.of(head)
        for beginning, name in self._links.items():
            if asked.path.startswith(beginning):
                return self._choice(head, name, f"{beginning} leads to results: {name}")
        if self._rules and head.method in ("GET", "HEAD") and _is_list(head.method, asked.path):
            found = self._list(asked)
            if found:
                return found
        model = models.in_path(asked.path)
        if model is None and not models.may_be_in_body(head):
            model = models.in_query(asked.query)
            return self._chosen(asked, model)
        return self._chosen(asked, model) if model is not None else self._chosen_without_model(asked)

    def choose_with(self, head: Head, body: bytes) -> Choice:
        """The same with the body, without its Content-Encoding. Raises Refusal."""
        asked = _Asked.of(head)
        model = models.in_body(head, body)
        return self._chosen(asked, models.in_query(asked.query) if model is None else model)

    def _chosen_without_model(self, asked: _Asked) -> Choice | None:
        """The provider, where no route before the first that matches asks for the model; else None."""
        for rule in self._rules:
            words = rule.matched(asked)
            if words is not None:
                return None if rule.route.model else self._by(rule, words, asked)
        return self._home(asked, None)

    def _chosen(self, asked: _Asked, model: str | None) -> Choice:
        for rule in self._rules:
            words = rule.matched(asked)
            if words is None:
                continue
            if rule.route.model:
                found = None if model is None else rule.matched_model(model)
                if found is None:
                    continue
                words.append(f"model {found}")
            return self._by(rule, words, asked)
        return self._home(asked, model)

    def _by(self, rule: _Rule, words: list[str], asked: _Asked) -> Choice:
        """One of the rule's providers: the one that the id in the path names, else all of them in their order."""
        names, segments = rule.route.provider, asked.path.split("/")
        prefixes = [(prefix, name) for prefix, name in self._ids if name in names] if len(names) > 1 else ()
        for prefix, name in prefixes:
            if any(segment.startswith(prefix) for segment in segments):
                words, names = [*words, f"the id begins with {prefix}"], (name,)
                break
        note = f"{rule.name} ({', '.join(words)}): {', then '.join(names)}"
        return Choice(self._providers[names[0]], note, asked.head, names)

    def _home(self, asked: _Asked, model: str | None) -> Choice:
        """The provider that a request points at, else the active one. Raises Refusal (404)."""
        head = asked.head
        for origin, name in self._origins:
            if asked.is_for(origin):
                return self._choice(head, name, f"the host {origin.host} is the provider's own: {name}")
        if self._ids:
            segments = asked.path.split("/")
            for prefix, name in self._ids:
                if any(segment.startswith(prefix) for segment in segments):
                    return self._choice(head, name, f"the id begins with {prefix}: {name}")
        if self._active is not None:
            return self._choice(head, self._active, f"activeProviderId: {self._active}")
        what = f"the model {_shortened(model)!r}" if model is not None else f"{head.method} {_shortened(asked.path)}"
        conditions = [rule.described for rule in self._rules[:MOST_SHOWN]] or ["there are none"]
        more = len(self._rules) - MOST_SHOWN
        raise errors.no_route(what, [*conditions, *([f"and {more} more"] if more > 0 else ())])

    def _choice(self, head: Head, name: str, note: str) -> Choice:
        return Choice(self._providers[name], note, head, (name,))

    @property
    def described(self) -> list[str]:
        """The routes in words, with the provider of each."""
        return [f"{rule.name} ({rule.described}): {', then '.join(rule.route.provider)}" for rule in self._rules]

    # The list of models

    def _list(self, asked: _Asked) -> Choice | Listing | None:
        """The provider whose list is asked for, or the list of all; None if a route takes the path of the list."""
        for rule in self._rules:
            if rule.route.path and not rule.route.model and rule.matched(asked) is not None:
                return None
        name, query = targets.pop_parameter(asked.query, LIST_OF)
        if name is None:
            return Listing(_listed(self._models(asked)), "answered here: the models of the routes")
        if name not in self._providers:
            known = list(self._providers)
            raise errors.no_such_provider(known, nearest(name, known))
        head = asked.head._replace(target=targets.join_query(asked.path, query))
        return self._choice(head, name, f"{LIST_OF}={name} in the query: {name}")

    def _models(self, asked: _Asked) -> Iterator[tuple[str, str]]:
        """Each model that this client can ask for by its name, and the id of the provider that it leads to."""
        seen: set[str] = set()
        for model, owner in self._candidates():
            ends = self._ends(asked, model)
            if model not in seen and ends and (owner is None or owner in ends):
                seen.add(model)
                yield model, owner or ends[-1]

    def _candidates(self) -> Iterator[tuple[str, str | None]]:
        """The names that the configuration and the types know, with the id of a provider that each has to lead to."""
        for rule in self._rules:
            yield from ((pattern.text, None) for pattern in rule.route.model if pattern.is_exact)
        for name, provider in self._providers.items():
            yield from ((model, name) for model in provider.keys.model_mapping.models)
            yield from ((model, name) for model in provider.models)

    def _ends(self, asked: _Asked, model: str) -> list[str]:
        """The providers that a model leads to, by their ids: those of some paths, and last that of all others."""
        ends: list[str] = []
        for rule in self._rules:
            if rule.matched_where(asked) is None:
                continue
            if rule.route.model and rule.matched_model(model) is None:
                continue
            if not rule.route.path:
                return [*ends, rule.route.provider[0]]
            if rule.route.model:
                ends.append(rule.route.provider[0])
        return ends if self._active is None else [*ends, self._active]


def _is_list(method: str, path: str) -> bool:
    call = apis.detect(method, path)
    return call is not None and call.api.name == MODELS_API


def _listed(found: Iterable[tuple[str, str]]) -> bytes:
    """OpenAI's list of models."""
    data = [{"id": model, "object": "model", "created": 0, "owned_by": owner} for model, owner in found]
    return json.dumps({"object": "list", "data": data}).encode()


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _not_compared(key: str, condition: str, error: PatternError) -> Refusal:
    """400 for a text that a pattern cannot be compared with."""
    word, _, name = condition.partition(" ")
    message = f"The {condition} {error} ({key})."
    if word == "model":
        return errors.bad_body(message, param="model")
    return errors.bad_path(message) if word == "path" else errors.bad_head(message, param=name or "Host")


# Mistakes


def hidden(routes: Sequence[Route]) -> list[str]:
    """A line for each route that is never reached, since earlier ones take all that it would."""
    lines = []
    for index, route in enumerate(routes):
        hiding = _hiding(routes[:index], route)
        if hiding:
            names = " and ".join(f"routes[{earlier}]" for earlier in hiding)
            lines.append(f"routes[{index}] is never reached: {names} {_TAKE[len(hiding) > 1]} all that it would")
    return lines


_TAKE: Final = ("takes", "take")


def _hiding(earlier: Sequence[Route], route: Route) -> list[int]:
    """The indexes of earlier routes that together take all that a route would; none if something is left."""
    conditions = _conditions(route)
    for name, patterns in conditions.items():
        found = [_first_that_covers(earlier, {**conditions, name: (pattern,)}) for pattern in patterns]
        if None not in found:
            return sorted({index for index in found if index is not None})
    return []


def _first_that_covers(earlier: Sequence[Route], conditions: Mapping[str, Patterns]) -> int | None:
    for index, route in enumerate(earlier):
        own = _conditions(route)
        if all(name in conditions and _covers(patterns, conditions[name]) for name, patterns in own.items()):
            return index
    return None


def _covers(patterns: Patterns, others: Patterns) -> bool:
    return all(any(pattern.covers(other) for pattern in patterns) for other in others)


def _conditions(route: Route) -> dict[str, Patterns]:
    found = {"model": route.model, "path": route.path, "host": route.host}
    found |= {f"header {name}": patterns for name, patterns in route.header.items()}
    return {name: patterns for name, patterns in found.items() if patterns}
