"""Servers that people run themselves: Ollama and vLLM. They are reached by http, unless https is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..config import values
from ..config.keys import Problem, Reading, key
from ..wire.targets import Origin, Url
from .api_groups import named, native_paths
from .compatible import Compatible
from .custom_url import CustomUrl
from .row import CompatibleKeys, Row

OLLAMA_PORT: Final = 11434
VLLM_PORT: Final = 8000


class Server(NamedTuple):
    """A server as a person names it: `host`, `host:port` or an origin with its scheme."""

    origin: Origin
    has_port: bool

    def at(self, port: int) -> Origin:
        """The origin; at this port, where none is named and the scheme is http."""
        if self.has_port or self.origin.scheme == "https":
            return self.origin
        return Origin("http", self.origin.host, port)


def server(value: Any) -> Server | None:
    """A server; None for an empty text."""
    text = values.text(value).removesuffix("/")
    if not text:
        return None
    origin = Origin.parse(text if "://" in text else f"http://{text}")
    return Server(origin, text.rpartition(":")[2].isdigit())


def http_url(value: Any) -> Url | None:
    """A URL, by http where it has no scheme; None for an empty text."""
    text = values.text(value)
    return values.url(text if "://" in text or not text else f"http://{text}")


@dataclass(frozen=True, slots=True)
class OllamaKeys(CompatibleKeys):
    """The keys of `type: ollama`."""

    ollama_server_host: Server | None = key(
        server, help="Host, `host:port`, or origin with its scheme; http without one. Default: this machine."
    )
    ollama_server_port: int | None = key(values.whole(1, 65535), help="The port; 11434 where none is given.")

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Two ports that differ."""
        host, port = self.ollama_server_host, self.ollama_server_port
        if host and host.has_port and port not in (None, host.origin.port):
            yield Problem("ollamaServerPort", "is not the port in ollamaServerHost", ("ollamaServerHost",))


class Ollama(Compatible):
    """See its row."""

    keys: OllamaKeys

    def own_origin(self) -> Origin:
        """The server of the keys, else the one on this machine."""
        host, port = self.keys.ollama_server_host, self.keys.ollama_server_port
        if host is None:
            return Origin("http", "127.0.0.1", port or OLLAMA_PORT)
        if port and not host.has_port:
            return Origin(host.origin.scheme, host.origin.host, port)
        return host.at(OLLAMA_PORT)


@dataclass(frozen=True, slots=True)
class VllmKeys(CompatibleKeys):
    """The keys of `type: vllm`."""

    vllm_server_host: Server | None = key(
        server, help="Host, `host:port`, or origin with its scheme; http without one, port 8000 where none is given."
    )
    vllm_custom_url: Url | None = key(
        http_url,
        help="A base URL, or the URL of one API, which is then the only one that is served; http without a scheme. It"
        " wins over `vllmServerHost`.",
    )


class Vllm(CustomUrl):
    """See its row."""

    keys: VllmKeys
    url_key = "vllmCustomUrl"

    def own_origin(self) -> Origin:
        """The origin of the URL, else the server of the keys."""
        if self.url or not self.keys.vllm_server_host:
            return super().own_origin()
        return self.keys.vllm_server_host.at(VLLM_PORT)


OLLAMA: Final = Row(
    "ollama",
    "http://127.0.0.1:11434",
    "/v1",
    named("chat completions embeddings models responses messages generations speech transcriptions"),
    "Ollama, on this machine where no host is named. Its own paths (`/api/...`) pass. Its cloud is"
    " `baseUrl: https://ollama.com/v1`, with a key.",
    site="https://docs.ollama.com/api/openai-compatibility",
    is_key_optional=True,
    addresses=("ollamaServerHost",),
    keys=OllamaKeys,
    kind=Ollama,
)


VLLM: Final = Row(
    "vllm",
    "",
    "/v1",
    named(
        "chat completions models embeddings rerank messages count_tokens responses transcriptions translations realtime"
    ),
    "A vLLM server. Its own paths (`/tokenize`, `/metrics`, ...) pass.",
    site="https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
    is_key_optional=True,
    needs=("vllmServerHost", "vllmCustomUrl"),
    addresses=("vllmServerHost", "vllmCustomUrl"),
    native=native_paths(
        chat="/v1/chat/completions",
        completions="/v1/completions",
        models="/v1/models",
        embeddings="/v1/embeddings",
        rerank="/v1/rerank",
        count_tokens="/v1/messages/count_tokens",
        messages="/v1/messages",
        responses="/v1/responses",
        transcriptions="/v1/audio/transcriptions",
        translations="/v1/audio/translations",
    ),
    keys=VllmKeys,
    kind=Vllm,
)
