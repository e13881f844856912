"""Access to the proxy: which clients may use it, since their requests spend the user's money."""

from __future__ import annotations

import functools
import ipaddress

from mitmproxy import ctx, http

from ..errors import Refusal
from ..exchange import Caller
from ..wire.targets import Origin


def refuse_strangers(flow: http.HTTPFlow, caller: Caller) -> None:
    """Raise Refusal (403) for pages of other sites, and for other machines unless a listening address is set."""
    mode = flow.client_conn.proxy_mode
    if mode.type_name in ("reverse", "regular", "upstream"):
        peer = flow.client_conn.peername
        elsewhere = bool(peer) and not _is_loopback(peer[0])
        if elsewhere and not (mode.custom_listen_host or ctx.options.listen_host):
            raise Refusal(
                403,
                "ai-proxy serves other machines only when it is told so: start it with --listen-host ADDRESS.",
                code="not_local",
            )
    if mode.type_name == "reverse" and caller.fetch_site == "cross-site":
        raise Refusal(403, "ai-proxy does not serve pages of other sites.", code="cross_site")


def client_origin(flow: http.HTTPFlow) -> str:
    """The origin that the client sent its request to: the proxy's in reverse mode, else the one it asked for."""
    client = flow.client_conn
    scheme = "https" if client.tls_established else "http"
    if client.proxy_mode.type_name != "reverse":
        return str(Origin(scheme, flow.request.pretty_host, flow.request.port))
    # In reverse mode mitmproxy replaces the Host header by its target.
    host, port = client.sockname[:2] if client.sockname else ("127.0.0.1", 8080)
    return str(Origin(scheme, host.partition("%")[0], port))


@functools.lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
