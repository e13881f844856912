"""A request as the provider gets it, for the assertions of a test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ..cassette.entry import Headers as HeaderFields
from ..cassette.links import unsigned

_MOST_OF_BODY: Final = 100


class Headers(Mapping[str, str]):
    """Header fields by name, whatever its case; the values of equal names are joined by a comma."""

    def __init__(self, fields: HeaderFields) -> None:
        self.fields: Final = fields
        self._joined: dict[str, str] = {}
        for name, value in fields:
            before = self._joined.get(name.lower())
            self._joined[name.lower()] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __repr__(self) -> str:
        return f"Headers({self._joined})"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it was or would have been sent to the provider, without its credential."""

    method: str
    url: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        """The path, with its percent-encoding."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded parameters of the query, each with all its values."""
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True)

    def json(self) -> Any:
        """The body, parsed as JSON. Raises ValueError if it is not JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        body = self.body[:_MOST_OF_BODY].decode("utf-8", "replace")
        more = "…" if len(self.body) > _MOST_OF_BODY else ""
        return f"<{' '.join(filter(None, (self.method, unsigned(self.url), body + more)))}>"
