"""Keys of the Higress ai-proxy plugin for what does not exist here: a block with them is to work all the same.

A provider accepts them with any value, unless it lists them in `not_implemented`.
"""

from __future__ import annotations

from typing import Final

NOT_IMPLEMENTED: Final = frozenset({"customSettings", "failover", "logUpstreamErrorResponseBody", "retryOnFailure"})
"""Keys that mean something to every type of provider."""
CHAT_KEYS: Final = frozenset(
    "context contextCleanupCommands disableStreamUsageStats hiclawMode mergeConsecutiveMessages"
    " promoteThinkingOnEmpty reasoningContentMode responseJsonSchema".split()
)
"""Keys that mean something to chat-like APIs only."""
SIDE_CALL_KEYS: Final = frozenset({"firstByteTimeout", "timeout"})
"""Keys about side calls and about header fields of Envoy."""
TYPE_KEYS: Final = frozenset(
    "apiVersion awsAccessKey awsRegion awsSecretKey azureServiceUrl bedrockAdditionalFields"
    " bedrockPromptCachePointPositions botType claudeCodeMode claudeVersion cloudflareAccountId difyApiUrl"
    " doubaoDomain geminiSafetySetting geminiThinkingBudget hunyuanAuthId hunyuanAuthKey inputVariable"
    " minimaxApiType minimaxGroupId moonshotFileId ollamaServerHost ollamaServerPort openaiCustomUrl outputVariable"
    " promptCacheRetention qwenDomain qwenEnableCompatible qwenEnableSearch qwenFileIds targetLang tritonDomain"
    " tritonModelVersion vertexAuthKey vertexAuthServiceName vertexOpenAICompatible vertexProjectId vertexRegion"
    " vertexTokenRefreshAhead vllmCustomUrl vllmServerHost zhipuCodePlanMode zhipuDomain".split()
)
"""Keys of one type each; other types do not look at them, in the plugin either."""
ALL: Final = NOT_IMPLEMENTED | CHAT_KEYS | SIDE_CALL_KEYS | TYPE_KEYS
