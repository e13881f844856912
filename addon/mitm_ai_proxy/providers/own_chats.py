"""Paths of a vendor's own form that a second request may follow: all that it buys is the answer, which comes at once.

Sources: the vendors' API references. What makes a job, a picture or a video is not here, nor what runs a workflow.
"""

from __future__ import annotations

import re
from typing import Final

_OF_GOOGLE: Final = r"(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents|computeTokens)"
_OF_CLAUDE: Final = r"publishers/anthropic/models/[^/]+:(rawPredict|streamRawPredict)"

# By the type of the provider. Paths that it has for APIs of OpenAI's are known beside these.
_PATTERNS: Final = {
    "azure": r"(/openai)?/deployments/[^/]+/(chat/completions|completions|embeddings|audio/[a-z]+)",
    "bedrock": r"/model/[^/]+/(converse(-stream)?|count-tokens)"
    r"|/model/[^/]*anthropic\.claude[^/]*/invoke(-with-response-stream)?",
    "cohere": r"/v[12]/(chat|embed|rerank|classify|tokenize|detokenize)",
    "coze": r"/v3/chat",
    "dify": r"(/v1)?/(chat-messages|completion-messages)",
    "gemini": rf"/v1(beta|alpha)?/models/[^/]+:{_OF_GOOGLE}",
    "minimax": r"/v1/text/chatcompletion(_v2|_pro)?",
    "ollama": r"/api/(chat|generate|embed|embeddings|show)",
    "qwen": r"/api/v1/services/(aigc/text-generation/generation|embeddings/[a-z-]+/[a-z-]+|rerank/[a-z-]+/[a-z-]+)",
    "triton": r"/v2/models/[^/]+(/versions/[^/]+)?/(generate|generate_stream|infer)",
    "vertex": rf"/v1(beta1)?/(projects/[^/]+/locations/[^/]+/)?(publishers/google/models/[^/]+:{_OF_GOOGLE}"
    rf"|{_OF_CLAUDE})",
    "vllm": r"/(v[12]/)?(rerank|score|pooling|classify|tokenize|detokenize)",
}
_COMPILED: Final = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
# Of OpenAI's, without a name of its own: what is judged or counted.
_OF_OPENAI: Final = re.compile(r"/v1/(moderations|responses/input_tokens)")


def is_own_chat(type: str, path: str) -> bool:
    """Whether a POST to this path of a provider's may be sent a second time."""
    own = _COMPILED.get(type)
    return bool((own and own.fullmatch(path)) or _OF_OPENAI.fullmatch(path))
