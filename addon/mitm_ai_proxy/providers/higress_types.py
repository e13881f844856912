"""Types of the Higress ai-proxy plugin that are not here, and which of ours serves them.

Sources: Higress ai-proxy plugin, types; the services' public documentation, hosts and paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..config.file import Elsewhere
from ..config.keys import Problem

CHAT: Final = "openai/v1/chatcompletions"

_OPENAI: Final = """
baichuan    api.baichuan-ai.com          /v1
baidu       qianfan.baidubce.com         /v2
cohere      api.cohere.com               /compatibility/v1
deepseek    api.deepseek.com             /v1
doubao      ark.cn-beijing.volces.com    /api/v3
fireworks   api.fireworks.ai             /inference/v1
galadriel   api.galadriel.com            /v1
gemini      generativelanguage.googleapis.com  /v1beta/openai
github      models.github.ai             /inference
grok        api.x.ai                     /v1
groq        api.groq.com                 /openai/v1
hunyuan     api.hunyuan.cloud.tencent.com  /v1
longcat     api.longcat.chat             /openai/v1
minimax     api.minimax.io               /v1
mistral     api.mistral.ai               /v1
moonshot    api.moonshot.cn              /v1
ollama      http://127.0.0.1:11434       /v1
openrouter  openrouter.ai                /api/v1
qwen        dashscope.aliyuncs.com       /compatible-mode/v1
spark       spark-api-open.xf-yun.com    /v1
stepfun     api.stepfun.com              /v1
together-ai api.together.xyz             /v1
vllm        http://127.0.0.1:8000        /v1
yi          api.lingyiwanwu.com          /v1
zhipuai     open.bigmodel.cn             /api/paas/v4
"""
"""Services with OpenAI's API: host, and the path below which it is."""
_OTHERS: Final = "ai360 azure bedrock claude cloudflare coze deepl dify triton vertex"
"""Types whose API, path or credential is not that of `openai`."""


def _openai() -> Iterator[tuple[str, dict[str, object]]]:
    for line in _OPENAI.split("\n")[1:-1]:
        name, domain, base = line.split()
        keys: dict[str, object] = {"type": "openai", "providerDomain": domain}
        if not base.endswith("/v1"):
            keys["capabilities"] = {CHAT: f"{base}/chat/completions"}
        elif base != "/v1":
            keys["providerBasePath"] = base.removesuffix("/v1")
        yield name, keys


KEYS: Final[Mapping[str, Mapping[str, object]]] = dict(_openai())
"""By type: the keys of a block here that reaches its chat API."""


def flow(keys: Mapping[str, object]) -> str:
    """Keys as they are written in one line of YAML, without the braces."""
    return ", ".join(
        f"{key}: {{{flow(value)}}}" if isinstance(value, Mapping) else f"{key}: {value}" for key, value in keys.items()
    )


def _openai_hint(keys: Mapping[str, object]) -> str:
    return f"it has OpenAI's API: {flow(keys)}"


_GENERIC_HINT: Final = (
    "type: generic with providerDomain passes requests on as they are: only host and base path are rewritten, and"
    " apiTokens are sent as Bearer (without any, the client's own credential is)"
)

ELSEWHERE: Final[Mapping[str, Elsewhere]] = {
    **{name: Elsewhere("openai", _openai_hint(keys)) for name, keys in KEYS.items()},
    **{name: Elsewhere("generic", _GENERIC_HINT) for name in _OTHERS.split()},
}
"""By type: the type here that serves it, and how."""

_IN_A_RESOURCE: Final = (
    "this is a resource of Kubernetes; the file is what stands in its spec.defaultConfig, or in the config of a rule:"
    " provider:, or providers: with activeProviderId:"
)
ANYTHING_ELSE: Final = (
    "a service with OpenAI's API is type: openai with providerDomain, any other HTTP API is type: generic with it"
)


def problem(document: Mapping[Any, Any]) -> Problem | None:
    """The complaint about a whole resource with the plugin's configuration in it; None for any other file."""
    is_resource = "apiVersion" in document and "spec" in document and "provider" not in document
    return Problem("spec", _IN_A_RESOURCE) if is_resource else None
