"""The table of providers. A new one that speaks OpenAI's API is a row; one that is more than that has its own file.

Sources: Higress ai-proxy plugin, types; the services' documentation of November 2026, hosts and paths.
"""

from __future__ import annotations

from typing import Final

from ..auth.header import Credential, authorization
from ..auth.secret import Secret
from ..chat.body_edits import REASONING_TOKENS
from ..chat.target import OPENAI_CHAT
from . import (
    azure,
    bedrock,
    claude,
    cloudflare,
    cohere,
    coze,
    deepl,
    dify,
    doubao,
    gemini,
    generic,
    hunyuan,
    kilocode,
    minimax,
    moonshot,
    openai,
    qwen,
    self_hosted,
    triton,
    vertex,
    zhipuai,
)
from .api_groups import named, native_paths
from .chats import CHAT, MESSAGES
from .compatible import Compatible
from .row import Row, SchemaKeys


def _raw(token: Secret) -> Credential:
    """The token alone, without a scheme."""
    return authorization(token.reveal())


ROWS: Final = (
    openai.ROW,
    azure.ROW,
    Row(
        "ai360",
        "api.360.cn",
        "/v1",
        named("chat embeddings"),
        "360. The key is sent without `Bearer`.",
        style=_raw,
    ),
    Row("baichuan", "api.baichuan-ai.com", "/v1", named("chat embeddings"), "Baichuan AI."),
    Row(
        "baidu",
        "qianfan.baidubce.com",
        "/v2",
        named("chat embeddings models rerank generations edits"),
        "Baidu Qianfan (ERNIE).",
        site="https://cloud.baidu.com/doc/qianfan-api/index.html",
        native=native_paths(chat="/v2/chat/completions"),
        chat=OPENAI_CHAT._replace(mends="errors"),
    ),
    bedrock.ROW,
    claude.ROW,
    cloudflare.ROW,
    cohere.ROW,
    coze.ROW,
    deepl.ROW,
    Row(
        "deepseek",
        "api.deepseek.com",
        "/v1",
        named("chat models"),
        "DeepSeek. Completions are its fill-in-the-middle.",
        site="https://api-docs.deepseek.com",
        elsewhere={MESSAGES: "/anthropic/v1/messages", "openai/v1/completions": "/beta/completions"},
        aliases=("",),
    ),
    dify.ROW,
    doubao.ROW,
    Row(
        "fireworks",
        "api.fireworks.ai",
        "/inference/v1",
        named("chat completions models embeddings responses rerank audio"),
        "Fireworks AI.",
        site="https://docs.fireworks.ai",
        native=native_paths(chat="/v1/chat/completions", completions="/v1/completions", models="/v1/models"),
        chat=OPENAI_CHAT._replace(options=frozenset({"top_k"})),
    ),
    Row(
        "galadriel",
        "api.galadriel.com",
        "/v1",
        named("chat models"),
        "Galadriel.",
        native=native_paths(chat="/v1/chat/completions", models="/v1/models"),
    ),
    gemini.ROW,
    generic.ROW,
    Row(
        "github",
        "models.github.ai",
        "/inference",
        named("chat embeddings"),
        "GitHub Models. Ids of models have a publisher (`openai/gpt-4o`); an organisation that pays is in the"
        " `baseUrl`: `https://models.github.ai/orgs/ORGANISATION/inference`.",
        site="https://docs.github.com/en/rest/models",
        elsewhere={"openai/v1/models": "/catalog/models"},
        native=native_paths(chat="/chat/completions", embeddings="/embeddings"),
    ),
    Row(
        "grok",
        "api.x.ai",
        "/v1",
        named(
            "chat responses completions embeddings generations edits models messages files batches videos audio"
            " realtime"
        ),
        "xAI's Grok.",
        site="https://docs.x.ai",
        native=native_paths(chat="/v1/chat/completions"),
    ),
    Row(
        "groq",
        "api.groq.com",
        "/openai/v1",
        named("chat responses models audio files batches"),
        "Groq.",
        site="https://console.groq.com/docs",
        native=native_paths(chat="/openai/v1/chat/completions"),
    ),
    hunyuan.ROW,
    kilocode.ROW,
    Row(
        "longcat",
        "api.longcat.chat",
        "/openai/v1",
        named("chat embeddings"),
        "LongCat.",
        keys=SchemaKeys,
        site="https://longcat.chat/platform/docs",
        elsewhere={"openai/v1/models": "/v1/models", MESSAGES: "/anthropic/v1/messages"},
    ),
    minimax.ROW,
    Row(
        "mistral",
        "api.mistral.ai",
        "/v1",
        named("chat embeddings models files batches audio"),
        "Mistral AI.",
        site="https://docs.mistral.ai/api",
        chat=OPENAI_CHAT._replace(reasoning="none"),
    ),
    moonshot.ROW,
    self_hosted.OLLAMA,
    Row(
        "openrouter",
        "openrouter.ai",
        "/api/v1",
        named("chat completions models embeddings responses messages images videos audio"),
        "OpenRouter.",
        site="https://openrouter.ai/docs/api/reference/overview",
        native=native_paths(chat="/api/v1/chat/completions", completions="/api/v1/completions"),
        edits={CHAT: (REASONING_TOKENS,)},
    ),
    qwen.ROW,
    Row(
        "spark",
        "spark-api-open.xf-yun.com",
        "/v1",
        named("chat"),
        "iFlytek Spark. The key is the `APIPassword` of its console, or `APIKey:APISecret`. Models of the X series are"
        " below `baseUrl: https://spark-api-open.xf-yun.com/v2`.",
        site="https://www.xfyun.cn/doc/spark/HTTP%E8%B0%83%E7%94%A8%E6%96%87%E6%A1%A3.html",
        chat=OPENAI_CHAT._replace(reasoning="thinking", options=frozenset({"top_k"}), mends="all"),
    ),
    Row(
        "stepfun",
        "api.stepfun.com",
        "/v1",
        named("chat responses messages models images audio"),
        "StepFun. Outside China: `baseUrl: https://api.stepfun.ai/v1`.",
        site="https://platform.stepfun.com/docs",
    ),
    Row(
        "together-ai",
        "api.together.xyz",
        "/v1",
        named("chat completions embeddings audio images models rerank"),
        "Together AI.",
        site="https://docs.together.ai",
        native=native_paths(chat="/v1/chat/completions"),
        chat=OPENAI_CHAT._replace(options=frozenset({"top_k"})),
    ),
    triton.ROW,
    vertex.ROW,
    self_hosted.VLLM,
    Row("yi", "api.lingyiwanwu.com", "/v1", named("chat"), "01.AI's Yi."),
    zhipuai.ROW,
)
COMPATIBLE: Final = {row.name: Compatible.made(row) for row in ROWS}
"""By type, the class of each row."""
