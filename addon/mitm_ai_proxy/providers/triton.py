"""NVIDIA Triton, by its generate extension. Sources: Triton's documentation; Higress ai-proxy plugin, triton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..chat.dialects import TRITON
from ..chat.target import Target
from ..config import values
from ..config.keys import key
from ..errors import bad_body
from ..exchange import Upstream
from ..wire import targets
from ..wire.targets import Origin
from .chats import CHAT
from .compatible import Compatible
from .row import ChatKeys, Row
from .self_hosted import Server, server

PORT = 8000


def _version(value: Any) -> str:
    """The version of a model, which is a number."""
    found = values.text(value)
    if found and not found.isdigit():
        raise ValueError("expected a number, such as 1")
    return found


@dataclass(frozen=True, slots=True)
class TritonKeys(ChatKeys):
    """The keys of `type: triton`."""

    triton_domain: Server | None = key(
        server, help="Host, `host:port`, or origin with its scheme; http without one, port 8000 where none is given."
    )
    triton_model_version: str = key(_version, "", help="The version of the model; Triton's own choice without it.")


class Triton(Compatible):
    """See its row."""

    keys: TritonKeys
    is_simulated_natively = True

    def own_origin(self) -> Origin:
        """The server of the keys."""
        return self.keys.triton_domain.at(PORT) if self.keys.triton_domain else super().own_origin()

    def own_capabilities(self) -> Mapping[str, str]:
        """Generate, of a version where one is configured."""
        version = f"/versions/{self.keys.triton_model_version}" if self.keys.triton_model_version else ""
        return {CHAT: f"{self.base}/models/{{model}}{version}/generate"}

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """To the model, whose stream has a path of its own. Raises Refusal (400)."""
        if model in ("", ".", "..") or not model.isprintable():
            raise bad_body("The model is no name of a model.", param="model")
        path, query = targets.split_query(targets.fill(upstream.target, {"model": quote(model, safe="")}))
        if is_stream and path.endswith("/generate"):
            path += "_stream"
        return upstream._replace(target=targets.join_query(path, query))


ROW = Row(
    "triton",
    "",
    "/v2",
    frozenset(),
    "NVIDIA Triton, by its generate extension: a text in, a text out.",
    site="https://docs.nvidia.com/deeplearning/triton-inference-server/",
    elsewhere={CHAT: "/v2/models/{model}/generate"},
    is_key_optional=True,
    needs=("tritonDomain",),
    addresses=("tritonDomain",),
    chat=Target("Triton", TRITON),
    keys=TritonKeys,
    kind=Triton,
)
