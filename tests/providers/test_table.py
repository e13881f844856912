"""Every type of the table, and every API: where a request goes, its credential, its body, and what is redacted."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

import pytest

from mitm_ai_proxy import apis, pipeline, registry
from mitm_ai_proxy.apis import Api
from mitm_ai_proxy.auth.header import redacted
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Head, NeedsBody
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.row import Row
from mitm_ai_proxy.providers.rows import COMPATIBLE, ROWS
from tests.providers.chats import configuration_of
from tests.tables import table
from tests.upstream_of import requested

TOKEN = "sk-of-the-provider-0123456789"
ALL: Final = (
    "chat/completions completions embeddings audio/speech audio/transcriptions audio/translations realtime"
    " images/generations images/variations images/edits batches files models fine_tuning responses videos conversations"
)
BEARER: Final = "authorization: Bearer"
KEYS: Final = {
    "cloudflare": ", cloudflareAccountId: acc",
    "generic": ", genericHost: any.test",
    "vllm": ", vllmServerHost: gpu",
    "azure": ", azureServiceUrl: 'https://r.openai.azure.com/openai/v1'",
}
"""What a block needs besides its type."""


class Service(NamedTuple):
    """A service as it documents itself: its base URL, the credential, and the APIs by their paths below /v1.

    An API is all that is below its path; `elsewhere` are the paths of those that are not below the base. `fields` are
    further header fields that it needs.
    """

    base: str
    apis: str
    credential: str = BEARER
    elsewhere: str = ""
    fields: tuple[str, ...] = ()


SERVICES: Final = {
    "openai": Service("https://api.openai.com/v1", ALL),
    "azure": Service("https://r.openai.azure.com/openai/v1", ALL, "api-key:"),
    "ai360": Service("https://api.360.cn/v1", "chat/completions embeddings", "authorization:"),
    "baichuan": Service("https://api.baichuan-ai.com/v1", "chat/completions embeddings"),
    "baidu": Service(
        "https://qianfan.baidubce.com/v2",
        "chat/completions embeddings models rerank images/generations images/edits",
    ),
    "cloudflare": Service(
        "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1", "chat/completions embeddings responses"
    ),
    "claude": Service(
        "https://api.anthropic.com/v1",
        "messages messages/count_tokens complete models files",
        "x-api-key:",
        fields=("anthropic-version: 2023-06-01",),
    ),
    "cohere": Service(
        "https://api.cohere.com/compatibility/v1",
        "chat/completions embeddings",
        elsewhere="rerank=/v1/rerank chat/completions=/v2/chat",
    ),
    "deepseek": Service(
        "https://api.deepseek.com/v1",
        "chat/completions models",
        elsewhere="messages=/anthropic/v1/messages completions=/beta/completions",
    ),
    "doubao": Service(
        "https://ark.cn-beijing.volces.com/api/v3",
        "chat/completions embeddings models images/generations responses files",
    ),
    "fireworks": Service(
        "https://api.fireworks.ai/inference/v1",
        "chat/completions completions models embeddings responses rerank audio/speech audio/transcriptions"
        " audio/translations",
    ),
    "galadriel": Service("https://api.galadriel.com/v1", "chat/completions models"),
    "github": Service(
        "https://models.github.ai/inference", "chat/completions embeddings", elsewhere="models=/catalog/models"
    ),
    "grok": Service(
        "https://api.x.ai/v1",
        "chat/completions responses completions embeddings images/generations images/edits models messages files"
        " batches videos audio/speech audio/transcriptions audio/translations realtime",
    ),
    "groq": Service(
        "https://api.groq.com/openai/v1",
        "chat/completions responses models audio/speech audio/transcriptions audio/translations files batches",
    ),
    "hunyuan": Service("https://api.hunyuan.cloud.tencent.com/v1", "chat/completions embeddings"),
    "kilocode": Service(
        "https://api.kilo.ai/api/gateway",
        "chat/completions responses messages models embeddings audio/transcriptions",
    ),
    "longcat": Service(
        "https://api.longcat.chat/openai/v1",
        "chat/completions embeddings",
        elsewhere="models=/v1/models messages=/anthropic/v1/messages",
    ),
    "minimax": Service(
        "https://api.minimaxi.com/v1",
        "chat/completions responses embeddings models",
        elsewhere="messages=/anthropic/v1/messages images/generations=/v1/image_generation audio/speech=/v1/t2a_v2",
    ),
    "mistral": Service(
        "https://api.mistral.ai/v1",
        "chat/completions embeddings models files batches audio/speech audio/transcriptions audio/translations",
    ),
    "moonshot": Service("https://api.moonshot.cn/v1", "chat/completions models files"),
    "ollama": Service(
        "http://127.0.0.1:11434/v1",
        "chat/completions completions embeddings models responses messages images/generations audio/speech"
        " audio/transcriptions",
    ),
    "openrouter": Service(
        "https://openrouter.ai/api/v1",
        "chat/completions completions models embeddings responses messages images/generations images/edits"
        " images/variations videos audio/speech audio/transcriptions audio/translations",
    ),
    "qwen": Service(
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "chat/completions completions embeddings responses models files batches conversations",
        elsewhere="reranks=/compatible-api/v1/reranks messages=/apps/anthropic/v1/messages"
        " images/generations=/api/v1/services/aigc/multimodal-generation/generation",
    ),
    "spark": Service("https://spark-api-open.xf-yun.com/v1", "chat/completions"),
    "stepfun": Service(
        "https://api.stepfun.com/v1",
        "chat/completions responses messages models images/generations images/edits images/variations audio/speech"
        " audio/transcriptions audio/translations",
    ),
    "together-ai": Service(
        "https://api.together.xyz/v1",
        "chat/completions completions embeddings audio/speech audio/transcriptions audio/translations"
        " images/generations images/edits images/variations models rerank",
    ),
    "vllm": Service(
        "http://gpu:8000/v1",
        "chat/completions completions models embeddings rerank messages messages/count_tokens responses"
        " audio/transcriptions audio/translations realtime",
    ),
    "yi": Service("https://api.lingyiwanwu.com/v1", "chat/completions"),
    "zhipuai": Service(
        "https://open.bigmodel.cn/api/paas/v4",
        "chat/completions embeddings models rerank images/generations audio/transcriptions audio/speech files batches",
        elsewhere="messages=/api/anthropic/v1/messages",
    ),
}


def _place(service: Service, api: Api) -> str | None:
    """The URL of an API at a service, with the ids as OpenAI's path has them; None if the service lacks it."""
    path = api.path.removeprefix("/v1/")
    if not api.path.startswith("/v1/"):
        return None
    origin = service.base[: service.base.index("/", 8)]
    for pair in service.elsewhere.split():
        name, _, place = pair.partition("=")
        if path == name:
            return origin + place
    has_parts = [word for word in service.apis.split() if word in ("batches", "files", "fine_tuning", "videos")]
    listed = path in service.apis.split() or any(path == word or path.startswith(f"{word}/") for word in has_parts)
    return f"{service.base}/{path}" if listed else None


