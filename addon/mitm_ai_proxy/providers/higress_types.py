"""What is said of files of the Higress ai-proxy plugin, all of whose types are here, and of types that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..config.keys import Problem


def flow(keys: Mapping[str, object]) -> str:
    """Keys as they are written in one line of YAML, without the braces."""
    return ", ".join(
        f"{key}: {{{flow(value)}}}" if isinstance(value, Mapping) else f"{key}: {value}" for key, value in keys.items()
    )


_IN_A_RESOURCE: Final = (
    "this is a resource of Kubernetes; the file is what stands in its spec.defaultConfig, or in the config of a rule:"
    " provider:, or providers: with activeProviderId:"
)
ANYTHING_ELSE: Final = (
    "a service with OpenAI's API is type: openai with baseUrl, any other HTTP API is type: generic with providerDomain"
)


def problem(document: Mapping[Any, Any]) -> Problem | None:
    """The complaint about a whole resource with the plugin's configuration in it; None for any other file."""
    is_resource = "apiVersion" in document and "spec" in document and "provider" not in document
    return Problem("spec", _IN_A_RESOURCE) if is_resource else None
