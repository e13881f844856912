"""What is particular about the families of models behind Amazon Bedrock's Converse, by words in their ids.

Source: Amazon Bedrock's user guide, inference parameters, prompt caching and reasoning, as of November 2026.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

CLAUDE: Final = "anthropic"
BEDROCK: Final = "bedrock"


class Family(NamedTuple):
    """A family of models.

    `pattern`: in their ids, also of inference profiles and ARNs. `vendor`: whose seals it makes and takes. `caches`:
    whether it takes cache points, and where; `has_hour`: whether one may last for an hour. `top_k`: where its own
    members have top_k. `reasoning`: how thinking is asked for.
    """

    pattern: str
    vendor: str = BEDROCK
    caches: frozenset[str] = frozenset()
    has_hour: bool = False
    top_k: tuple[str, ...] = ()
    reasoning: Literal["claude", "nova", "effort", "none"] = "none"


FAMILIES: Final = (
    Family(
        r"anthropic\.|claude", CLAUDE, frozenset({"tools", "system", "messages"}), True, ("top_k",), reasoning="claude"
    ),
    Family(
        r"amazon\.nova-2",
        caches=frozenset({"system", "messages"}),
        top_k=("inferenceConfig", "topK"),
        reasoning="nova",
    ),
    Family(r"amazon\.nova", caches=frozenset({"system", "messages"}), top_k=("inferenceConfig", "topK")),
    Family(r"openai\.", reasoning="effort"),
    Family(r"mistral\.", top_k=("top_k",)),
    Family(r"cohere\.", top_k=("k",)),
    Family(r""),
)
"""The first row whose pattern is in the id of the model."""
_COMPILED: Final = tuple((re.compile(row.pattern), row) for row in FAMILIES)


def family(model: str) -> Family:
    """The row for a model: by its id, that of an inference profile, or an ARN, escaped or not."""
    model = model.lower()
    return next(row for pattern, row in _COMPILED if pattern.search(model))
