"""Any HTTP API: only host, base path and credential are rewritten."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from ..chat.body_edits import BodyEdit
from ..config import values
from ..config.keys import key
from ..exchange import Head, NeedsBody, Upstream
from ..wire import media_types
from ..wire.targets import Origin
from .compatible import Compatible, with_settings
from .higress_keys import NOT_IMPLEMENTED
from .row import AddressKeys, Row


@dataclass(frozen=True, slots=True)
class GenericKeys(AddressKeys):
    """The keys of `type: generic`."""

    generic_host: Origin | None = key(values.origin, help="Where to, as in `providerDomain`.")


class Generic(Compatible):
    """Any HTTP API: host, base path and credential are rewritten, nothing else. It has to be told its host."""

    keys: GenericKeys
    not_implemented = NOT_IMPLEMENTED
    withheld_parameters = frozenset({"api_key", "api-key"})

    def own_origin(self) -> Origin:
        """The origin in `genericHost`."""
        assert self.keys.generic_host
        return self.keys.generic_host

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """As elsewhere; with customSettings, a posted body that may be JSON is read."""
        found = super().requestheaders(head)
        content_type = head.caller.content_type
        if self.keys.protocol == "original" or not self.keys.custom_settings:
            return found
        if not (isinstance(found, Upstream) and head.method == "POST" and media_types.may_be_json(content_type)):
            return found
        is_json = media_types.is_json(content_type)
        rewrite = functools.partial(self.edited, found, self.body_edits(""), is_json, False)
        return NeedsBody(self.origin, rewrite, found.notes)

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """As it is, whatever the body has."""
        return upstream

    def body_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """Nothing but customSettings."""
        settings = self.keys.custom_settings
        return (BodyEdit(functools.partial(with_settings, settings)),) if settings else ()

    def asks_for_stream(self, head: Head, body: bytes) -> bool:
        """True: any request may."""
        return True

    def detect(self, method: str, path: str) -> None:
        """None: every path is passed on."""


ROW: Final = Row(
    "generic",
    "",
    "/v1",
    frozenset(),
    "Any HTTP API: host, base path and credential are rewritten, nothing else. It has to be told its host.",
    is_key_optional=True,
    needs=("genericHost",),
    addresses=("genericHost",),
    keeps_developer=True,
    keys=GenericKeys,
    kind=Generic,
)
