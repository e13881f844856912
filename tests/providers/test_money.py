"""What may be sent a second time, by API, path and body, of every provider; all else may have bought something."""

from __future__ import annotations

import json
import re

from mitm_ai_proxy import apis, pipeline, registry
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Scope, Upstream
from mitm_ai_proxy.routing import purchases
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, head_of, provider_of
from tests.tables import table

RESPONSES = "/v1/responses"
ASKED: Json = {"model": "m", "input": "hi"}
SOMETHING, JOB = purchases.SOMETHING, purchases.A_JOB
PICTURE, MESSAGE, TOOL = "bought a picture", "left a message in a conversation", "had a tool do its work"

_NEEDS = {
    "azure": ", azureServiceUrl: 'https://r.openai.azure.com/openai/v1'",
    "bedrock": ", awsRegion: us-east-1",
    "cloudflare": ", cloudflareAccountId: a",
    "deepl": ", targetLang: DE",
    "generic": ", genericHost: any.test",
    "triton": ", tritonDomain: localhost",
    "vertex": ", vertexProjectId: p",
    "vllm": ", vllmServerHost: localhost",
}


def _block(type: str) -> str:
    return f"{type}, apiTokens: k{_NEEDS.get(type, '')}"


def _done(block: str, target: str, document: Json | bytes, *lines: str) -> str:
    """As pipeline.done_by(); of a request that is answered here, nothing."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = head_of(target, *lines)
    upstream = pipeline.rewritten(provider_of(block), head, raw)
    return pipeline.done_by(upstream, head, raw) if isinstance(upstream, Upstream) else ""


BLOCKS = [
    *(_block(name) for name in registry.TYPES if name not in ("kling", "deepl", "triton")),
    "hunyuan, hunyuanAuthId: a, hunyuanAuthKey: b",
    "minimax, apiTokens: k, minimaxApiType: pro, minimaxGroupId: g",
    "openai, apiTokens: k, protocol: original",
    "qwen, apiTokens: k, qwenEnableCompatible: false",
]


@table("block", BLOCKS)
@table("model", ["m", "claude-opus-4-7", "anthropic.claude-opus-4-7"])
@table("target", [CHAT, MESSAGES])
def test_a_chat_may_be_sent_a_second_time_whatever_the_type(block: str, model: str, target: str) -> None:
    assert _done(block, target, {**HELLO, "model": model}) == ""


ANSWERED = """
    openai/v1/chatcompletions openai/v1/completions openai/v1/embeddings openai/v1/audiospeech openai/v1/models
    openai/v1/audiotranscription openai/v1/audiotranslation openai/v1/responses anthropic/v1/messages/count_tokens
    anthropic/v1/messages anthropic/v1/complete cohere/v1/rerank qwen/v1/rerank gemini/v1beta/generatecontent
    gemini/v1beta/streamgeneratecontent
