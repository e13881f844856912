"""The table of providers that speak OpenAI's API. A new one is a row.

Sources: Higress ai-proxy plugin, types; the services' documentation of November 2026, hosts and paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..auth.header import Credential, authorization
from ..auth.secret import Secret
from ..chat.body_edits import REASONING_TOKENS
from ..chat.cohere_upstream import OPTIONS as COHERE_OPTIONS
from ..chat.dialects import COHERE, CONVERSE
from ..chat.target import CLAUDE, GOOGLE, OPENAI_CHAT, Target
from ..config import values
from ..config.keys import key
from . import azure, bedrock_models, coze, deepl, dify, gemini, minimax, qwen, triton, vertex
from .api_groups import OPENAI, named, native_paths
from .bedrock import Bedrock, BedrockKeys
from .chats import CHAT, MESSAGES
from .claude import Claude, ClaudeKeys
from .compatible import Compatible
from .doubao import DEFAULTS_LEFT_OUT, NO_WATERMARK, Doubao, DoubaoKeys
from .gemini import Gemini, GeminiKeys
from .generic import Generic, GenericKeys
from .hunyuan import Hunyuan, HunyuanKeys
from .kilocode import Kilocode, KilocodeKeys
from .moonshot import Moonshot, MoonshotKeys
from .openai import OpenAI, OpenAIKeys
from .row import CompatibleKeys, Row, SchemaKeys
from .self_hosted import Ollama, OllamaKeys, Vllm, VllmKeys
from .vertex import Vertex, VertexKeys
from .zhipuai import CODE_PLAN, EFFORT_AS_THINKING, KEPT_THINKING, Zhipuai, ZhipuaiKeys


def _raw(token: Secret) -> Credential:
    """The token alone, without a scheme."""
    return authorization(token.reveal())


def _segment(value: Any) -> str:
    """A text that is one segment of a path."""
    found = values.text(value)
    if not all(character.isascii() and (character.isalnum() or character in "-_") for character in found):
        raise ValueError("expected letters, digits, - and _ only")
    return found


@dataclass(frozen=True, slots=True)
class CloudflareKeys(CompatibleKeys):
    """The keys of `type: cloudflare`."""

    cloudflare_account_id: str = key(_segment, "", help="The account, a part of each path.")


ROWS: Final = (
    Row(
        "openai",
        "api.openai.com",
        "/v1",
        OPENAI,
        "OpenAI, or anything that serves the same paths. Without `apiTokens` the client's own key is sent on.",
        site="https://platform.openai.com/docs/api-reference",
        is_key_optional=True,
        keeps_developer=True,
        keys=OpenAIKeys,
        addresses=("openaiCustomUrl",),
        kind=OpenAI,
    ),
    Row(
        "azure",
        "",
        "/openai/v1",
        OPENAI,
        "Azure OpenAI. The key is sent as `api-key`, an access token of Entra as Bearer. In front of the SDKs' own"
        " `AzureOpenAI`: `protocol: original`.",
        site="https://learn.microsoft.com/azure/ai-foundry/openai/latest",
        style=azure.credential,
        needs=("azureServiceUrl",),
        addresses=("azureServiceUrl",),
        keeps_developer=True,
        chat=OPENAI_CHAT._replace(name="Azure OpenAI", max_tokens="max_completion_tokens"),
        keys=azure.AzureKeys,
        kind=azure.Azure,
    ),
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
        named("chat embeddings models"),
        "Baidu Qianfan (ERNIE).",
        site="https://cloud.baidu.com/doc/qianfan-api/index.html",
        native=native_paths(chat="/v2/chat/completions"),
        chat=OPENAI_CHAT._replace(mends="errors"),
    ),
    Row(
        "bedrock",
        "",
        "",
        frozenset(),
        "Amazon Bedrock: all chat models through Converse, Claude's also as Messages, embeddings and pictures. Requests"
        " are signed with `awsAccessKey`, or sent with an API key of Bedrock's.",
        site="https://docs.aws.amazon.com/bedrock/",
        elsewhere={
            CHAT: "/model/{model}/converse",
            MESSAGES: "/anthropic/v1/messages",
            **dict.fromkeys(bedrock_models.CONVERSIONS, "/model/{model}/invoke"),
            "openai/v1/models": "/foundation-models",
        },
        variable="AWS_BEARER_TOKEN_BEDROCK",
        key_instead=("awsAccessKey", "awsSecretKey"),
        needs=("awsRegion",),
        chat=Target("Bedrock", CONVERSE),
        messages=CLAUDE,
        conversions=bedrock_models.CONVERSIONS,
        keys=BedrockKeys,
        kind=Bedrock,
    ),
    Row(
        "claude",
        "api.anthropic.com",
        "/v1",
        named("messages count_tokens complete models files"),
        "Anthropic's Claude. A key is sent as `x-api-key`, a token of OAuth as Bearer with its beta; without"
        " `apiTokens` the client's own is sent on. Batches and all else pass.",
        site="https://platform.claude.com/docs/en/api/overview",
        variable="ANTHROPIC_API_KEY",
        is_key_optional=True,
        messages=CLAUDE._replace(has_threads=True),
        keys=ClaudeKeys,
        kind=Claude,
    ),
    Row(
        "cloudflare",
        "api.cloudflare.com",
        "/client/v4/accounts/{cloudflareAccountId}/ai/v1",
        named("chat embeddings responses"),
        "Cloudflare Workers AI.",
        site="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
        needs=("cloudflareAccountId",),
        chat=OPENAI_CHAT._replace(mends="errors"),
        keys=CloudflareKeys,
    ),
    Row(
        "cohere",
        "api.cohere.com",
        "/compatibility/v1",
        named("embeddings"),
        "Cohere: chats by its own API of version 2, translated; embeddings by its compatibility API; its own rerank.",
        site="https://docs.cohere.com/v2/reference/chat",
        elsewhere={CHAT: "/v2/chat", "cohere/v1/rerank": "/v1/rerank"},
        beside={path: path for path in ("/v1/chat", "/v1/embed", "/v1/tokenize", "/v1/detokenize", "/v1/classify")},
        native=(
            *native_paths(chat="/v1/chat", embeddings="/compatibility/v1/embeddings", rerank="/v1/rerank"),
            *native_paths(chat="/v2/chat", rerank="/v2/rerank"),
        ),
        chat=Target(
            "Cohere",
            COHERE,
            reasoning="own",
            reasoning_back="always",
            options=COHERE_OPTIONS,
            takes=frozenset({"image"}),
            counts_streams=False,
        ),
    ),
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
    Row(
        "doubao",
        "ark.cn-beijing.volces.com",
        "/api/v3",
        named("chat embeddings generations responses"),
        "Volcengine Ark (Doubao). A model is an id, an endpoint (`ep-...`) or a bot (`bot-...`).",
        site="https://www.volcengine.com/docs/82379",
        variable="ARK_API_KEY",
        native=native_paths(
            chat="/api/v3/chat/completions",
            embeddings="/api/v3/embeddings",
            generations="/api/v3/images/generations",
            responses="/api/v3/responses",
        ),
        edits={"openai/v1/responses": (DEFAULTS_LEFT_OUT,), "openai/v1/imagegeneration": (NO_WATERMARK,)},
        domain="doubaoDomain",
        chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="calls"),
        keys=DoubaoKeys,
        kind=Doubao,
    ),
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
    Row(
        "gemini",
        "generativelanguage.googleapis.com",
        "/v1beta",
        frozenset(),
        "Google's Gemini at AI Studio. Google's own clients pass, with any version in the path.",
        site="https://ai.google.dev/api",
        elsewhere=gemini.PATHS,
        style=gemini.credential,
        native=(
            (":generateContent", "gemini/v1beta/generatecontent"),
            (":streamGenerateContent", "gemini/v1beta/streamgeneratecontent"),
        ),
        keeps_developer=True,
        chat=GOOGLE,
        keys=GeminiKeys,
        kind=Gemini,
    ),
    Row(
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
    ),
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
    Row(
        "hunyuan",
        "api.hunyuan.cloud.tencent.com",
        "/v1",
        named("chat embeddings"),
        "Tencent's Hunyuan, by its OpenAI-compatible API; with `hunyuanAuthId` and `hunyuanAuthKey` by Tencent Cloud's"
        " own, whose requests are signed.",
        site="https://cloud.tencent.com/document/product/1729/111007",
        chat=OPENAI_CHAT._replace(reasoning="none"),
        key_instead=("hunyuanAuthId", "hunyuanAuthKey"),
        keys=HunyuanKeys,
        kind=Hunyuan,
    ),
    Row(
        "kilocode",
        "api.kilo.ai",
        "/api/gateway",
        named("chat responses messages models embeddings transcriptions"),
        "Kilo Gateway. `apiTokens: anonymous` reaches its free models.",
        site="https://kilo.ai/docs/gateway",
        aliases=("/api/gateway/v1", "/api/openrouter", "/api/v1"),
        beside={"/v1/fim/completions": "/api/fim/completions"},
        keys=KilocodeKeys,
        kind=Kilocode,
    ),
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
    Row(
        "minimax",
        "api.minimaxi.com",
        "/v1",
        named("chat responses embeddings"),
        "MiniMax. A key of outside China needs `baseUrl: https://api.minimax.io/v1`.",
        site="https://platform.minimaxi.com/docs",
        elsewhere={
            MESSAGES: "/anthropic/v1/messages",
            "openai/v1/imagegeneration": "/v1/image_generation",
            "openai/v1/audiospeech": "/v1/t2a_v2",
        },
        native=(
            *native_paths(chat="/v1/text/chatcompletion"),
            *native_paths(chat="/v1/chat/completions", messages="/anthropic/v1/messages", responses="/v1/responses"),
        ),
        chat=OPENAI_CHAT._replace(reasoning="none", reasoning_back="always", mends="errors"),
        conversions=minimax.CONVERSIONS,
        keys=minimax.MinimaxKeys,
        kind=minimax.Minimax,
    ),
    Row(
        "mistral",
        "api.mistral.ai",
        "/v1",
        named("chat embeddings models files batches audio"),
        "Mistral AI.",
        site="https://docs.mistral.ai/api",
        chat=OPENAI_CHAT._replace(reasoning="none"),
    ),
    Row(
        "moonshot",
        "api.moonshot.cn",
        "/v1",
        named("chat models files"),
        "Moonshot AI (Kimi). A key of outside China needs `baseUrl: https://api.moonshot.ai/v1`.",
        site="https://platform.moonshot.ai/docs",
        chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="calls", mends="errors"),
        keys=MoonshotKeys,
        kind=Moonshot,
    ),
    Row(
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
    ),
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
    Row(
        "qwen",
        "dashscope.aliyuncs.com",
        "/compatible-mode/v1",
        named("chat completions embeddings responses files batches conversations"),
        "Alibaba Cloud's DashScope (Qwen), in its compatible mode; with `qwenEnableCompatible: false` by its own API."
        " Outside China: `qwenDomain: dashscope-intl.aliyuncs.com`.",
        site="https://help.aliyun.com/zh/model-studio/",
        variable="DASHSCOPE_API_KEY",
        elsewhere={"qwen/v1/rerank": "/compatible-api/v1/reranks", MESSAGES: "/apps/anthropic/v1/messages"},
        native=qwen.NATIVE,
        domain="qwenDomain",
        chat=OPENAI_CHAT._replace(
            reasoning="enable",
            reasoning_back="always",
            cache="control",
            options=frozenset({"top_k", "seed", "presence_penalty"}),
        ),
        keys=qwen.QwenKeys,
        kind=qwen.Qwen,
    ),
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
    Row(
        "vertex",
        "aiplatform.googleapis.com",
        "",
        frozenset(),
        "Google Vertex AI: Gemini, Claude, embeddings and pictures. With a service account (`vertexAuthKey`) below a"
        " project and a region; with `apiTokens`, which are keys of its express mode, without.",
        site="https://cloud.google.com/vertex-ai/generative-ai/docs",
        elsewhere=vertex.PATHS,
        is_key_optional=True,
        native=(
            (":generateContent", "gemini/v1beta/generatecontent"),
            (":streamGenerateContent", "gemini/v1beta/streamgeneratecontent"),
            (":rawPredict", MESSAGES),
            (":streamRawPredict", MESSAGES),
        ),
        keeps_developer=True,
        chat=GOOGLE,
        messages=CLAUDE,
        keys=VertexKeys,
        kind=Vertex,
    ),
    Row(
        "vllm",
        "",
        "/v1",
        named(
            "chat completions models embeddings rerank messages count_tokens responses transcriptions translations"
            " realtime"
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
    ),
    Row("yi", "api.lingyiwanwu.com", "/v1", named("chat"), "01.AI's Yi."),
    Row(
        "zhipuai",
        "open.bigmodel.cn",
        "/api/paas/v4",
        named("chat embeddings generations transcriptions speech files batches"),
        "Zhipu AI (GLM). Outside China: `zhipuDomain: api.z.ai`.",
        site="https://docs.bigmodel.cn",
        elsewhere={MESSAGES: "/api/anthropic/v1/messages"},
        native=(
            *native_paths(chat="/api/paas/v4/chat/completions", embeddings="/api/paas/v4/embeddings"),
            *native_paths(chat=f"{CODE_PLAN}/chat/completions", messages="/api/anthropic/v1/messages"),
        ),
        edits={CHAT: (EFFORT_AS_THINKING, KEPT_THINKING)},
        addresses=("zhipuCodePlanMode",),
        domain="zhipuDomain",
        chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="always"),
        keys=ZhipuaiKeys,
        kind=Zhipuai,
    ),
)
COMPATIBLE: Final = {row.name: Compatible.made(row) for row in ROWS}
"""By type, the class of each row."""
