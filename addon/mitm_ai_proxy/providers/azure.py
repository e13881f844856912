"""Azure OpenAI: deployments, the newer base `/openai/v1`, and how `azureServiceUrl` tells which.

Sources: Higress ai-proxy plugin, azure; Azure OpenAI's REST reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ..apis import BY_NAME, Call
from ..auth.bearer import bearer
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat.body_edits import Notes
from ..chat.target import OPENAI_CHAT
from ..config import values
from ..config.keys import Problem, Reading, key
from ..errors import bad_body
from ..exchange import Head, NeedsBody, Upstream
from ..wire import targets
from ..wire.targets import Url
from .api_groups import OPENAI
from .compatible import Compatible
from .custom_url import CustomUrl
from .row import AddressKeys, CompatibleKeys, Row

V1: Final = "/openai/v1"
_DATED: Final = "/openai"
_VERSION: Final = "api-version"
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,255}")
# Of an access token of Entra, which is a JWT.
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_REALTIME: Final = "openai/v1/realtime"
_SHARED: Final = ("/v1/models", "/v1/batches", "/v1/files", "/v1/responses", "/v1/fine_tuning", "/v1/realtime")
"""Paths of APIs that are not below a deployment."""


@dataclass(frozen=True, slots=True)
class AzureKeys(CompatibleKeys):
    """The keys of `type: azure`."""

    azure_service_url: Url | None = key(
        values.url,
        help="The URL of the resource: with `/openai/v1`; or with `?api-version=` and no path, where the model is the"
        " deployment, with that of a deployment, or with that of one API.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """A version that is missing: only the newest API needs none."""
        url = self.azure_service_url
        if url and not targets.is_under(url.path, V1) and targets.pop_parameter(url.query, _VERSION)[0] is None:
            yield Problem("azureServiceUrl", f"has no {_VERSION} in its query, which only {V1} does without")


def credential(token: Secret) -> Credential:
    """A key in `api-key`; an access token of Entra as Bearer."""
    if _JWT.fullmatch(token.reveal()):
        return bearer(token)
    return Credential({b"api-key": token.reveal().encode()})


class Azure(CustomUrl):
    """See its row."""

    keys: AzureKeys
    url_key = "azureServiceUrl"

    def own_base(self, keys: AddressKeys) -> str:
        """The newer base, or what all older paths begin with."""
        if self.url is None or self.url.path == V1:
            return V1
        return _DATED

    def own_capabilities(self) -> Mapping[str, str]:
        """The APIs of the newer base, below a deployment, or at the one path of the URL."""
        path = self.url.path if self.url else V1
        found = _DEPLOYMENT.fullmatch(path)
        if path == V1:
            return super().own_capabilities()
        if path and not found:
            # Without an API in its name, the path serves them all.
            return dict.fromkeys(self.only or self.default_capabilities, path)
        below = f"{_DATED}/deployments/{found[1] if found else '{model}'}"
        return {
            name: (_DATED if BY_NAME[name].path.startswith(_SHARED) else below) + BY_NAME[name].path.removeprefix("/v1")
            for name in self.default_capabilities
        }

    @property
    def _exact(self) -> str:
        """The one target of all requests; "" where the API has a say in it."""
        path = self.url.path if self.url else ""
        is_base = path in ("", V1) or _DEPLOYMENT.fullmatch(path)
        return "" if is_base or self.url is None else targets.join_query(path, self.url.query)

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """The URL itself, if it has a path of its own."""
        return self.with_base_path(self._exact) if self._exact else super().upstream_path(capability, ids, query)

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """The same for what is no API."""
        if self._exact and not self.only:
            return Compatible.pass_on(self, head, path, upstream._replace(target=self.with_base_path(self._exact)))
        return super().pass_on(head, path, upstream)

    @property
    def remarks(self) -> tuple[str, ...]:
        """That all requests go to one path, if that is so."""
        if self._exact and not self.only:
            return (f"azureServiceUrl has a path of its own, so every request is sent to {self._exact}.",)
        return super().remarks

    def call(self, head: Head, call: Call, query: str, notes: Notes) -> Upstream | NeedsBody:
        """As elsewhere. The older realtime API is told the deployment in the query."""
        if call.api.name == _REALTIME and self.base == _DATED and self.url and not self._exact:
            model, query = targets.pop_parameter(query, "model")
            found = _DEPLOYMENT.fullmatch(self.url.path)
            name = found[1] if found else _deployment(self.map_model(model)[0] if model else None)
            query = f"{query}&deployment={name}" if query else f"deployment={name}"
        return super().call(head, call, query, notes)

    def needs_model(self, api: str) -> bool:
        """Whether the deployment in the path is that of the model."""
        return "{model}" in self.capabilities[api]

    def for_model(self, upstream: Upstream, model: str | None) -> Upstream:
        """The request to the deployment of a model. Raises Refusal (400) for a model that is none."""
        return upstream._replace(target=targets.fill(upstream.target, {"model": _deployment(model)}))


def _deployment(model: str | None) -> str:
    if not model:
        raise bad_body("The request has no model, which names the deployment at Azure.", param="model")
    if not _NAME.fullmatch(model):
        raise bad_body(
            "The model is no name of a deployment at Azure: letters, digits, - _ and . only. modelMapping can give it"
            " one.",
            param="model",
        )
    return model


ROW: Final = Row(
    "azure",
    "",
    "/openai/v1",
    OPENAI,
    "Azure OpenAI. The key is sent as `api-key`, an access token of Entra as Bearer. In front of the SDKs' own"
    " `AzureOpenAI`: `protocol: original`.",
    site="https://learn.microsoft.com/azure/ai-foundry/openai/latest",
    style=credential,
    needs=("azureServiceUrl",),
    addresses=("azureServiceUrl",),
    keeps_developer=True,
    chat=OPENAI_CHAT._replace(name="Azure OpenAI", max_tokens="max_completion_tokens"),
    keys=AzureKeys,
    kind=Azure,
)
