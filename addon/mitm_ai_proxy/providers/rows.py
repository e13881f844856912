"""The table of providers that speak OpenAI's API. A new one is a row.

Sources: Higress ai-proxy plugin, types; the services' documentation of November 2026, hosts and paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..apis import APIS
from ..auth.header import Credential, authorization
from ..auth.secret import Secret
from ..chat.body_edits import REASONING_TOKENS
from ..chat.target import CLAUDE, OPENAI_CHAT
from ..config import values
from ..config.keys import key
from . import azure
from .claude import Claude, ClaudeKeys
from .compatible import CONVERSATIONS, Compatible
from .generic import Generic, GenericKeys
from .kilocode import Kilocode, KilocodeKeys
from .openai import OpenAI, OpenAIKeys
from .row import AddressKeys, CompatibleKeys, Row, SchemaKeys
from .self_hosted import Ollama, OllamaKeys, Vllm, VllmKeys

_GROUPS: Final = {
    "chat": "openai/v1/chatcompletions",
    "completions": "openai/v1/completions",
    "embeddings": "openai/v1/embeddings",
    "models": "openai/v1/models",
    "responses": "openai/v1/responses",
    "messages": "anthropic/v1/messages",
    "count_tokens": "anthropic/v1/messages/count_tokens",
    "complete": "anthropic/v1/complete",
    "rerank": "cohere/v1/rerank",
    "realtime": "openai/v1/realtime",
    "generations": "openai/v1/imagegeneration",
    "edits": "openai/v1/imageedit",
    "images": "openai/v1/imagegeneration openai/v1/imageedit openai/v1/imagevariation",
    "speech": "openai/v1/audiospeech",
    "transcriptions": "openai/v1/audiotranscription",
    "translations": "openai/v1/audiotranslation",
    "audio": "openai/v1/audiospeech openai/v1/audiotranscription openai/v1/audiotranslation",
    "files": "openai/v1/files openai/v1/retrievefile openai/v1/retrievefilecontent",
    "batches": "openai/v1/batches openai/v1/retrievebatch openai/v1/cancelbatch",
    "videos": " ".join(api.name for api in APIS if api.path.startswith("/v1/videos")),
}
"""Words of the table, and the names of the APIs that they stand for."""
# The plugin's name for conversations is of the time when only Qwen had them.
_OPENAI: Final = frozenset({*(api.name for api in APIS if api.name.startswith("openai/")), CONVERSATIONS})
_MESSAGES: Final = "anthropic/v1/messages"
_CHAT: Final = "openai/v1/chatcompletions"


def _apis(words: str) -> frozenset[str]:
    return frozenset(name for word in words.split() for name in _GROUPS[word].split())


def _native(**texts: str) -> tuple[tuple[str, str], ...]:
    """Texts in a path, and the API that each stands for: a word of _GROUPS with one API."""
    return tuple((text, _GROUPS[word]) for word, text in texts.items())


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
        _OPENAI,
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
        _OPENAI,
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
        _apis("chat embeddings"),
        "360. The key is sent without `Bearer`.",
        style=_raw,
    ),
    Row("baichuan", "api.baichuan-ai.com", "/v1", _apis("chat embeddings"), "Baichuan AI."),
    Row(
        "baidu",
        "qianfan.baidubce.com",
        "/v2",
        _apis("chat embeddings models"),
        "Baidu Qianfan (ERNIE).",
        native=_native(chat="/v2/chat/completions"),
    ),
    Row(
        "claude",
        "api.anthropic.com",
        "/v1",
        _apis("messages count_tokens complete models files"),
        "Anthropic's Claude. A key is sent as `x-api-key`, a token of OAuth as Bearer with its beta; without"
        " `apiTokens` the client's own is sent on. Batches and all else pass.",
        site="https://platform.claude.com/docs/en/api/overview",
        variable="ANTHROPIC_API_KEY",
        is_key_optional=True,
        messages=CLAUDE,
        keys=ClaudeKeys,
        kind=Claude,
    ),
    Row(
        "cloudflare",
        "api.cloudflare.com",
        "/client/v4/accounts/{cloudflareAccountId}/ai/v1",
        _apis("chat embeddings responses"),
        "Cloudflare Workers AI.",
        site="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
        needs=("cloudflareAccountId",),
        keys=CloudflareKeys,
    ),
    Row(
        "coze",
        "api.coze.cn",
        "/v1",
        frozenset(),
        "Coze, with its own paths (`/v3/chat`), as they are: `protocol: original`.",
        keys=AddressKeys,
        site="https://www.coze.cn/open/docs",
    ),
    Row(
        "deepseek",
        "api.deepseek.com",
        "/v1",
        _apis("chat models"),
        "DeepSeek. Completions are its fill-in-the-middle.",
        site="https://api-docs.deepseek.com",
        elsewhere={_MESSAGES: "/anthropic/v1/messages", "openai/v1/completions": "/beta/completions"},
        aliases=("",),
    ),
    Row(
        "fireworks",
        "api.fireworks.ai",
        "/inference/v1",
        _apis("chat completions models embeddings responses rerank audio"),
        "Fireworks AI.",
        site="https://docs.fireworks.ai",
        native=_native(chat="/v1/chat/completions", completions="/v1/completions", models="/v1/models"),
        chat=OPENAI_CHAT._replace(options=frozenset({"top_k"})),
    ),
    Row(
        "galadriel",
        "api.galadriel.com",
        "/v1",
        _apis("chat models"),
        "Galadriel.",
        native=_native(chat="/v1/chat/completions", models="/v1/models"),
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
        _apis("chat embeddings"),
        "GitHub Models. Ids of models have a publisher (`openai/gpt-4o`); an organisation that pays is in the"
        " `baseUrl`: `https://models.github.ai/orgs/ORGANISATION/inference`.",
        site="https://docs.github.com/en/rest/models",
        elsewhere={"openai/v1/models": "/catalog/models"},
        native=_native(chat="/chat/completions", embeddings="/embeddings"),
    ),
    Row(
        "grok",
        "api.x.ai",
        "/v1",
        _apis(
            "chat responses completions embeddings generations edits models messages files batches videos audio"
            " realtime"
        ),
        "xAI's Grok.",
        site="https://docs.x.ai",
        native=_native(chat="/v1/chat/completions"),
    ),
    Row(
        "groq",
        "api.groq.com",
        "/openai/v1",
        _apis("chat responses models audio files batches"),
        "Groq.",
        site="https://console.groq.com/docs",
        native=_native(chat="/openai/v1/chat/completions"),
    ),
    Row(
        "kilocode",
        "api.kilo.ai",
        "/api/gateway",
        _apis("chat responses messages models embeddings transcriptions"),
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
        _apis("chat embeddings"),
        "LongCat.",
        keys=SchemaKeys,
        site="https://longcat.chat/platform/docs",
        elsewhere={"openai/v1/models": "/v1/models", _MESSAGES: "/anthropic/v1/messages"},
    ),
    Row(
        "mistral",
        "api.mistral.ai",
        "/v1",
        _apis("chat embeddings models files batches audio"),
        "Mistral AI.",
        site="https://docs.mistral.ai/api",
        chat=OPENAI_CHAT._replace(reasoning="none"),
    ),
    Row(
        "moonshot",
        "api.moonshot.cn",
        "/v1",
        _apis("chat models files"),
        "Moonshot AI (Kimi). A key of outside China needs `baseUrl: https://api.moonshot.ai/v1`.",
        site="https://platform.moonshot.ai/docs",
        chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="calls"),
    ),
    Row(
        "ollama",
        "http://127.0.0.1:11434",
        "/v1",
        _apis("chat completions embeddings models responses messages generations speech transcriptions"),
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
        _apis("chat completions models embeddings responses messages images videos audio"),
        "OpenRouter.",
        site="https://openrouter.ai/docs/api/reference/overview",
        native=_native(chat="/api/v1/chat/completions", completions="/api/v1/completions"),
        chat_edits=(REASONING_TOKENS,),
    ),
    Row(
        "stepfun",
        "api.stepfun.com",
        "/v1",
        _apis("chat responses messages models images audio"),
        "StepFun. Outside China: `baseUrl: https://api.stepfun.ai/v1`.",
        site="https://platform.stepfun.com/docs",
    ),
    Row(
        "together-ai",
        "api.together.xyz",
        "/v1",
        _apis("chat completions embeddings audio images models rerank"),
        "Together AI.",
        site="https://docs.together.ai",
        native=_native(chat="/v1/chat/completions"),
        chat=OPENAI_CHAT._replace(options=frozenset({"top_k"})),
    ),
    Row(
        "vllm",
        "",
        "/v1",
        _apis(
            "chat completions models embeddings rerank messages count_tokens responses transcriptions translations"
            " realtime"
        ),
        "A vLLM server. Its own paths (`/tokenize`, `/metrics`, ...) pass.",
        site="https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
        is_key_optional=True,
        needs=("vllmServerHost", "vllmCustomUrl"),
        addresses=("vllmServerHost", "vllmCustomUrl"),
        native=_native(
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
    Row("yi", "api.lingyiwanwu.com", "/v1", _apis("chat"), "01.AI's Yi."),
)
COMPATIBLE: Final = {row.name: Compatible.made(row) for row in ROWS}
"""By type, the class of each row."""
