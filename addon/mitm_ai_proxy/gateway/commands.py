"""mitmproxy's commands ai.explain, ai.curl, ai.token, ai.tasks and ai.reload, for the console and mitmweb.

What they print is logged as well: mitmdump has no other place for it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeAlias

from mitmproxy import command, exceptions, flow, http, types
from mitmproxy.addonmanager import Loader

from .. import apis, pipeline
from ..auth.header import is_secret_field
from ..config.file import ConfigurationError
from ..errors import Refusal
from ..exchange import Head
from ..providers.base import Provider
from ..view import explain, jobs, tokens
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.printable import printable
from . import content_view, flows
from .configuration_changes import changes
from .configured import Configured
from .stages import StageError

logger = logging.getLogger(__name__)

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_NOTHING: Final = "there is no configuration, so that nothing is rewritten"
_SUGGESTED: Final = ("ai.explain.paths",)
"""Commands whose values complete an argument that may be another text."""
_LONGEST: Final = 60
"""Characters of a value in an error."""
_MOST: Final = 40
"""Values in an error."""
_P = ParamSpec("_P")


_Run: TypeAlias = Callable[_P, Sequence[str]]


def _command(path: str, is_logged: bool = True, /, **choices: str) -> Callable[[_Run[_P]], _Run[_P]]:
    """Make a method a command of mitmproxy's. `choices`: by a parameter, the command that says what completes it."""
    of_mitmproxy: Any = command

    def decorate(run: _Run[_P]) -> _Run[_P]:
        @functools.wraps(run)
        def said(*arguments: _P.args, **named: _P.kwargs) -> Sequence[str]:
            lines = run(*arguments, **named)
            if is_logged:
                logger.info("ai-proxy: %s", "\n  ".join(lines))
            return lines

        made: Any = said
        for parameter, options in choices.items():
            kind = _Suggestion if options in _SUGGESTED else _Choice
            made = of_mitmproxy.argument(parameter, type=kind(options))(made)
        decorated: _Run[_P] = of_mitmproxy.command(path)(made)
        return decorated

    return decorate


class _Choice(types.Choice):
    """One of the values that a command of mitmproxy's gives; what is wrong is told by naming them."""


class _Suggestion(types.Choice):
    """Any text; what a command gives completes it."""


class _ChoiceType(types._ChoiceType):
    typ = _Choice

    def parse(self, manager: Any, t: Any, s: str) -> str:
        """The text, if it is one of the values."""
        found = manager.execute(t.options_command)
        if s not in found:
            shown = [printable(one[:_LONGEST]) for one in found[:_MOST]]
            raise ValueError(f"'{printable(s[:_LONGEST])}' is none of {', '.join(shown)}")
        return s


class _SuggestionType(types._ChoiceType):
    typ = _Suggestion

    def parse(self, manager: Any, t: Any, s: str) -> str:
        """The text."""
        return s

    def is_valid(self, manager: Any, typ: Any, val: Any) -> bool:
        """Whether it is a text."""
        return isinstance(val, str)


types.CommandTypes.typemap.update({kind.typ: kind() for kind in (_ChoiceType, _SuggestionType)})


