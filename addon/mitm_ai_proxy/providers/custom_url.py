"""Types that can be told one URL: a base, or the URL of one API, which is then the only one that is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .. import apis
from ..config import keys as declarations
from ..exchange import Head, NeedsBody, Upstream
from ..wire import targets
from ..wire.targets import Origin, Url
from .base import Clock
from .compatible import Compatible
from .row import AddressKeys


class CustomUrl(Compatible):
    """A type with a key `url_key` (its name in the file), which holds a URL."""

    url_key: ClassVar[str]

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        self.url = self.url_in(keys)
        self.only = apis_at(self.url.path) if self.url else {}
        """The APIs that the URL names, by name; empty if it is a base."""
        super().__init__(keys, clock)

    @classmethod
    def url_in(cls, keys: AddressKeys) -> Url | None:
        """The URL of a block, if it has one."""
        found: Url | None = getattr(keys, declarations.declared(cls.Keys)[cls.url_key].field)
        return found

    def own_base(self, keys: AddressKeys) -> str:
        """The path of the URL. A bare host keeps the base of the type."""
        return (self.url.path if self.url else "") or super().own_base(keys)

    def own_origin(self) -> Origin:
        """The origin of the URL, else that of the type."""
        return self.url.origin if self.url else super().own_origin()

    def own_capabilities(self) -> Mapping[str, str]:
        """Only the API that the URL names, if it names one."""
        if self.url is None or not self.only:
            return super().own_capabilities()
        return dict.fromkeys(self.only, self.url.path)

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """With the query of the URL behind the client's."""
        return self.with_own_query(super().upstream_path(capability, ids, query))

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """What is no API goes below a base; where the URL names an API, it is refused."""
        if self.only:
            raise self.unsupported(path, "")
        return super().pass_on(head, path, upstream._replace(target=self.with_own_query(upstream.target)))

    def with_own_query(self, target: str) -> str:
        """A target with the query of the URL, whose parameters replace the client's of the same names."""
        if self.url is None or not self.url.query:
            return target
        path, query = targets.split_query(target)
        for part in self.url.query.split("&"):
            query = targets.pop_parameter(query, part.partition("=")[0])[1]
        return targets.join_query(path, f"{query}&{self.url.query}" if query else self.url.query)

    @property
    def remarks(self) -> tuple[str, ...]:
        """That only one API is served, if that is so."""
        if not self.only:
            return super().remarks
        served = " and ".join(self.only.values())
        return (
            f"{self.url_key} is the URL of one API: only {served} is served, all else is refused.",
            *super().remarks,
        )


def apis_at(path: str) -> dict[str, str]:
    """By name, the APIs whose URL ends in this path, as clients call them; the longest end counts."""
    found: dict[str, str] = {}
    longest = ""
    for api in apis.APIS:
        end = api.path.removeprefix("/v1")
        if "{" in end or not path.endswith(end) or len(end) < len(longest):
            continue
        if len(end) > len(longest):
            found, longest = {}, end
        found[api.name] = str(api)
    return found
