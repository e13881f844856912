"""Access to the proxy: which clients may use it, since their requests spend the user's money."""

from __future__ import annotations

from typing import Any, Final

from mitmproxy import ctx, http
from mitmproxy.proxy import mode_specs

from .. import errors
from ..edges import pages
from ..edges.pages import NO_RULES, Address, Rules, is_loopback
from ..exchange import Caller
from ..wire.targets import Origin
from . import streams
from .flows import FlowState

_OWN_CLIENTS: Final = frozenset(("wireguard", "local", "osproxy", "tun"))
"""Modes whose clients are on this machine or have a key, though their addresses are not loopback."""


def refuse_strangers(flow: http.HTTPFlow, caller: Caller, rules: Rules = NO_RULES) -> None:
    """Raise Refusal (403) for pages of other sites, and for other machines unless a listening address is set."""
    mode = flow.client_conn.proxy_mode
    peer = flow.client_conn.peername
    is_elsewhere = bool(peer) and not is_loopback(peer[0]) and mode.type_name not in _OWN_CLIENTS
    if is_elsewhere and not (mode.custom_listen_host or ctx.options.listen_host):
        raise errors.not_local()
    if (caller.origin or caller.fetch_site) and not pages.may_come(caller, rules, _addresses(flow, rules)):
        raise errors.cross_site()
    if not pages.is_name_of(caller.host, rules.hosts) and _is_asked_by_wrong_name(flow, caller, rules):
        raise errors.unknown_name()


def answer_preflight(flow: http.HTTPFlow, state: FlowState) -> None:
    """Answer a page that asks whether it may send a request. Raises Refusal (403) unless it is an allowed one."""
    if not state.page:
        raise errors.page_not_allowed()
    flow.response = http.Response.make(204)
    flow.response.headers.fields = pages.preflight(state.head.fields, state.page)
    state.note(f"answered here: pages of {state.page} may use the proxy")
    streams.hold_request(flow)


def _is_asked_by_wrong_name(flow: http.HTTPFlow, caller: Caller, rules: Rules) -> bool:
    """Whether a request with a Host that is none of the names in the rules is refused: it may be DNS rebinding.

    In reverse mode only clients that arrived at a loopback address are checked.
    """
    client, mode = flow.client_conn, flow.client_conn.proxy_mode
    others = {mode.custom_listen_host, ctx.options.listen_host}
    if isinstance(mode, mode_specs.ReverseMode):
        if client.sockname and not is_loopback(client.sockname[0]):
            # Other machines have names for this one that nobody told us.
            return False
        # Which another addon may have put in the place of the client's.
        others.add(mode.address[0])
    return not pages.is_name_of(caller.host, rules.hosts | {name.lower() for name in others if name})


def _addresses(flow: http.HTTPFlow, rules: Rules) -> frozenset[Address]:
    """The proxy's own: where this client came to, what it was told to listen at, and what `publicUrl` says."""
    client = flow.client_conn
    host, port = client.sockname[:2] if client.sockname else ("127.0.0.1", 8080)
    hosts = {host.partition("%")[0], client.proxy_mode.custom_listen_host, ctx.options.listen_host}
    if client.proxy_mode.type_name == "transparent":
        # What was redirected keeps its destination, which is not here.
        hosts.discard(host.partition("%")[0])
    return rules.public | {(own.lower(), port) for own in hosts if own}


def keep_host() -> None:
    """Have mitmproxy leave the client's Host header as it came, also in reverse mode, so that it can be judged."""
    options: Any = ctx.options
    modes = [mode_specs.ProxyMode.parse(mode) for mode in options.mode]
    if not options.keep_host_header and any(isinstance(mode, mode_specs.ReverseMode) for mode in modes):
        options.update(keep_host_header=True)


def keep_server_name(flow: http.HTTPFlow) -> None:
    """Undo what keep_host does besides: a TLS client's server name would go to the target of reverse mode."""
    mode = flow.client_conn.proxy_mode
    if flow.client_conn.sni and isinstance(mode, mode_specs.ReverseMode):
        flow.server_conn.sni = mode.address[0]


def client_origin(flow: http.HTTPFlow) -> str:
    """The origin that the client sent its request to: the proxy's in reverse mode, else the one it asked for."""
    client = flow.client_conn
    scheme = "https" if client.tls_established else "http"
    if client.proxy_mode.type_name != "reverse":
        return str(Origin(scheme, flow.request.pretty_host, flow.request.port))
    # In reverse mode mitmproxy replaces the Host header by its target.
    host, port = client.sockname[:2] if client.sockname else ("127.0.0.1", 8080)
    return str(Origin(scheme, host.partition("%")[0], port))


def own_origin() -> Origin:
    """The origin at which the proxy listens; 127.0.0.1 stands for all addresses."""
    proxyserver: Any = ctx.master.addons.get("proxyserver")
    addresses = proxyserver.listen_addrs() if proxyserver else []
    host, port = addresses[0][:2] if addresses else ("127.0.0.1", ctx.options.listen_port or 8080)
    return Origin("http", "127.0.0.1" if host in ("", "0.0.0.0", "::") else host, port)  # noqa: S104 - compared only
