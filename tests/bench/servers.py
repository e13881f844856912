"""The processes a measurement needs: an nginx that plays the provider, and mitmdump with and without the addon.

Each is a context manager that gives its port, listens on loopback only, and ends the process it started.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

TASK_ID = "831234567890123456"
ANSWER = (
    '{"code":0,"message":"SUCCEED","request_id":"CjMT7WdSwWcAAAAAALvB3g",'
    f'"data":{{"task_id":"{TASK_ID}","task_status":"submitted","task_info":{{}},'
    '"created_at":1722769557708,"updated_at":1722769557708}}'
)

# The front server holds each body in memory until it is whole and then asks the back server, without the body, for the
# answer: a server that answers at once need not read what it is sent.
NGINX_CONF = """\
daemon off;
master_process off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    client_max_body_size 64m;
    client_body_buffer_size 32m;
    keepalive_requests 100000000;
    upstream back {{
        server 127.0.0.1:{back};
        keepalive 16;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_method GET;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            add_header X-Asked-For $request_uri;
        }}
    }}
    server {{
        listen 127.0.0.1:{back};
        location / {{
            default_type application/json;
            return 200 '{answer}';
        }}
    }}
}}
"""

ADDON_CONFIG = """\
provider:
  type: kling
  klingAccessKey: bench-access-key-0123456789abcdef
  klingSecretKey: bench-secret-key-0123456789abcdef
  providerDomain: http://127.0.0.1:{port}
"""

START_SECONDS = 30.0
STOP_SECONDS = 5.0


class BenchError(Exception):
    """The measurement cannot be made; the text says why."""


def tool(name: str) -> str | None:
    """The path of a program, also where only root looks by default."""
    folders = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=os.pathsep.join([folders, "/usr/local/sbin", "/usr/sbin", "/sbin"]))


@contextmanager
def provider(folder: Path) -> Iterator[int]:
    """An nginx that answers every request like Kling, once it has read all of it."""
    front, back = free_ports(2)
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, front=front, back=back, answer=ANSWER))
    command = [str(tool("nginx")), "-p", str(folder), "-c", str(conf)]
    with running("nginx", command, front, folder):
        yield front


@contextmanager
def mitmdump(folder: Path, upstream: int, script: Path | None) -> Iterator[int]:
    """mitmdump before the provider, with the addon if a script is given."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("mitmdump")), "-q"]
    if script is not None:
        config = folder / "config.yaml"
        config.write_text(ADDON_CONFIG.format(port=upstream))
        command += ["-s", str(script), "--set", f"ai_config={config}"]
    command += ["--mode", f"reverse:http://127.0.0.1:{upstream}", "--set", "connection_strategy=lazy"]
    command += ["--set", f"confdir={folder / 'confdir'}", "--listen-host", "127.0.0.1", "-p", str(port)]
    with running("mitmdump with the addon" if script else "mitmdump", command, port, folder):
        yield port


@contextmanager
def running(name: str, command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """A process from the moment it answers HTTP on its port until the end of the block."""
    log = folder / (name.replace(" ", "-") + ".out")
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
        stack.callback(stop, process)
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            if process.poll() is not None:
                raise BenchError(f"{name} ended with status {process.returncode}:\n{log.read_text()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{name} did not answer within {START_SECONDS:.0f} s:\n{log.read_text()}")
            time.sleep(0.05)
        yield


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process of ours, by force if it does not listen."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """Whether an HTTP server is there, whatever it says: a port is open before a mitmdump that fails to start ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(int(sock.getsockname()[1]))
        return ports
