"""The paths of the account: what is left of its packs, and what tasks have cost."""

from __future__ import annotations

import threading
from typing import Final

from flask import Response, request

from .json_http import body_of, ok
from .kling_error import KlingError, bad_parameter
from .media import video
from .tasks import SUCCEED, Store

COSTS_INTERVAL: Final = 1.0
"""Least seconds between two calls of /account/costs."""


class AccountViews:
    """What answers them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._costs_asked = -COSTS_INTERVAL
        self._lock = threading.Lock()

    def costs(self) -> Response:
        """The packs of the account, once in COSTS_INTERVAL."""
        for name in ("start_time", "end_time"):
            value = request.args.get(name, "")
            if not value:
                raise KlingError(1200)
            if not (value.isascii() and value.isdigit()):
                raise bad_parameter(f"{name} value '{value[:100]}' is invalid")
        now = self._store.now()
        with self._lock:
            if abs(now - self._costs_asked) < COSTS_INTERVAL:
                raise KlingError(1302)
            self._costs_asked = now
        packs = (("Video", "video", self._store.settings.units), ("Image", "image", self._store.settings.image_units))
        rows = [
            {
                "resource_pack_name": f"Simulated-{shown}-{total:g}Units-{self._store.settings.concurrency}Con",
                "resource_pack_id": f"simulated-{pack}",
                "resource_pack_type": "decreasing_total",
                "total_quantity": total,
                "remaining_quantity": self._store.remaining(pack),
                "purchase_time": 0,
                "effective_time": 0,
                "invalid_time": int(now * 1000) + 30 * 86400 * 1000,
                "status": "online" if self._store.remaining(pack) > 0 else "runOut",
            }
            for shown, pack, total in packs
        ]
        return ok({"code": 0, "msg": "SUCCEED", "resource_pack_subscribe_infos": rows})

    def billing(self) -> Response:
        """What each task has cost."""
        body_of(request)
        now = self._store.now()
        rows = [
            {
                "task_id": task.task_id,
                "product_function": task.family,
                "model_name": task.order.model,
                "resolution": task.order.mode,
                "duration": video.duration(task.order.seconds),
                "deduction_time": int(task.ends * 1000),
                "amount": f"{task.units:g}",
            }
            for task in self._store.list_tasks()
            if task.status(now) == SUCCEED
        ]
        return ok({"result": rows, "next_cursor": "", "has_more": False})
