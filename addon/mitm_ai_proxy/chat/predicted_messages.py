"""Anthropic's Messages through Vertex AI's rawPredict and streamRawPredict: requests and answers are Anthropic's own.

Sources: Anthropic's documentation, Claude on Vertex AI; its SDK for Python (AnthropicVertex).
"""

from __future__ import annotations

from typing import Final

from ..errors import bad_body
from ..exchange import Answer, Handling, Whole
from ..wire import json_edit, json_tree
from ..wire.request_body import object_members, without_mark
from . import json_values, vendor_errors
from .dialects import ANTHROPIC

VERSION: Final = "vertex-2023-10-16"
"""That of bodies as Anthropic's API version 2023-06-01 has them. Later versions have the same name at Vertex."""
_FIRST: Final = "2023-06-01"
_MAX_TOKENS: Final = b"4096"
BETAS: Final = frozenset(
    "claude-code-20250219 computer-use-2025-01-24 computer-use-2025-11-24 context-1m-2025-08-07"
    " context-management-2025-06-27 effort-2025-11-24 fine-grained-tool-streaming-2025-05-14"
    " interleaved-thinking-2025-05-14 output-128k-2025-02-19 token-efficient-tools-2025-02-19"
    " tool-search-tool-2025-10-19 tool-examples-2025-10-29 web-search-2025-03-05 compact-2026-01-12".split()
)
"""The betas that Vertex knows. It refuses a request with another one."""
_NEEDS_BETA: Final = {"context_management": "context-management-2025-06-27"}


def version(of_client: str) -> str:
    """The anthropic_version of a body that was written for a version of Anthropic's API; "" for none."""
    return of_client if of_client > _FIRST else VERSION


def known_betas(told: str) -> tuple[str, tuple[str, ...]]:
    """The betas of a header field that Vertex knows, and a note on the others."""
    asked = [beta.strip() for beta in told.split(",") if beta.strip()]
    unknown = [beta for beta in asked if beta not in BETAS]
    notes = (f"betas that Vertex AI does not know left out: {', '.join(unknown)[:200]}",) if unknown else ()
    return ",".join(beta for beta in asked if beta in BETAS), notes


def request(body: bytes, of_client: str, betas: str, counted: str = "") -> tuple[bytes, tuple[str, ...]]:
    """The body for rawPredict, of which the path tells the model, and notes.

    `of_client`: the version that the client names. `betas`: those that are sent. `counted`: the model where tokens are
    counted, as the body tells it there. All other members stay to the byte. Raises Refusal (400).
    """
    body = without_mark(body)
    notes = []
    try:
        root = json_tree.parsed(body, object_members(body))
        if counted:
            root.put_path(("model",), json_edit.string(counted))
        else:
            root.remove("model")
            root.put_path(("max_tokens",), _MAX_TOKENS, overwrite=False)
        root.put_path(("anthropic_version",), json_edit.string(version(of_client)), overwrite=False)
        for name, beta in _NEEDS_BETA.items():
            if root.get(name) is not None and beta not in betas:
                root.remove(name)
                notes.append(f"{name} left out: it needs the beta {beta}")
        return root.written(), tuple(notes)
    except json_edit.JSONError as error:
        raise bad_body(f"The request body {error}.") from None


def errors_of(status: int, inner: Handling) -> Handling:
    """What is done with an answer: an error of Google's, such as of the credential, becomes one of Anthropic's."""
    return inner if 200 <= status < 300 else Whole(_written)


def _written(answer: Answer) -> Answer:
    try:
        document = json_values.decode(answer.body)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("type") == "error":
        return answer
    fault = vendor_errors.read(answer.body, answer.status)
    return vendor_errors.answer(fault, ANTHROPIC, vendor_errors.retry_headers(answer.body))