class Commands:
    """The commands. `gateway` is the addon whose configuration they use."""

    name = "ai_proxy_commands"

    def __init__(self, gateway: Configured) -> None:
        self._gateway = gateway
        self._jobs = jobs.Jobs()

    def load(self, _: Loader) -> None:
        """Have the content view say what jobs have been so far."""
        content_view.tell_jobs(self._jobs)

    def response(self, flow: http.HTTPFlow) -> None:
        """Hear of jobs: this addon stands behind the gateway, so that answers are those that clients get."""
        try:
            self._hear(flow)
        except Exception as error:
            logger.warning("ai-proxy: %s tells of no job: %s", flows.describe(flow), type(error).__name__)

    def _hear(self, flow: http.HTTPFlow) -> None:
        response = flow.response
        if response is None or not response.raw_content or not 200 <= response.status_code < 300:
            return
        if not jobs.is_job(flows.client_path(flow)):
            return
        if header_fields.value(response.headers.fields, b"content-type").startswith("application/json"):
            request = flows.client_request(flow) or flows.message(flow.request)
            self._jobs.hear(request, response.get_content(strict=False) or b"", time.time())

    @_command("ai.explain")
    def explain(self, flows: Sequence[flow.Flow]) -> Sequence[str]:
        """Say what becomes of the requests of flows: the upstream request and the reasons, or the answer given here.

        Nothing is sent.
        """
        found: list[str] = []
        for one in _of_http(flows):
            found += ["", *self._explained(*_client(one))] if found else self._explained(*_client(one))
        return found

    @_command("ai.explain.request", method="ai.explain.methods", path="ai.explain.paths")
    def explain_request(self, method: str, path: str, *body: str) -> Sequence[str]:
        """Say what would become of a request with this method, path and JSON body. Nothing is sent."""
        text = " ".join(body).encode("utf-8", "surrogateescape")
        fields: list[tuple[bytes, bytes]] = [(b"Host", b"127.0.0.1:8080")]
        if text:
            fields += [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(text)).encode())]
        return self._explained(method, path, tuple(fields), text)

    @_command("ai.explain.methods", False)
    def methods(self) -> Sequence[str]:
        """The methods that ai.explain.request completes."""
        return METHODS

    @_command("ai.explain.paths", False)
    def paths(self) -> Sequence[str]:
        """The paths of APIs that ai.explain.request completes."""
        return [*dict.fromkeys(api.path for api in apis.APIS)]

    def _explained(self, method: str, target: str, fields: Fields, body: bytes) -> list[str]:
        providers = self._gateway.providers
        if providers is None:
            return [_NOTHING]
        return explain.lines(explain.explain(providers, method, target, fields, body), body)

    @_command("ai.curl")
    def curl(self, flows: Sequence[flow.Flow]) -> Sequence[str]:
        """Print the upstream requests of flows as lines for curl, with $CREDENTIAL for what is secret."""
        return [self._curl(one) for one in _of_http(flows)]

    def _curl(self, one: http.HTTPFlow) -> str:
        request = one.request
        state = self._gateway.guard.states.get(one)
        secret = state.secret_fields if state else ()
        target = (state.redacted_target if state else "") or request.path
        is_secret = {name for name, _ in request.headers.fields if is_secret_field(name) or name.lower() in secret}
        origin = f"{request.scheme}://{request.host}" + ("" if _is_usual(request) else f":{request.port}")
        body = request.raw_content or b""
        return explain.curl_line(request.method, origin, target, request.headers.fields, body, is_secret)

    @_command("ai.token", provider="ai.token.providers")
    def token(self, provider: str = "all") -> Sequence[str]:
        """Print what the credentials of a provider look like: masked, the claims of a JWT, and how long it is valid."""
        providers = self._gateway.providers
        if providers is None:
            return [_NOTHING]
        names = [*providers.by_id] if provider == "all" else [provider.removesuffix(" (the only one)")]
        found: list[str] = []
        for name in names:
            one = providers.by_id.get(name)
            if one is None:
                raise exceptions.CommandError(f"there is no provider {name}; there are {', '.join(self.providers())}")
            found += _tokens(name, one)
        return found

    @_command("ai.token.providers", False)
    def providers(self) -> Sequence[str]:
        """The providers of which ai.token prints the credentials."""
        providers = self._gateway.providers
        return ["all", *(name for name in providers.by_id if name)] if providers else ["all"]

    @_command("ai.tasks", state="ai.tasks.states")
    def tasks(self, state: str = "all") -> Sequence[str]:
        """Print the jobs that answers have told of: state, progress, age, model and units."""
        return jobs.lines(self._jobs, time.time(), state) or ["no job was seen"]

    @_command("ai.tasks.states", False)
    def states(self) -> Sequence[str]:
        """The states of the jobs that ai.tasks prints."""
        return ["all", *dict.fromkeys(job.state for job in self._jobs)]

    @_command("ai.reload")
    def reload(self) -> Sequence[str]:
        """Read the configuration again, and say what has changed, or why it is refused; then the old one stays."""
        before = self._gateway.configuration
        try:
            self._gateway.reload()
        except (ConfigurationError, StageError) as error:
            kept = "the old configuration stays" if before else "nothing is forwarded"
            raise exceptions.CommandError(f"{error} ({kept})") from None
        after = self._gateway.configuration
        assert after
        if before is None:
            return [f"{after.source} is in use"]
        return [f"{after.source}: {line}" for line in changes(before, after) or ["nothing has changed"]]


def _of_http(found: Sequence[flow.Flow]) -> list[http.HTTPFlow]:
    kept = [one for one in found if isinstance(one, http.HTTPFlow)]
    if not kept:
        raise exceptions.CommandError("there is no HTTP flow among these")
    return kept


def _client(one: http.HTTPFlow) -> tuple[str, str, Fields, bytes]:
    """Method, target, header fields and body of the request as its client sent it, as far as they are kept."""
    request, client = one.request, flows.client_request(one)
    fields = request.headers.fields
    if client is None:
        return request.method, request.path, fields, request.raw_content or b""
    if not client.is_whole:
        raise exceptions.CommandError(f"the body of {flows.describe(one)} was too long to be kept with its flow")
    own = ((b"Content-Type", client.headers["content-type"].encode()),) if client.headers.get("content-type") else ()
    # Those of the upstream request, as far as they are the client's: content type and length are not.
    fields = tuple(field for field in fields if field[0].lower() not in (b"content-type", b"content-length"))
    return client.method, client.path, (*fields, *own), client.body


def _is_usual(request: http.Request) -> bool:
    return request.port == {"http": 80, "https": 443}.get(request.scheme)


def _tokens(name: str, provider: Provider) -> list[str]:
    """The credentials of a provider, in lines."""
    title = f"{name} ({provider.type})" if name else provider.type
    found = [f"{title} at {provider.origin}:"]
    if not provider.has_credential:
        return [f"{found[0]} no credential is configured; that of the client is sent on"]
    upstream = pipeline.linked(provider, Head("GET", "/"), "/")
    for token in provider.tokens or (provider.token(()),):
        try:
            credential = provider.credential(upstream, token)
        except Refusal as refusal:
            found.append(f"  {refusal.message}")
            continue
        for field, value in credential.fields.items():
            first, *more = tokens.lines(value.decode("utf-8", "replace"), time.time())
            found += [f"  {field.decode()}: {first}", *(f"  {line}" for line in more)]
        for part in filter(None, credential.query.split("&")):
            parameter, _, secret = part.partition("=")
            found.append(f"  ?{parameter}={tokens.masked(secret)}")
    return found
