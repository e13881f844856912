"""Blocks as the Higress plugin's page has them, unchanged: what is sent for its examples, and what comes back."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.keys import secrets
from mitm_ai_proxy.exchange import Answer, Whole
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import CHAT, MESSAGES, Json, fields_of, outgoing_of, upstream_of
from tests.tables import table

EMBEDDINGS: Final = "/v1/embeddings"
DASHSCOPE: Final = "https://dashscope.aliyuncs.com"

AZURE = """
provider:
  type: azure
  apiTokens:
    - "YOUR_AZURE_OPENAI_API_TOKEN"
  azureServiceUrl: "https://YOUR_RESOURCE_NAME.openai.azure.com/openai/deployments/YOUR_DEPLOYMENT_NAME/chat/completions?api-version=2024-02-15-preview",
"""
AZURE_URL = re.findall('"(https:.*)"', AZURE)[0].replace("YOUR_RESOURCE_NAME", "your_resource_name")
QWEN = """
provider:
  type: qwen
  apiTokens:
    - "YOUR_QWEN_API_TOKEN"
  modelMapping:
    'gpt-3': "qwen-turbo"
    'gpt-35-turbo': "qwen-plus"
    'gpt-4-turbo': "qwen-max"
    'gpt-4-*': "qwen-max"
    'gpt-4o': "qwen-vl-plus"
    'text-embedding-v1': 'text-embedding-v1'
    '*': "qwen-turbo"
"""
QWEN_CONTEXT = """
provider:
  type: qwen
  apiTokens:
    - "YOUR_QWEN_API_TOKEN"
  modelMapping:
    "*": "qwen-turbo"
  context:
    - fileUrl: "http://file.default.svc.cluster.local/ai/context.txt",
      serviceName: "file.dns",
      servicePort: 80
"""
QWEN_FILES = """
provider:
  type: qwen
  apiTokens:
    - "YOUR_QWEN_API_TOKEN"
  modelMapping:
    "*": "qwen-long" # Qwen's file context can only be used in the qwen-long model
  qwenFileIds:
  - "file-fe-xxx"
  - "file-fe-yyy"
"""
QWEN_ORIGINAL = """
activeProviderId: my-qwen
providers:
  - id: my-qwen
    type: qwen
    apiTokens:
      - "YOUR_DASHSCOPE_API_TOKEN"
    protocol: original
"""
QWEN_CLAUDE = """
provider:
  type: qwen  # Doesn't natively support Claude protocol, auto-conversion applied
  apiTokens:
    - "YOUR_QWEN_API_TOKEN"
  modelMapping:
    'claude-3-opus-20240229': 'qwen-max'
    '*': 'qwen-turbo'
"""
CLEANUP = """
provider:
  type: qwen
  apiTokens:
    - "YOUR_QWEN_API_TOKEN"
  modelMapping:
    "*": "qwen-turbo"
  contextCleanupCommands:
    - "clear context"
    - "/clear"
    - "start over"
    - "new conversation"
"""
DOUBAO = """
activeProviderId: my-doubao
providers:
- id: my-doubao
  type: doubao
  apiTokens:
    - YOUR_DOUBAO_API_KEY
  modelMapping:
    '*': YOUR_DOUBAO_ENDPOINT
  timeout: 1200000
"""
MOONSHOT = """
provider:
  type: moonshot
  apiTokens:
    - "YOUR_MOONSHOT_API_TOKEN"
  moonshotFileId: "YOUR_MOONSHOT_FILE_ID",
  modelMapping:
    '*': "moonshot-v1-32k"
"""
CLAUDE = """
provider:
  type: claude  # Provider with native Claude protocol support
  apiTokens:
    - "YOUR_CLAUDE_API_TOKEN"
  version: "2023-06-01"
"""
HUNYUAN = """
provider:
  type: "hunyuan"
  hunyuanAuthKey: "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
  apiTokens:
    - ""
  hunyuanAuthId: "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"
  timeout: 1200000
  modelMapping:
    "*": "hunyuan-lite"
"""
MINIMAX = """
provider:
  type: minimax
  apiTokens:
    - "YOUR_MINIMAX_API_TOKEN"
  modelMapping:
    "gpt-3": "abab6.5g-chat"
    "gpt-4": "abab6.5-chat"
    "*": "abab6.5g-chat"
  minimaxGroupId: "YOUR_MINIMAX_GROUP_ID"
"""
TRITON = """
providers:
  - type: triton
    tritonDomain: triton.test
    tritonModelVersion: "1"
    apiTokens:
      - "****"
    modelMapping:
      "*": gpt2
"""
SPARK = """
provider:
  type: spark
  apiTokens:
    - "APIKey:APISecret"
  modelMapping:
    "gpt-4o": "generalv3.5"
    "gpt-4": "generalv3"
    "*": "general"
