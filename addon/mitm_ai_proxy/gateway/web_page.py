"""mitmweb's page: room for the comments in its list, and a word on a mitmweb that asks for no password.

Tried with mitmproxy 11.0.2 and 12.3; a page that looks different stays as it is.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from mitmproxy import ctx

logger = logging.getLogger(__name__)

_APP: Final = "mitmproxy.tools.web.app"
_OURS: Final = "ai_proxy_page"
_HEAD: Final = b"</head>"
_PAGE: Final = b'<div id="mitmproxy">'
# What no column of the list takes is the comment's. Long lines of a conversation are broken.
_STYLE: Final = (
    ".flow-table .col-path{width:18%}.flow-table .col-comment{width:auto}.flow-table td.col-comment{text-align:left}"
    ".contentview pre,.contentview pre div,.contentview pre .text"
    "{white-space:pre-wrap;overflow-wrap:anywhere;word-break:normal}"
)
OPEN: Final = (
    "this version of mitmweb asks for no password: whoever reaches its port reads all traffic. "
    "mitmproxy 12, which asks for one, needs Python 3.12 or later (PYTHON=python3.13 ./run.sh web)."
)
_BANNER: Final = (
    "body{display:flex;flex-direction:column}#mitmproxy{flex:1;min-height:0;height:auto}"
    'body::before{content:"%s";padding:4px 8px;color:#000;background:#fc6}'
) % (OPEN[0].upper() + OPEN[1:])


def has_password() -> bool:
    """Whether this mitmweb asks for a password; mitmproxy 11.1.2 was the first to do so."""
    return "web_password" in ctx.options


def change() -> None:
    """Give mitmweb's page our style, and warn of one without a password; nothing happens in other tools."""
    app: Any = getattr(ctx.master, "app", None)
    if _APP not in sys.modules or app is None:
        return
    put_back()
    style = _STYLE if has_password() else _STYLE + _BANNER
    if isinstance(transforms := getattr(app, "transforms", None), list):
        transforms.insert(0, _transform(f"<style>{style}</style>".encode()))
    if not has_password():
        logger.warning("ai-proxy: %s", OPEN)


def put_back() -> None:
    """Give mitmweb its own page again."""
    transforms = getattr(getattr(ctx.master, "app", None), "transforms", None)
    if isinstance(transforms, list):
        transforms[:] = [one for one in transforms if not hasattr(one, _OURS)]


def _transform(style: bytes) -> type[Any]:
    # Only here: it takes a while, and mitmweb has it.
    from tornado.httputil import HTTPHeaders, HTTPServerRequest
    from tornado.web import OutputTransform

    class Styled(OutputTransform):
        """Puts a style into the page, and leaves all other answers as they are."""

        ai_proxy_page = True

        def __init__(self, request: HTTPServerRequest) -> None:
            self._is_page = request.path == "/"
            if self._is_page:
                # A browser may know the page from a mitmweb without the style: both have the same name.
                request.headers.pop("If-None-Match", None)

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            if self._is_page and finishing and _PAGE in chunk:
                chunk = chunk.replace(_HEAD, style + _HEAD, 1)
                headers["Content-Length"] = str(len(chunk))
            return status_code, headers, chunk

    return Styled
