"""Refusals: the reasons why a request is not forwarded. The body of the answer is written by chat/dialects.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Refusal(Exception):
    """A request that must not be forwarded, with the error that its client gets.

    `status` is the HTTP status, `message` is for a person and holds no secret, `code` is stable, for programs,
    `param` names the wrong field or header. `headers` are further header fields of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers


def bad_body(message: str, *, param: str | None = None) -> Refusal:
    """400 for a request body that cannot be rewritten with certainty."""
    return Refusal(400, message, code="invalid_body", param=param)


def bad_path(message: str, *, param: str | None = None) -> Refusal:
    """400 for a path, or an id in it, that must not reach a provider."""
    return Refusal(400, message, code="invalid_path", param=param)


def bad_head(message: str, *, param: str | None = None) -> Refusal:
    """400 for a method, a target or a header field that an upstream could read as something else."""
    return Refusal(400, message, code="invalid_head", param=param)


def head_too_long(most: int) -> Refusal:
    """400 for a head that has no end within so many bytes."""
    return bad_head(f"The head of the request is longer than {most // 1024} KiB: send less in its header fields.")


def unsupported_api(provider: str, api: str, has: list[str], why: str = "") -> Refusal:
    """404 for a known API that this provider does not have; `has` lists those that it has, `why` is a sentence."""
    listing = ", ".join(has) if has else "no API of this kind"
    return Refusal(404, f"{provider} has no {api}. {why and f'{why} '}It has: {listing}.", code="unsupported_api")


def wrong_base_url(api: str, base_url: str) -> Refusal:
    """404 for a path that ends as that of a known API does, but begins in a way that nobody knows."""
    message = f"Nothing is served at this path. If {api} is meant, base_url has to be {base_url}."
    return Refusal(404, message, code="wrong_base_url")


def wrong_method(path: str, methods: Sequence[str], base_url: str) -> Refusal:
    """405 for a known API that is asked with another method than `methods`, which it has."""
    message = f"{path} takes {' and '.join(methods)}, and no other method. Its base_url is {base_url}."
    return Refusal(405, message, code="wrong_method", headers={"Allow": ", ".join(methods)})


def not_local() -> Refusal:
    """403 for a client on another machine where no listening address is set."""
    message = "ai-proxy serves other machines only when it is told so: start it with --listen-host ADDRESS."
    return Refusal(403, message, code="not_local")