"""

HELLO: Final[Json] = {
    "model": "gpt-3",
    "messages": [{"role": "user", "content": "Hello, who are you?"}],
    "temperature": 0.3,
}
SUMMARY: Final[Json] = {
    "model": "gpt-3",
    "messages": [{"role": "user", "content": "Please summarize the content"}],
    "temperature": 0.3,
}
SEEN: Final[Json] = {
    "model": "gpt-4o",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://files.test/dog_and_girl.jpeg"}},
                {"type": "text", "text": "Where is this picture from?"},
            ],
        }
    ],
    "temperature": 0.3,
}
DEVELOPER: Final[Json] = {
    "model": "gpt-3",
    "messages": [
        {"role": "system", "content": "You are a professional developer!"},
        {"role": "user", "content": "Hello, who are you?"},
    ],
    "temperature": 0.3,
    "stream": False,
}
OPUS: Final[Json] = {
    "model": "claude-3-opus-20240229",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello, who are you?"}],
}
NEW_TOPIC: Final[Json] = {
    "model": "gpt-3",
    "messages": [
        {"role": "system", "content": "You are an assistant"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help you?"},
        {"role": "user", "content": "clear context"},
        {"role": "user", "content": "Let's start a new topic, introduce yourself"},
    ],
}


def _provider(text: str) -> Provider:
    return registry.provider(registry.fetched(registry.read(text, {}), lambda fetch: "CONTEXT"), lambda: 1700000000.0)


def _with(request: Json, model: str, *before: str, **members: Any) -> Json:
    systems = [{"role": "system", "content": text} for text in before]
    return {**request, "model": model, "messages": [*systems, *request["messages"]], **members}


FIRST: Final = "You are a helpful assistant."
FILE_IDS: Final = "fileid://file-fe-xxx,fileid://file-fe-yyy"
DUBBO: Final = {"input": {"prompt": "What is Dubbo?"}, "parameters": {}, "debug": {}}
HUNYUAN_SENT: Final = {
    "Model": "hunyuan-lite",
    "Messages": [
        {"Role": "system", "Content": "You are a professional developer!"},
        {"Role": "user", "Content": "Hello, who are you?"},
    ],
    "Stream": False,
    "Temperature": 0.3,
}


@table(
    ("text", "target", "request", "url", "sent"),
    [
        (AZURE, CHAT, HELLO, AZURE_URL, HELLO),
        (QWEN, CHAT, HELLO, f"{DASHSCOPE}/compatible-mode/v1/chat/completions", _with(HELLO, "qwen-turbo")),
        (QWEN, CHAT, SEEN, f"{DASHSCOPE}/compatible-mode/v1/chat/completions", _with(SEEN, "qwen-vl-plus")),
        (
            QWEN,
            EMBEDDINGS,
            {"model": "text-embedding-v1", "input": "Hello"},
            f"{DASHSCOPE}/compatible-mode/v1/embeddings",
            {"model": "text-embedding-v1", "input": "Hello"},
        ),
        (
            QWEN_CONTEXT,
            CHAT,
            SUMMARY,
            f"{DASHSCOPE}/compatible-mode/v1/chat/completions",
            _with(SUMMARY, "qwen-turbo", "CONTEXT"),
        ),
        (
            QWEN_FILES,
            CHAT,
            SUMMARY,
            f"{DASHSCOPE}/compatible-mode/v1/chat/completions",
            _with(SUMMARY, "qwen-long", FIRST, FILE_IDS),
        ),
        (QWEN_ORIGINAL, "/api/v1/apps/app/completion", DUBBO, f"{DASHSCOPE}/api/v1/apps/app/completion", DUBBO),
        (QWEN_CLAUDE, MESSAGES, OPUS, f"{DASHSCOPE}/apps/anthropic/v1/messages", {**OPUS, "model": "qwen-max"}),
        (
            CLEANUP,
            CHAT,
            NEW_TOPIC,
            f"{DASHSCOPE}/compatible-mode/v1/chat/completions",
            {"model": "qwen-turbo", "messages": [NEW_TOPIC["messages"][0], NEW_TOPIC["messages"][4]]},
        ),
        (
            DOUBAO,
            CHAT,
            HELLO,
            "https://ark.cn-beijing.volces.com/api/v3/chat/completions",
            _with(HELLO, "YOUR_DOUBAO_ENDPOINT"),
        ),
        (
            MOONSHOT,
            CHAT,
            SUMMARY,
            "https://api.moonshot.cn/v1/chat/completions",
            _with(SUMMARY, "moonshot-v1-32k", "CONTEXT"),
        ),
        (CLAUDE, CHAT, OPUS, "https://api.anthropic.com/v1/messages", OPUS),
        (CLAUDE, MESSAGES, OPUS, "https://api.anthropic.com/v1/messages", OPUS),
        (
            MINIMAX,
            CHAT,
            {**HELLO, "stream": False},
            "https://api.minimaxi.com/v1/chat/completions",
            _with(HELLO, "abab6.5g-chat", stream=False),
        ),
        (
            SPARK,
            CHAT,
            _with(DEVELOPER, "gpt-4o"),
            "https://spark-api-open.xf-yun.com/v1/chat/completions",
            _with(DEVELOPER, "generalv3.5"),
        ),
        (HUNYUAN, CHAT, DEVELOPER, "https://hunyuan.tencentcloudapi.com/", HUNYUAN_SENT),
        (
            TRITON,
            CHAT,
            {"model": "gpt2", "messages": [{"role": "user", "content": "Hi, who are you"}], "stream": False},
            "http://triton.test:8000/v2/models/gpt2/versions/1/generate",
            {"text_input": "Hi, who are you", "parameters": {"stream": False}, "exclude_input_in_output": True},
        ),
    ],
)
def test_a_block_of_the_page_sends_its_example(text: str, target: str, request: Json, url: str, sent: Json) -> None:
    provider = _provider(text)
    upstream = upstream_of(provider, target, request)
    outgoing = outgoing_of(provider, target, request)

    assert f"{upstream.origin}{outgoing.target}" == url
    assert (request if upstream.body is None else json.loads(upstream.body)) == sent
    token = next(value for value in secrets(provider.keys))
    assert token in str(fields_of(outgoing)) or text == HUNYUAN


QWEN_FILES_ANSWER: Final = {
    "output": {
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "You uploaded two files"}}]
    },
    "usage": {"total_tokens": 2023, "output_tokens": 530, "input_tokens": 1493},
    "request_id": "187e99ba-5b64-9ffe-8f69-01dafbaf6ed7",
}
HUNYUAN_ANSWER: Final = {
    "Response": {
        "Id": "fd140c3e-0b69-4b19-849b-d354d32a6162",
        "Created": 1717493117,
        "Choices": [{"Index": 0, "FinishReason": "stop", "Message": {"Role": "assistant", "Content": "Hello!"}}],
        "Usage": {"PromptTokens": 15, "CompletionTokens": 9, "TotalTokens": 24},
        "RequestId": "r",
    }
}
SPARK_ANSWER: Final = {
    "code": 0,
    "message": "Success",
    "sid": "cha000c23c6@dx190ef0b4b96b8f2532",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 19, "total_tokens": 29},
}


@table(
    ("text", "request", "answer", "id", "content", "usage"),
    [
        (
            QWEN_FILES + "  qwenEnableCompatible: false\n",
            SUMMARY,
            QWEN_FILES_ANSWER,
            QWEN_FILES_ANSWER["request_id"],
            "You uploaded two files",
            (1493, 530, 2023),
        ),
        (HUNYUAN, DEVELOPER, HUNYUAN_ANSWER, "fd140c3e-0b69-4b19-849b-d354d32a6162", "Hello!", (15, 9, 24)),
        (SPARK, DEVELOPER, SPARK_ANSWER, "cha000c23c6@dx190ef0b4b96b8f2532", "Hello!", (10, 19, 29)),
    ],
)
def test_an_answer_of_the_page_is_one_of_openai_s(
    text: str, request: Json, answer: Json, id: str, content: str, usage: tuple[int, int, int]
) -> None:
    provider = _provider(text)
    sent = upstream_of(provider, CHAT, request)
    handling = provider.responseheaders(sent, 200, ((b"content-type", b"application/json"),))
    assert isinstance(handling, Whole)
    found = json.loads(handling.rewrite(Answer(200, json.dumps(answer).encode())).body)

    assert (found["id"], found["object"], found["choices"][0]["message"]["content"]) == (id, "chat.completion", content)
    assert tuple(found["usage"].values()) == usage
    assert found["choices"][0]["finish_reason"] == "stop"


def test_a_minimax_answer_of_the_page_passes_as_it_is() -> None:
    body = (
        b'{"id":"02","choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hello!","role":"assistant"}}],'
    )
    body += b'"usage":{"total_tokens":106}, "input_sensitive":false,"base_resp":{"status_code":0,"status_msg":""}}'
    provider = _provider(MINIMAX)
    sent = upstream_of(provider, CHAT, HELLO)
    handling = provider.responseheaders(sent, 200, ((b"content-type", b"application/json"),))

    assert isinstance(handling, Whole)
    assert handling.rewrite(Answer(200, body)).body is body


@table(
    ("keys", "path"),
    [
        ("subPath: /in", "/in/v1/chat/completions"),
        ("basePath: /in", "/in/v1/chat/completions"),
        ("version: 1, vertexGeminiSafetySetting: {a: b}", "/v1/chat/completions"),
    ],
)
def test_older_names_of_keys_are_taken(keys: str, path: str) -> None:
    provider = _provider(f"provider: {{type: groq, apiTokens: one text, {keys}}}".replace("one text", "token"))

    assert upstream_of(provider, path, HELLO).target == "/openai/v1/chat/completions"
