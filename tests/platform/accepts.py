"""How many creates one API process accepts over HTTP: `python -m tests.platform.accepts [sqlite|postgres] [redis]`.

The load comes from a process of its own; what counts is the processor time of the API process alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.platform.servers import Postgres, Redis, until

CONNECTIONS: Final = 64
SECONDS: Final = 8.0
BODY: Final = b'{"prompt": "a cat on a skateboard", "model": "kling-v3", "duration": 5, "mode": "standard"}'
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def load(port: int, seconds: float = SECONDS, connections: int = CONNECTIONS) -> list[float]:
    """The seconds that each create took, of so many clients that each send one after the other."""
    request = (
        f"POST /api/videos HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    took: list[float] = []
    ends_at = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < ends_at:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert head.startswith(b"HTTP/1.1 202"), head
            assert length
            await reader.readexactly(int(length[1]))
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return took


def processor_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(*words: str) -> str:
    """Start an API process and its servers, send creates for some seconds; a line of what was measured."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ai-proxy-accepts-"))
        environment = {**os.environ, "PLATFORM_DATA": folder}
        if "postgres" in words:
            server = Postgres()
            stack.callback(server.close)
            environment["DATABASE_URL"] = server.url
        if "redis" in words:
            redis = Redis()
            stack.callback(redis.close)
            environment["REDIS_URL"] = redis.url
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "mitm_ai_proxy.commands.main", "platform", "api", "--port", "0"]
        with log.open("wb") as output:
            api = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        stack.callback(api.wait)
        stack.callback(api.send_signal, signal.SIGTERM)
        until(lambda: b"http://127.0.0.1:" in log.read_bytes())
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
        assert found
        port = int(found[1])
        asyncio.run(load(port, 1.0))
        before, began = processor_seconds(api.pid), time.perf_counter()
        took = asyncio.run(load(port))
        wall, used = time.perf_counter() - began, processor_seconds(api.pid) - before
    name = " ".join(words) or "sqlite"
    slowest = sorted(took)[len(took) * 99 // 100]
    return (
        f"{name}: {len(took)} accepted, {len(took) / wall:.0f}/s, {len(took) / used:.0f} per second of processor time"
        f" ({used:.1f} s in {wall:.1f} s); median {statistics.median(took) * 1000:.0f} ms, 99 % {slowest * 1000:.0f} ms"
    )


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))
