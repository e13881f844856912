"""What a client is told when its request is refused, in its own dialect (OpenAI's error object).

Only refusals live here; what is wrong with a configuration is said by config.py.
"""

from __future__ import annotations

import json


class Refusal(Exception):
    """A request that must not be forwarded, and the answer its client gets instead.

    `message` is for the person who reads it and never holds a secret; `code` is a stable word for programs;
    `param` names the field or header that is wrong.
    """

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    @property
    def type(self) -> str:
        """The `type` of OpenAI's error object for this status."""
        if self.status >= 500:
            return "server_error"
        return "permission_error" if self.status == 403 else "invalid_request_error"

    def body(self) -> bytes:
        """The answer's JSON: `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


def bad_body(message: str, *, param: str | None = None) -> Refusal:
    """400 for a request body that cannot be rewritten with certainty."""
    return Refusal(400, message, code="invalid_body", param=param)


def bad_path(message: str, *, param: str | None = None) -> Refusal:
    """400 for a path, or an id in it, that must not reach a provider."""
    return Refusal(400, message, code="invalid_path", param=param)


def unsupported_api(provider: str, api: str, has: list[str], why: str = "") -> Refusal:
    """404 for an API that is known, but that this provider does not have; `has` lists what it does have."""
    listing = ", ".join(has) if has else "no API of this kind"
    return Refusal(404, f"{provider} has no {api}. {why and f'{why} '}It has: {listing}.", code="unsupported_api")


def internal_error() -> Refusal:
    """500 when our own code failed; what happened is in the log, not in the answer."""
    return Refusal(
        500,
        "ai-proxy failed while rewriting this request, so it was not forwarded. Its log says where.",
        code="proxy_error",
    )


def not_rewritten() -> Refusal:
    """503 when the addon did not get to see a request, or another addon changed where it goes."""
    return Refusal(
        503,
        "ai-proxy could not rewrite this request completely, so it was not forwarded. mitmproxy's log says why.",
        code="proxy_not_ready",
    )


def not_ready() -> Refusal:
    """503 when the addon is not loaded or has no valid configuration."""
    return Refusal(
        503,
        "ai-proxy has no valid configuration at the moment, so nothing is forwarded. Its log says why.",
        code="proxy_not_ready",
    )
