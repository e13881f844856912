"""Services with OpenAI's API that need more than its address: hosts, paths, keys, bodies."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.exchange import Head, NeedsBody, Upstream
from mitm_ai_proxy.pipeline import Outgoing
from tests.tables import table

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
PICTURES = "/v1/images/generations"


def _sent(block: str, line: str, body: bytes = b"{}") -> Outgoing:
    tokens = "" if "apiTokens" in block else "apiTokens: [token], "
    read = registry.read(f"provider: {{{tokens}type: {block}}}", {})
    provider = registry.provider(read, lambda: 0.0)
    method, _, target = line.partition(" ")
    fields = ((b"Content-Type", b"application/json"),) if method == "POST" else ()
    head = Head(method, target, callers.read(target, fields), fields)
    found = pipeline.requestheaders(provider, head)
    upstream = pipeline.request(found, head, body) if isinstance(found, NeedsBody) else found
    assert isinstance(upstream, Upstream)
    return pipeline.outgoing(provider, head, upstream, raw=body)


@table(
    ("block", "line", "url"),
    [
        ("doubao, doubaoDomain: ark.ap-southeast.bytepluses.com", f"POST {CHAT}", "https://ark.ap-southeast.bytepluses.com/api/v3/chat/completions"),
        ("doubao, doubaoDomain: 'http://h.test:81'", "GET /v1/threads/t", "http://h.test:81/api/v3/threads/t"),
        ("doubao, doubaoDomain: h.test, providerDomain: p.test", f"POST {CHAT}", "https://p.test/api/v3/chat/completions"),
        ("doubao", "POST /api/v3/responses?a=1", "https://ark.cn-beijing.volces.com/api/v3/responses?a=1"),
        ("doubao", "POST /api/v3/contents/generations/tasks", "https://ark.cn-beijing.volces.com/api/v3/contents/generations/tasks"),
        ("doubao, protocol: original", "POST /api/v3/bots/chat/completions", "https://ark.cn-beijing.volces.com/api/v3/bots/chat/completions"),
        ("zhipuai, zhipuDomain: api.z.ai", f"POST {CHAT}", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("zhipuai, zhipuDomain: api.z.ai", "POST /v1/messages", "https://api.z.ai/api/anthropic/v1/messages"),
        ("zhipuai, zhipuCodePlanMode: true", f"POST {CHAT}?a=1", "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions?a=1"),
        ("zhipuai, zhipuCodePlanMode: true", "POST /v1/embeddings", "https://open.bigmodel.cn/api/paas/v4/embeddings"),
        ("zhipuai, zhipuCodePlanMode: true", "POST /api/coding/paas/v4/embeddings", "https://open.bigmodel.cn/api/paas/v4/embeddings"),
        ("zhipuai, zhipuCodePlanMode: true", "POST /api/paas/v4/chat/completions", "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions"),
        ("zhipuai", "POST /api/coding/paas/v4/chat/completions", "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions"),
        ("zhipuai", "GET /v1/async-result/1", "https://open.bigmodel.cn/api/paas/v4/async-result/1"),
        ("spark", "POST /v2/chat/completions", "https://spark-api-open.xf-yun.com/v2/chat/completions"),
        ("spark, baseUrl: 'https://spark-api-open.xf-yun.com/v2'", f"POST {CHAT}", "https://spark-api-open.xf-yun.com/v2/chat/completions"),
        ("qwen, qwenDomain: dashscope-intl.aliyuncs.com", f"POST {CHAT}", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"),
        ("qwen, qwenDomain: h.test", "POST /v1/reranks", "https://h.test/compatible-api/v1/reranks"),
        ("qwen", "GET /v1/conversations/c/items?a=1", "https://dashscope.aliyuncs.com/compatible-mode/v1/conversations/c/items?a=1"),
        ("qwen", "GET /compatible-mode/v1/files/f-1/content", "https://dashscope.aliyuncs.com/compatible-mode/v1/files/f-1/content"),
        ("qwen", "GET /api/v1/tasks/t", "https://dashscope.aliyuncs.com/api/v1/tasks/t"),
        ("qwen", "POST /api/v1/tasks/t/cancel", "https://dashscope.aliyuncs.com/api/v1/tasks/t/cancel"),
        ("qwen, qwenDomain: h.test", "POST /api/v1/services/aigc/text2image/image-synthesis", "https://h.test/api/v1/services/aigc/text2image/image-synthesis"),
        ("qwen", "POST /api/v1/files", "https://dashscope.aliyuncs.com/api/v1/files"),
        ("qwen", "GET /api/v1/models?page_no=1", "https://dashscope.aliyuncs.com/api/v1/models?page_no=1"),
        ("qwen, qwenEnableCompatible: false", "GET /v1/models", "https://dashscope.aliyuncs.com/compatible-mode/v1/models"),
        ("qwen, protocol: original, qwenEnableCompatible: false", "POST /api/v1/apps/a?x", "https://dashscope.aliyuncs.com/api/v1/apps/a?x"),
        ("minimax, baseUrl: 'https://api.minimax.io/v1'", "POST /v1/messages", "https://api.minimax.io/anthropic/v1/messages"),
        ("minimax, minimaxApiType: v2, minimaxGroupId: g", f"POST {CHAT}", "https://api.minimaxi.com/v1/chat/completions"),
        ("minimax", "POST /v1/files/upload", "https://api.minimaxi.com/v1/files/upload"),
        ("minimax", "GET /v1/files/retrieve?file_id=1", "https://api.minimaxi.com/v1/files/retrieve?file_id=1"),
        ("minimax", "GET /anthropic/v1/models", "https://api.minimaxi.com/anthropic/v1/models"),
        ("zhipuai", "GET /api/anthropic/v1/models", "https://open.bigmodel.cn/api/anthropic/v1/models"),
        ("dify", "GET /v1/messages?conversation_id=c", "https://api.dify.ai/v1/messages?conversation_id=c"),
        ("baidu", "POST /v2/rerank", "https://qianfan.baidubce.com/v2/rerank"),
        ("minimax", "POST /v1/text/chatcompletion_v2", "https://api.minimaxi.com/v1/text/chatcompletion_v2"),
        ("minimax, minimaxApiType: pro, protocol: original", "POST /v1/text/chatcompletion_pro?GroupId=g", "https://api.minimaxi.com/v1/text/chatcompletion_pro?GroupId=g"),
        ("cohere", "POST /v2/rerank?a=1", "https://api.cohere.com/v2/rerank?a=1"),
        ("cohere", "POST /v2/chat", "https://api.cohere.com/v2/chat"),
        ("cohere", "POST /compatibility/v1/embeddings", "https://api.cohere.com/compatibility/v1/embeddings"),
        ("cohere, protocol: original", "POST /v1/chat", "https://api.cohere.com/v1/chat"),
        ("cohere", "POST /v1/chat?a=1", "https://api.cohere.com/v1/chat?a=1"),
    ],
)  # fmt: skip
def test_a_request_goes_to_the_host_and_the_path_of_its_service(block: str, line: str, url: str) -> None:
    sent = _sent(block, line)

    assert f"{sent.upstream.origin}{sent.target}" == url


@table(
    ("block", "target", "before", "after"),
    [
        # Defaults go, for models of Ark refused their names; what means something stays.
        ("doubao", RESPONSES, b'{"tool_choice":"auto", "n":1e400,"parallel_tool_calls": true}', b'{"n":1e400}'),
        ("doubao", RESPONSES, b'{"tool_choice":"required","parallel_tool_calls":false}', None),
        ("doubao", CHAT, b'{"tool_choice":"auto","parallel_tool_calls":true}', None),
        ("doubao", PICTURES, b'{"prompt":"a", "n":1.0}', b'{"prompt":"a", "n":1.0,"watermark":false}'),
        ("doubao", PICTURES, b'{"watermark": true}', None),
        ("doubao, protocol: original", "/api/v3/images/generations", b'{"prompt":"a"}', None),
        ("doubao", CHAT, b'{"messages":[{"role":"developer"}]}', b'{"messages":[{"role":"system"}]}'),
        # GLM is switched; the effort stays for models that know it.
        (
            "zhipuai",
            CHAT,
            b'{"reasoning_effort":"high", "n":1.0}',
            b'{"reasoning_effort":"high", "n":1.0,"thinking":{"type":"enabled"}}',
        ),
        (
            "zhipuai",
            CHAT,
            b'{"reasoning_effort":"none"}',
            b'{"reasoning_effort":"none","thinking":{"type":"disabled"}}',
        ),
        (
            "zhipuai",
            CHAT,
            b'{"thinking":null,"reasoning_effort":"low"}',
            b'{"thinking":{"type":"enabled"},"reasoning_effort":"low"}',
        ),
        ("zhipuai", CHAT, b'{"reasoning_effort":"high","thinking":{"type":"disabled"}}', None),
        ("zhipuai", CHAT, b'{"reasoning_effort":""}', None),
        ("zhipuai", CHAT, b'{"reasoning_effort":null}', None),
        # Thoughts that are given back count.
        (
            "zhipuai",
            CHAT,
            b'{"messages":[{"reasoning_content":"a"}]}',
            b'{"messages":[{"reasoning_content":"a"}],"thinking":{"clear_thinking":false}}',
        ),
        (
            "zhipuai",
            CHAT,
            b'{"messages":[{},{"reasoning_content":"a"}],"reasoning_effort":"low"}',
            b'{"messages":[{},{"reasoning_content":"a"}],"reasoning_effort":"low","thinking":{"type":"enabled","clear_thinking":false}}',
        ),
        (
            "zhipuai",
            CHAT,
            b'{"thinking": {"type":"enabled"},"messages":[{"reasoning_content":"a"}]}',
            b'{"thinking": {"type":"enabled","clear_thinking":false},"messages":[{"reasoning_content":"a"}]}',
        ),
        ("zhipuai", CHAT, b'{"thinking":{"clear_thinking":true},"messages":[{"reasoning_content":"a"}]}', None),
        ("zhipuai", CHAT, b'{"messages":[{"reasoning_content":""},{"reasoning_content":null}]}', None),
        ("zhipuai", "/v1/messages", b'{"reasoning_effort":"high"}', None),
        # Web search, where the client does not decide it.
        ("qwen, qwenEnableSearch: true", CHAT, b'{"n":1.0}', b'{"n":1.0,"enable_search":true}'),
        ("qwen, qwenEnableSearch: true", CHAT, b'{"enable_search":false}', None),
        ("qwen, qwenEnableSearch: true", "/v1/embeddings", b"{}", None),
        ("qwen, qwenEnableSearch: false", CHAT, b"{}", None),
        # Thoughts that are given back count, where the model, after the mapping, can keep them.
        (
            "qwen",
            CHAT,
            b'{"model":"qwen3.6-plus-x","messages":[{"reasoning_content":"a"}]}',
            b'{"model":"qwen3.6-plus-x","messages":[{"reasoning_content":"a"}],"preserve_thinking":true}',
        ),
        (
            "qwen, modelMapping: {m: kimi-k2.6}",
            CHAT,
            b'{"model":"m","messages":[{"reasoning_content":"a"}]}',
            b'{"model":"kimi-k2.6","messages":[{"reasoning_content":"a"}],"preserve_thinking":true}',
        ),
        (
            "qwen, customSettings: {name: messages.0.reasoning_content, value: a, mode: raw}",
            CHAT,
            b'{"model":"kimi-k2.6","messages":[{}]}',
            b'{"model":"kimi-k2.6","messages":[{"reasoning_content":"a"}],"preserve_thinking":true}',
        ),
        ("qwen", CHAT, b'{"model":"kimi-k2.6-x","messages":[{"reasoning_content":"a"}]}', None),
        ("qwen", CHAT, b'{"model":"kimi-k2.6","messages":[{"reasoning_content":""}]}', None),
        ("qwen", CHAT, b'{"model":"kimi-k2.6","preserve_thinking":false,"messages":[{"reasoning_content":"a"}]}', None),
        ("qwen", "/v1/conversations", b'{"items":[]}', None),
        # Its own jobs, too, are asked for with the model after the mapping.
        (
            "qwen, modelMapping: {m: wan2.6-t2v}",
            "/api/v1/services/aigc/video-generation/video-synthesis",
            b'{"model":"m", "input":{"prompt":"a"}}',
            b'{"model":"wan2.6-t2v", "input":{"prompt":"a"}}',
        ),
        ("cohere, modelMapping: {a: b}", "/v1/rerank", b'{"model":"a", "top_n":1.0}', b'{"model":"b", "top_n":1.0}'),
    ],
)
def test_a_body_is_edited_in_place(block: str, target: str, before: bytes, after: bytes | None) -> None:
    sent = _sent(block, f"POST {target}", before)

    assert (before if sent.body is None else sent.body) == (before if after is None else after)
    is_noted = len(sent.upstream.notes) > 1
    assert is_noted is (after is not None)


@table(
    ("block", "problem"),
    [
        ("doubao, doubaoDomain: h.test, baseUrl: b.test", "baseUrl: stands beside doubaoDomain; keep one of the two"),
        ("doubao, doubaoDomain: 'ftp://h'", "doubaoDomain: unknown scheme 'ftp'"),
        ("zhipuai, zhipuCodePlanMode: true, baseUrl: b.test", "baseUrl: stands beside zhipuCodePlanMode; keep one"),
        ("zhipuai, zhipuCodePlanMode: on-ly", "zhipuCodePlanMode: expected true or false"),
        ("qwen, qwenFileIds: [f, 'a b']", "qwenFileIds: expected ids of files, such as file-fe-xxx"),
        ("qwen, qwenDomain: h.test, baseUrl: b.test", "baseUrl: stands beside qwenDomain; keep one of the two"),
        (f"hunyuan, hunyuanAuthId: {'SECRET' * 6}", "hunyuanAuthKey: is missing: hunyuanAuthId signs nothing without"),
        (
            f"hunyuan, protocol: original, hunyuanAuthKey: SECRET{'k' * 26}",
            "hunyuanAuthId: is missing: hunyuanAuthKey signs nothing without it",
        ),
        (
            f"hunyuan, hunyuanAuthId: SECRET, hunyuanAuthKey: {'k' * 32}",
            "hunyuanAuthId: has 6 characters, and 36 are expected",
        ),
        (
            f"hunyuan, hunyuanAuthId: {'SECRET' * 6}, hunyuanAuthKey: SECRET",
            "hunyuanAuthKey: has 6 characters, and 32 are expected",
        ),
        ("minimax, minimaxApiType: pro", "minimaxGroupId: is missing: minimaxApiType pro needs it"),
        ("minimax, minimaxApiType: v3", "minimaxApiType: unknown value 'v3' (known: v2, pro)"),
    ],
)
def test_what_is_wrong_with_a_block_is_said_at_the_start(block: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{apiTokens: [token], type: {block}}}", {})

    (found,) = caught.value.problems
    assert str(found).startswith(f"provider.{problem}")
    assert "SECRET" not in str(caught.value)


# Doubao


@table(
    ("keys", "target", "model", "path"),
    [
        ("", CHAT, "bot-1", "/api/v3/bots/chat/completions"),
        ("", f"{CHAT}?a=1", "bot-1", "/api/v3/bots/chat/completions?a=1"),
        ("", "/api/v3/chat/completions", "bot-1", "/api/v3/bots/chat/completions"),
        ("", CHAT, "ep-1", "/api/v3/chat/completions"),
        ("", CHAT, "robot-1", "/api/v3/chat/completions"),
        ("", RESPONSES, "bot-1", "/api/v3/responses"),
        (", modelMapping: {bot-1: ep-1}", CHAT, "bot-1", "/api/v3/chat/completions"),
        (", modelMapping: {a: bot-1}", CHAT, "a", "/api/v3/bots/chat/completions"),
        (", baseUrl: 'h.test/x'", CHAT, "bot-1", "/x/bots/chat/completions"),
        (", baseUrl: 'h.test/x/bots'", CHAT, "bot-1", "/x/bots/chat/completions"),
        (", capabilities: {openai/v1/chatcompletions: /chat}", CHAT, "bot-1", "/chat"),
    ],
)
def test_a_bot_has_a_path_of_its_own(keys: str, target: str, model: str, path: str) -> None:
    assert _sent(f"doubao{keys}", f"POST {target}", b'{"model":"%b"}' % model.encode()).target == path


def test_a_chat_without_a_model_is_no_bots() -> None:
    for body in (b"", b"{}", b'{"model":null}', b'{"model":7}'):
        assert _sent("doubao", f"POST {CHAT}", body).target == "/api/v3/chat/completions"


# Spark


def test_sparks_key_pair_is_one_bearer_token() -> None:
    sent = _sent("spark, apiTokens: ['APIKey:APISecret']", f"POST {CHAT}", b'{"model":"lite"}')

    assert (b"Authorization", b"Bearer APIKey:APISecret") in sent.fields
    assert sent.secret_fields == {b"authorization"}


# Qwen


@table(
    ("path", "api"),
    [
        ("/api/v1/services/aigc/text-generation/generation", "openai/v1/chatcompletions"),
        ("/compatible-mode/v1/chat/completions", "openai/v1/chatcompletions"),
        ("/api/v1/services/rerank/text-rerank/text-rerank", "qwen/v1/rerank"),
        ("/compatible-api/v1/reranks", "qwen/v1/rerank"),
        ("/compatible-mode/v1/conversations/c", "qwen/v1/conversations"),
    ],
)
def test_a_native_path_tells_its_api(path: str, api: str) -> None:
    (note,) = _sent("qwen, protocol: original", f"POST {path}").upstream.notes

    assert note == f"sent to https://dashscope.aliyuncs.com: protocol original, {api} of qwen"


# Hunyuan


def test_empty_keys_of_hunyuans_native_api_mean_nothing() -> None:
    sent = _sent(
        "hunyuan, hunyuanAuthId: '', hunyuanAuthKey: ~, modelMapping: {a: b}", f"POST {CHAT}", b'{"model":"a"}'
    )

    assert (sent.upstream.origin.host, sent.body) == ("api.hunyuan.cloud.tencent.com", b'{"model":"b"}')
    assert (b"Authorization", b"Bearer token") in sent.fields


# Moonshot


def test_a_file_id_that_is_empty_or_of_another_type_is_none() -> None:
    for block in ("moonshot, moonshotFileId: ''", "groq, moonshotFileId: f", "qwen, qwenFileIds: []"):
        assert _sent(block, f"POST {CHAT}").target.endswith("/chat/completions")