# With what a type would add.
BODY = b'{ "n" : 1e400, "model":"small" , "x":"\\u00e9", "big":12345678901234567890, "watermark":true }'
MAPPED = BODY.replace(b'"small"', b'"large/2:free"')
FIELDS = (
    (b"Host", b"proxy"),
    (b"Authorization", b"Bearer sk-of-the-client"),
    (b"Content-Type", b"application/json"),
)
OWN_FORMS: Final = frozenset({"bedrock", "coze", "deepl", "dify", "gemini", "triton", "vertex"})
"""Types whose APIs are in forms of their own, with tests of their own."""
CHATS: Final = ("openai/v1/chatcompletions", "anthropic/v1/messages", "anthropic/v1/messages/count_tokens")
MENDED: Final = {row.name: row.chat.mends != "nothing" for row in ROWS}
"""By type: whether its answers to chats are read, so that they must not be compressed."""
QUERY = "a=1&a=1&&b=%2f"


@functools.cache
def _provider(name: str) -> Provider:
    block = f"type: {name}, apiTokens: {TOKEN}, modelMapping: {{small: large/2:free}}{KEYS.get(name, '')}"
    return registry.provider(configuration_of(f"provider: {{{block}}}"), lambda: 0.0)


def _with_ids(path: str) -> str:
    return re.sub(r"\{(\w+)\}", r"id-\1", path)


@table("api", apis.APIS)
@table(("name", "service"), SERVICES.items())
def test_each_api_goes_to_its_place_or_is_refused(name: str, service: Service, api: Api) -> None:
    provider = _provider(name)
    path = _with_ids(api.path)
    method = api.method or "POST"
    head = Head(method, f"{path}?{QUERY}", callers.read(path, FIELDS), FIELDS)
    place = _place(service, api)
    if place is None and api.name in CHATS and {"chat/completions", "messages"} & {*service.apis.split()}:
        # Translated, or answered here: see test_chats.py.
        assert isinstance(provider.requestheaders(head), NeedsBody)
        return
    if place is None and api.path.startswith("/v1/"):
        with pytest.raises(Refusal, match=f"^{name} has no ") as caught:
            pipeline.requestheaders(provider, head)
        assert (caught.value.status, caught.value.code) == (404, "unsupported_api")
        return
    if place is None:
        return
    found = pipeline.requestheaders(provider, head)
    if provider.translates(api.name):
        # What becomes of the body: see test_vendor_requests.py and test_conversions.py.
        assert isinstance(found, NeedsBody)
        assert f"{found.origin}{provider.upstream_path(api.name, {}, QUERY)}" == f"{place}?{QUERY}"
        return
    upstream = requested(found, head, BODY) if isinstance(found, NeedsBody) else found
    outgoing = pipeline.outgoing(provider, head, upstream, raw=BODY)

    assert f"{upstream.origin}{outgoing.target}" == f"{_with_ids(place)}?{QUERY}"
    assert outgoing.body == (MAPPED if method == "POST" else None)
    lines = [f"{field.lower().decode()}: {value.decode()}" for field, value in outgoing.fields]
    assert lines == [
        f"host: {upstream.origin.authority}",
        "content-type: application/json",
        *service.fields,
        *(["accept-encoding: identity"] if api.name == CHATS[0] and MENDED[name] else []),
        f"{service.credential} {TOKEN}",
    ]
    assert outgoing.secret_fields == {service.credential.partition(":")[0].encode()}
    assert TOKEN not in str(redacted(outgoing.fields, outgoing.secret_fields)) + str(upstream)


def test_the_table_is_whole() -> None:
    assert SERVICES.keys() | OWN_FORMS | {"generic"} == {row.name for row in ROWS}
    assert registry.TYPES.keys() == {row.name for row in ROWS} | {"kling"}


@table("row", [row for row in ROWS if row.kind])
def test_a_type_of_a_row_is_a_class_of_its_own_so_that_no_import_completes_another(row: Row) -> None:
    assert row.kind
    assert issubclass(COMPATIBLE[row.name], row.kind)
    assert not hasattr(row.kind, "row")
    assert "home" not in vars(row.kind)
