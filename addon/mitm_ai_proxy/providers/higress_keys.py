"""Keys of the Higress ai-proxy plugin that have no effect here, so that a block from there is accepted.

A provider accepts them with any value, except those in its `not_implemented`. Source: Higress ai-proxy plugin.
"""

from __future__ import annotations

from typing import Final

NOT_IMPLEMENTED: Final = frozenset({"customSettings"})
"""Keys that apply to every type of provider."""
CHAT_KEYS: Final = frozenset({"context"})
"""Keys that apply to chat APIs only."""
SOME_CHATS: Final = frozenset({"disableStreamUsageStats", "responseJsonSchema"})
"""Keys that apply to the chat API of some types only."""
TYPE_KEYS: Final = frozenset(
    "apiVersion awsAccessKey awsRegion awsSecretKey azureServiceUrl bedrockAdditionalFields"
    " bedrockPromptCachePointPositions botType claudeCodeMode claudeVersion cloudflareAccountId difyApiUrl"
    " doubaoDomain geminiSafetySetting geminiThinkingBudget hunyuanAuthId hunyuanAuthKey inputVariable"
    " minimaxApiType minimaxGroupId moonshotFileId ollamaServerHost ollamaServerPort openaiCustomUrl outputVariable"
    " promptCacheRetention qwenDomain qwenEnableCompatible qwenEnableSearch qwenFileIds targetLang tritonDomain"
    " tritonModelVersion vertexAuthKey vertexAuthServiceName vertexOpenAICompatible vertexProjectId vertexRegion"
    " vertexTokenRefreshAhead vllmCustomUrl vllmServerHost zhipuCodePlanMode zhipuDomain".split()
)
"""Keys of one type each; other types ignore them, as in the plugin."""
ALIASES: Final = {
    "subPath": ("basePath",),
    "version": ("claudeVersion", "apiVersion"),
    "vertexGeminiSafetySetting": ("geminiSafetySetting",),
}
"""Older names on the plugin's page, and the keys of which a type's own one is meant; types without one ignore them."""
ALL: Final = NOT_IMPLEMENTED | CHAT_KEYS | SOME_CHATS | TYPE_KEYS | ALIASES.keys()
