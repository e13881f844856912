"""Any HTTP API: only host, base path and credential are rewritten."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.keys import key
from ..wire.targets import Origin
from .compatible import Compatible, CompatibleKeys
from .higress_keys import NOT_IMPLEMENTED


@dataclass(frozen=True, slots=True)
class GenericKeys(CompatibleKeys):
    """The keys of `type: generic`."""

    generic_host: Origin | None = key(values.origin, help="Where to, as in `providerDomain`.")


class Generic(Compatible):
    """Any HTTP API: host, base path and credential are rewritten, nothing else. It has to be told its host."""

    keys: GenericKeys
    not_implemented = NOT_IMPLEMENTED

    def own_origin(self) -> Origin:
        """The origin in `genericHost`."""
        assert self.keys.generic_host
        return self.keys.generic_host

    def detect(self, method: str, path: str) -> None:
        """None: every path is passed on."""