def no_client_token() -> Refusal:
    """401 for a client without one of the tokens that the configuration names."""
    return Refusal(
        401,
        "The request has no token of this proxy (clientTokens). Send it as the API key: in Authorization: Bearer,"
        " x-api-key, api-key or x-goog-api-key.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def cross_site() -> Refusal:
    """403 for what a browser sends for a page that is not let in."""
    message = "ai-proxy does not serve pages of other sites. Those that it may serve are in allowedOrigins."
    return Refusal(403, message, code="cross_site")


def unknown_name() -> Refusal:
    """403 for a Host that is none of the proxy's names."""
    return Refusal(
        403,
        "ai-proxy is not known by the name in Host, which may be that of another site. "
        "Use 127.0.0.1, or add the name to hosts.",
        code="cross_site",
    )


def page_not_allowed() -> Refusal:
    """403 for a preflight of a page that is not let in."""
    message = "ai-proxy does not serve this page: its origin is not in allowedOrigins."
    return Refusal(403, message, code="cross_site")


def internal_error() -> Refusal:
    """500 for an exception in the proxy, which is in the log only."""
    return Refusal(
        500,
        "ai-proxy failed while rewriting this request, so it was not forwarded. Its log says where.",
        code="proxy_error",
    )


def not_rewritten() -> Refusal:
    """503 when the addon did not see a request, or another addon changed its destination."""
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


def no_route(asked: str, routes: Sequence[str]) -> Refusal:
    """404 for a request that no route takes, where no provider is active; `routes` are their conditions."""
    message = f"No route takes {asked}, and activeProviderId names no provider for the rest. The routes: "
    return Refusal(404, f"{message}{'; '.join(routes)}.", code="no_route")


def no_such_provider(known: Sequence[str], hint: str) -> Refusal:
    """404 for a list of models of a provider that is not in use; `hint` names the nearest that is."""
    message = f"No provider in use has the id in the parameter provider{hint} (known: {', '.join(known)})."
    return Refusal(404, message, code="no_route", param="provider")


def not_simulated(provider: str, able: str) -> Refusal:
    """501 for a request that the simulator cannot answer, while nothing may be sent. `able`: what it has of these."""
    return Refusal(
        501,
        f"ai_simulate is set, and of {provider} the simulator has {able or 'nothing'}, not this. Nothing was sent.",
        code="not_simulated",
    )


def provider_changed() -> Refusal:
    """400 for a replayed flow that was rewritten for another provider."""
    return Refusal(
        400,
        "This flow was rewritten for another provider than the one that is configured now.",
        code="provider_changed",
    )


def was_not_sent(word: str) -> Refusal:
    """409 for a replayed flow that was simulated, or answered from a cassette, where the request would be sent now."""
    return Refusal(
        409,
        f"The request was {word} when it was made, so that it cost nothing; it would be sent now. Have the application"
        f" make it again, or start the proxy as it was then.",
        code="was_not_sent",
    )


def not_sent(status: int, upstream: str, reason: str) -> Refusal:
    """A request that broke off without an answer: `reason` is mitmproxy's. 413 for a body that is too long."""
    if status == 413:
        return Refusal(413, "The request body is longer than this proxy holds.", code="body_too_large")
    if status < 500:
        return bad_head(f"The request is not valid: {reason}")
    return Refusal(status, f"The request to {upstream} failed: {reason}", code="provider_unreachable")


def timed_out(upstream: str, key: str, milliseconds: int, *, is_sent: bool) -> Refusal:
    """504 for an answer, or a connection, that took longer than a key of the configuration says."""
    what = f"No answer from {upstream} has begun" if is_sent else f"There was no connection to {upstream}"
    return Refusal(504, f"{what} within {milliseconds} ms ({key}).", code="provider_timeout")


def no_place_in_line(provider: str, milliseconds: int, seconds: float) -> Refusal:
    """429 for a request that has waited in line as long as it may; after so many seconds there may be room."""
    message = (
        f"The limits that are configured for {provider} are reached, and the request has waited for {milliseconds} ms"
        " (queueTimeout). Send it again later."
    )
    return Refusal(429, message, code="limit_reached", headers={"Retry-After": str(max(1, math.ceil(seconds)))})


def no_access_token(account: str, reason: str) -> Refusal:
    """503 for a request whose provider has no access token at the moment."""
    return Refusal(
        503,
        f"There is no access token for {account}: {reason}. Nothing was sent.",
        code="no_access_token",
        headers={"Retry-After": "1"},
    )


def stopped() -> Refusal:
    """503 for a request that waited when the proxy was stopped."""
    message = "The proxy is being stopped, and this request still waited for its turn. Send it again."
    return Refusal(503, message, code="proxy_stopped", headers={"Retry-After": "1"})


def no_room() -> Refusal:
    """503 for a long body beside others that are held already."""
    return Refusal(
        503,
        "The proxy holds as many long request bodies as it may (ai_held_bodies). Send the request again later.",
        code="no_room",
        headers={"Retry-After": "1"},
    )


def broke_off() -> Refusal:
    """502 for a stream that the provider broke off after it had begun."""
    return Refusal(502, "The provider broke this answer off before its end.", code="answer_broken")


def stream_failed() -> Refusal:
    """502 for a streamed answer whose translation failed after it had begun."""
    return Refusal(
        502,
        "ai-proxy could not translate the rest of this answer, so it ends here. Its log says where.",
        code="stream_failed",
    )
