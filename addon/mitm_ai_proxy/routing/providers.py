"""The providers that a configuration uses, and which of them serves a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import Refusal
from ..exchange import Head
from ..providers.base import Provider
from ..wire.targets import Origin
from .rules import Choice, Router


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers in use, by id, and the id of the active one.

    Without a router there is one provider, which serves all requests.
    """

    by_id: Mapping[str, Provider]
    router: Router | None = None
    active: str | None = None

    @classmethod
    def one(cls, provider: Provider) -> Providers:
        """One provider for all requests."""
        return cls({"": provider}, active="")

    def __iter__(self) -> Iterator[Provider]:
        return iter(self.by_id.values())

    @property
    def only(self) -> Provider | None:
        """The provider of all requests; None if the router chooses."""
        return None if self.router else next(iter(self))

    @property
    def main(self) -> Provider:
        """The active provider, else the first one."""
        return next(iter(self)) if self.active is None else self.by_id[self.active]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of all providers."""
        return tuple(secret for provider in self for secret in provider.secrets())

    @property
    def have_credentials(self) -> bool:
        """Whether each of them has a credential, so that none needs the client's."""
        return all(provider.has_credential for provider in self)

    def at(self, origin: Origin, name: str = "") -> Provider | None:
        """The provider at an origin; of several, the one with this id, else the first."""
        found = {identity: provider for identity, provider in self.by_id.items() if origin in provider.origins}
        return found.get(name) or next(iter(found.values()), None)

    def of_link(self, origin: Origin) -> Provider:
        """The provider whose answers have links to an origin, as far as that can be told."""
        return self.at(origin) or self.main

    def serving(self, target: str) -> Provider | None:
        """The provider of a client's GET of a path and query; None if there is none."""
        if self.router is None:
            return next(iter(self))
        try:
            choice = self.router.choose(Head("GET", target))
        except Refusal:
            return None
        return choice.provider if isinstance(choice, Choice) else None
