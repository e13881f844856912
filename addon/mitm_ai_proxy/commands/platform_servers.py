"""The processes of `ai-proxy platform` that listen, but for the gateway: the API, the receiver of callbacks.

They need no mitmproxy, which would be more than half of their memory and of their start.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from ..platform import deployment
from ..platform.parts import Parts
from ..platform.web.app import Application
from ..platform.web.services import Services
from ..platform.web.serving import NotServed, Serving
from .platform_process import CannotStart, ended


def api(path: Path, chosen: argparse.Namespace) -> int:
    """The API and the page."""
    return _serve(path, chosen, "the page and the API are", only_callbacks=False)


def webhook(path: Path, chosen: argparse.Namespace) -> int:
    """The receiver of callbacks."""
    return _serve(path, chosen, "Kling's callbacks are received", only_callbacks=True)


def _serve(path: Path, chosen: argparse.Namespace, what: str, *, only_callbacks: bool) -> int:
    with ended() as has_ended, ExitStack() as stack:
        parts = Parts.open(deployment.read(path, os.environ, data=chosen.data))
        stack.callback(parts.close)
        serving = served(parts, chosen, only_callbacks=only_callbacks)
        serving.start()
        stack.callback(serving.stop)
        print(f"{what} at {serving.origin}", flush=True)
        return has_ended(lambda: serving.has_ended)


def served(parts: Parts, chosen: argparse.Namespace, *, only_callbacks: bool = False) -> Serving:
    """A server for the parts, which is not started. Raises CannotStart."""
    services = Services(parts.store, parts.storage, parts.messages, parts.deployment, parts.clients)
    application = Application(services, only_callbacks=only_callbacks)
    try:
        return Serving(application, chosen.host, chosen.port, stopping=application.close)
    except NotServed as error:
        raise CannotStart(str(error)) from None