""".split()


@table("block", [_block("openai"), _block("claude"), _block("gemini"), _block("grok")])
@table("protocol", ["openai", "original"])
def test_of_all_apis_only_those_whose_result_is_their_answer_are_sent_a_second_time(block: str, protocol: str) -> None:
    for api in apis.APIS:
        target = re.sub(r"\{[a-z_]+\}", "a", api.path)
        try:
            done = _done(f"{block}, protocol: {protocol}", target, {**HELLO, "prompt": "a", "input": "a", "file": "a"})
        except Refusal:
            continue  # not an API of the type
        assert done == ("" if api.name in ANSWERED else SOMETHING), api


@table(
    ("type", "target"),
    [
        # Batches, jobs and files
        ("openai", "/v1/threads/runs"),
        ("openai", "/v1/threads/t/runs"),
        ("openai", "/v1/uploads"),
        ("openai", "/v1/images/generations"),
        ("openai", "/v1/videos"),
        ("openai", "/v1/batches"),
        ("openai", "/v1/fine_tuning/jobs"),
        ("openai", "/v1/evals/e/runs"),
        ("openai", "/v1/whatever"),
        ("claude", "/v1/messages/batches"),
        ("claude", "/v1/messages/batches/b/cancel"),
        ("generic", "/v1/images/generations"),
        ("generic", "/v1/whatever"),
        # Videos and other jobs of the vendors' own
        ("bedrock", "/async-invoke"),
        ("bedrock", "/model/amazon.nova-canvas-v1:0/invoke"),
        ("bedrock", "/model-invocation-job"),
        ("coze", "/v1/workflow/run"),
        ("dify", "/v1/workflows/run"),
        ("doubao", "/api/v3/contents/generations/tasks"),
        ("gemini", "/v1beta/models/veo-3:predictLongRunning"),
        ("gemini", "/v1beta/models/imagen-4:predict"),
        ("gemini", "/v1beta/models/gemini-2.5-flash:batchGenerateContent"),
        ("kling", "/v1/videos/text2video"),
        ("kling", "/v1/images/generations"),
        ("minimax", "/v1/video_generation"),
        ("minimax", "/v1/image_generation"),
        ("minimax", "/v1/t2a_async_v2"),
        ("qwen", "/api/v1/services/aigc/video-generation/video-synthesis"),
        ("qwen", "/api/v1/services/aigc/text2image/image-synthesis"),
        ("qwen", "/api/v1/services/aigc/multimodal-generation/generation"),
        ("vertex", "/v1/projects/p/locations/l/publishers/google/models/veo-3:predictLongRunning"),
        ("vertex", "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict"),
        ("vertex", "/v1/projects/p/locations/l/batchPredictionJobs"),
        ("zhipuai", "/api/paas/v4/async/chat/completions"),
        ("zhipuai", "/api/paas/v4/videos/generations"),
    ],
)
@table("protocol", ["openai", "original"])
def test_jobs_pictures_and_what_nobody_knows_are_not_sent_a_second_time(type: str, target: str, protocol: str) -> None:
    try:
        done = _done(f"{_block(type)}, protocol: {protocol}", target, {"model": "m", "prompt": "a"})
    except Refusal:
        return
    assert done == SOMETHING


@table(
    ("type", "target"),
    [
        ("azure", "/openai/deployments/gpt/chat/completions?api-version=1"),
        ("bedrock", "/model/amazon.nova-pro-v1:0/converse"),
        ("bedrock", "/model/amazon.nova-pro-v1%3A0/converse-stream"),
        ("bedrock", "/model/eu.anthropic.claude-opus-4-7/invoke-with-response-stream"),
        ("cohere", "/v1/chat"),
        ("cohere", "/v2/chat"),
        ("cohere", "/v2/embed"),
        ("cohere", "/v2/rerank"),
        ("coze", "/v3/chat"),
        ("deepl", "/v2/translate"),
        ("dify", "/v1/chat-messages"),
        ("dify", "/v1/completion-messages"),
        ("gemini", "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("gemini", "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("gemini", "/v1beta/models/gemini-2.5-pro:countTokens"),
        ("minimax", "/v1/text/chatcompletion_v2"),
        ("ollama", "/api/chat"),
        ("openai", "/v1/moderations"),
        ("qwen", "/api/v1/services/aigc/text-generation/generation"),
        ("triton", "/v2/models/m/generate_stream"),
        ("vertex", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent"),
        ("vertex", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-4-7:streamRawPredict"),
        ("zhipuai", "/api/paas/v4/chat/completions"),
        ("doubao", "/api/v3/chat/completions"),
    ],
)
@table("protocol", ["openai", "original"])
def test_chats_in_a_vendors_own_form_are_sent_a_second_time(type: str, target: str, protocol: str) -> None:
    try:
        done = _done(f"{_block(type)}, protocol: {protocol}", target, {"model": "m"})
    except Refusal:
        return
    assert done == ""


@table(
    ("target", "document", "done"),
    [
        (RESPONSES, {}, ""),
        (RESPONSES, {"store": True}, ""),
        (RESPONSES, {"background": False, "conversation": None}, ""),
        (RESPONSES, {"previous_response_id": "r"}, ""),
        (RESPONSES, {"background": True}, JOB),
        (RESPONSES, {"conversation": "c"}, MESSAGE),
        (RESPONSES, {"conversation": {"id": "c"}}, MESSAGE),
        (RESPONSES, {"prompt": {"id": "p"}}, TOOL),
        (RESPONSES, {"model": "gpt-image-1"}, PICTURE),
        (RESPONSES, {"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]}, ""),
        (RESPONSES, {"tools": [{"type": "web_search"}, {"type": "file_search"}, {"type": "local_shell"}]}, ""),
        (RESPONSES, {"tools": [{"type": "function"}, {"type": "image_generation"}]}, TOOL),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://any.test"}]}, TOOL),
        (RESPONSES, {"tools": [{"type": "code_interpreter"}]}, TOOL),
        (RESPONSES, {"tools": [{"type": "of tomorrow"}]}, TOOL),
        (RESPONSES, {"tools": ["?"]}, TOOL),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "mcp"}}], "store": True}, ""),
        (CHAT, {"modalities": ["text", "audio"]}, ""),
        (CHAT, {"modalities": ["image", "text"]}, PICTURE),
        (CHAT, {"model": "google/gemini-2.5-flash-image"}, PICTURE),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]}, ""),
        (MESSAGES, {"tools": [{"type": "web_search_20250305"}, {"type": "tool_search_tool_regex_20251119"}]}, ""),
        (MESSAGES, {"tools": [{"type": "code_execution_20250825"}]}, TOOL),
        (MESSAGES, {"mcp_servers": [{"type": "url"}]}, TOOL),
    ],
)
def test_a_body_may_ask_for_more_than_its_answer(target: str, document: Json, done: str) -> None:
    known = HELLO if target != RESPONSES else ASKED
    for protocol in ("openai", "original"):
        type = "claude" if target == MESSAGES else "openai"
        assert _done(f"{_block(type)}, protocol: {protocol}", target, {**known, **document}) == done


@table(
    ("block", "target", "document", "lines", "done"),
    [
        ("qwen, apiTokens: k", "/api/v1/services/embeddings/text-embedding/text-embedding", {}, (), ""),
        (
            "qwen, apiTokens: k",
            "/api/v1/services/embeddings/text-embedding/text-embedding",
            {},
            ("X-DashScope-Async: enable",),
            JOB,
        ),
        ("gemini, apiTokens: k", "/v1beta/models/gemini-2.5-flash-image:generateContent", {}, (), PICTURE),
        (
            "gemini, apiTokens: k",
            "/v1beta/models/m:generateContent",
            {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
            (),
            PICTURE,
        ),
        # The model that is sent counts.
        ('gemini, apiTokens: k, modelMapping: {"*": gemini-2.5-flash-image}', CHAT, HELLO, (), PICTURE),
        ("coze, apiTokens: k", "/v3/chat?conversation_id=1", {}, (), MESSAGE),
        ("dify, apiTokens: k", "/v1/chat-messages", {"conversation_id": ""}, (), ""),
        ("dify, apiTokens: k", "/v1/chat-messages", {"conversation_id": "c"}, (), MESSAGE),
        ("dify, apiTokens: k", CHAT, HELLO, ("ConversationId: c",), MESSAGE),
        ("dify, apiTokens: k, botType: Agent", CHAT, HELLO, (), SOMETHING),
        ("dify, apiTokens: k, botType: Workflow, inputVariable: v", CHAT, HELLO, (), SOMETHING),
        ("openai, apiTokens: k", CHAT, b'{"model": "m", "messages": [}', (), SOMETHING),
    ],
)
def test_what_a_vendor_has_of_its_own_counts_too(
    block: str, target: str, document: Json | bytes, lines: tuple[str, ...], done: str
) -> None:
    assert _done(block, target, document, *lines) == done


def test_the_actions_of_tencent_cloud_are_told_by_their_header_field() -> None:
    block = "hunyuan, hunyuanAuthId: a, hunyuanAuthKey: b, protocol: original"
    found = {
        action: _done(block, "/", {"Model": "m"}, f"X-TC-Action: {action}")
        for action in ("ChatCompletions", "SubmitHunyuanImageJob")
    }
    assert found == {"ChatCompletions": "", "SubmitHunyuanImageJob": SOMETHING}


@table(
    ("block", "target", "document", "lines", "scope"),
    [
        ("openai, apiTokens: k", RESPONSES, ASKED, (), Scope.ANYWHERE),
        ("openai, apiTokens: k", RESPONSES, {**ASKED, "background": True}, (), Scope.PROVIDER),
        ("openai, apiTokens: k", RESPONSES, {**ASKED, "previous_response_id": "r"}, (), Scope.PROVIDER),
        ("openai, apiTokens: k", "/v1/threads/t/runs", {}, (), Scope.PROVIDER),
        ("openai, apiTokens: k", CHAT, HELLO, (), Scope.ANYWHERE),
        ("coze, apiTokens: k", "/v3/chat", {}, (), Scope.ANYWHERE),
        ("coze, apiTokens: k", "/v3/chat?conversation_id=1", {}, (), Scope.PROVIDER),
        ("dify, apiTokens: k", "/v1/chat-messages", {"conversation_id": ""}, (), Scope.ANYWHERE),
        ("dify, apiTokens: k", "/v1/chat-messages", {"conversation_id": "c"}, (), Scope.PROVIDER),
        ("dify, apiTokens: k", CHAT, HELLO, (), Scope.ANYWHERE),
        ("dify, apiTokens: k", CHAT, HELLO, ("ConversationId: c",), Scope.PROVIDER),
    ],
)
def test_what_goes_on_with_something_stays_with_its_provider(
    block: str, target: str, document: Json, lines: tuple[str, ...], scope: Scope
) -> None:
    provider, head = provider_of(block), head_of(target, *lines)
    body = json.dumps(document).encode() if provider.needs_body_for_scope(head) else None
    assert provider.scope(head, body) is scope
