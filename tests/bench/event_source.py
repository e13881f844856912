"""A provider of OpenAI's chat API that streams: started with a port, in a process of its own.

The model `events-COUNT-GAP` says how many events are sent, and how many microseconds apart; each holds its time.
"""

from __future__ import annotations

import http.server
import json
import sys
import time

_CHUNK = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1722769557, "model": "bench"}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        _, count, gap = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"].split("-")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for _ in range(int(count)):
            self._send({"content": str(time.monotonic_ns())})
            if int(gap):
                time.sleep(int(gap) / 1e6)
        self._send({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, delta: dict[str, str], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self.wfile.write(b"data: %b\n\n" % json.dumps({**_CHUNK, "choices": [choice]}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
