"""The processes of a measurement: what stands for the provider, mitmdump with and without an addon, and serve.

Each is a context manager, which starts a process that listens on loopback only, and stops it.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[2]))
from tests.e2e import certificates

TASK_ID = "831234567890123456"
ANSWER = (
    '{"code":0,"message":"SUCCEED","request_id":"CjMT7WdSwWcAAAAAALvB3g",'
    f'"data":{{"task_id":"{TASK_ID}","task_status":"submitted","task_info":{{}},'
    '"created_at":1722769557708,"updated_at":1722769557708}}'
)

CHAT_ANSWER = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1722769557,"model":"gpt-4o-mini","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"A cat is a small animal."},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":300,"completion_tokens":7,"total_tokens":307}}'
)
CLIENT_KEY = "sk-bench-client-key"

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
    map $http_authorization $whose {{
        "Bearer {client_key}" client;
        default proxy;
    }}
    upstream back {{
        server 127.0.0.1:{back};
        keepalive 16;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{front};
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate "{folder}/server.pem";
        ssl_certificate_key "{folder}/server.pem";
        keepalive_timeout 300;
        location = /v1/files/film/content {{
            default_type video/mp4;
            alias "{folder}/film.mp4";
            add_header X-Asked-For $request_uri;
            add_header X-Key-Of $whose;
        }}
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_method GET;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            add_header X-Asked-For $request_uri;
            add_header X-Key-Of $whose;
        }}
    }}
    server {{
        listen 127.0.0.1:{back};
        location / {{
            default_type application/json;
            return 200 '{answer}';
        }}
        location /v1/chat/ {{
            default_type application/json;
            return 200 '{chat_answer}';
        }}
    }}
}}
"""

KLING_CONFIG = """\
provider:
  type: kling
  klingAccessKey: bench-access-key-0123456789abcdef
  klingSecretKey: bench-secret-key-0123456789abcdef
  providerDomain: {origin}
"""
ORIGINAL_CONFIG = KLING_CONFIG + "  protocol: original\n"
OPENAI_CONFIG = """\
provider:
  type: openai
  apiTokens: [sk-bench-provider-key]
  providerDomain: {origin}
"""
RETRY_CONFIG = """\
provider:
  type: openai
  apiTokens: [sk-bench-provider-key, sk-bench-another-key]
  providerDomain: {origin}
  retryOnFailure: {{enabled: true}}
"""
RELIABLE_CONFIG = (
    RETRY_CONFIG
    + """\
  failover: {{enabled: true}}
  timeout: 60000
  connectTimeout: 5000
  firstByteTimeout: 30000
  concurrency: 50
  rate: {{requestsPerMinute: 10000000}}
"""
)

FILM_SIZE = 64 * 1024 * 1024
START_SECONDS = 30.0
STOP_SECONDS = 5.0


class BenchError(Exception):
    """The measurement cannot be made; the text is the reason."""


class Addon(NamedTuple):
    """A checkout of the addon, with a name for its files and columns."""

    name: str
    checkout: Path

    @property
    def script(self) -> Path:
        return self.checkout / "addon" / "ai_proxy.py"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the checkout's package takes precedence over an installed one."""
        return os.environ | {"PYTHONPATH": str(self.checkout / "addon")}


class Proxy(NamedTuple):
    """A running proxy. `name` is that of its column. `is_gateway`: it rewrites requests, which mitmdump alone does not.

    `is_peer`: it is another project's, which wants `headers` beside those of the request.
    """

    name: str
    port: int
    pid: int
    is_gateway: bool = True
    is_peer: bool = False
    headers: Mapping[str, str] = MappingProxyType({})


class Upstream(NamedTuple):
    """What stands for the provider. `authority`: the certificate of who has signed for it, where it speaks TLS."""

    port: int
    authority: Path | None = None

    @property
    def origin(self) -> str:
        return f"http{'s' if self.authority else ''}://127.0.0.1:{self.port}"


class Providers(NamedTuple):
    """The upstreams of all rows: over TCP, over TLS, and one that streams events."""

    plain: Upstream
    tls: Upstream
    events: Upstream


def tool(name: str) -> str | None:
    """The path of a program, also where only root looks by default."""
    folders = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=os.pathsep.join([folders, "/usr/local/sbin", "/usr/sbin", "/sbin"]))


@contextmanager
def providers(folder: Path) -> Iterator[Providers]:
    """Run what stands for providers.

    An nginx answers each request like Kling or a chat API, once it has read all of it, and has a film of 64 MB;
    event_source.py streams.
    """
    front, tls, back, source = free_ports(4)
    authority, _ = certificates.make(folder, "localhost")
    with (folder / "film.mp4").open("wb") as film:
        film.truncate(FILM_SIZE)
    conf = folder / "nginx.conf"
    conf.write_text(
        NGINX_CONF.format(
            folder=folder,
            front=front,
            tls=tls,
            back=back,
            answer=ANSWER,
            chat_answer=CHAT_ANSWER,
            client_key=CLIENT_KEY,
        )
    )
    command = [str(tool("nginx")), "-p", str(folder), "-c", str(conf)]
    events = [sys.executable, str(Path(__file__).with_name("event_source.py")), str(source)]
    with running("nginx", command, front, folder), running("events", events, source, folder):
        yield Providers(Upstream(front), Upstream(tls, authority), Upstream(source))


@contextmanager
def mitmdump(
    folder: Path, upstream: Upstream, addon: Addon | None, config: str, *, is_streaming: bool = False
) -> Iterator[Proxy]:
    """Run mitmdump before the provider; `{origin}` in the addon's configuration is the provider's.

    `is_streaming`: it passes answers on as they arrive, which by itself it does not.
    """
    (port,) = free_ports(1)
    command = mitmdump_command(folder)
    name = "bare"
    if addon is not None:
        name = addon.name
        file = folder / f"{name}.yaml"
        file.write_text(config.format(origin=upstream.origin))
        command += ["-s", str(addon.script), "--set", f"ai_config={file}"]
    command += ["--mode", f"reverse:{upstream.origin}", "--set", "connection_strategy=lazy"]
    if upstream.authority:
        command += ["--set", f"ssl_verify_upstream_trusted_ca={upstream.authority}"]
    if is_streaming:
        command += ["--set", "stream_large_bodies=1"]
    command += ["--listen-host", "127.0.0.1", "-p", str(port)]
    environment = addon.environment if addon else None
    with running(f"mitmdump-{name}", command, port, folder, environment) as pid:
        yield Proxy(name, port, pid, is_gateway=addon is not None)


@contextmanager
def serve(folder: Path, upstream: Upstream, config: str) -> Iterator[Proxy]:
    """Run `ai-proxy serve` of this checkout before the provider."""
    (port,) = free_ports(1)
    file = folder / "serve.yaml"
    file.write_text(config.format(origin=upstream.origin))
    command = [str(Path(sys.executable).with_name("ai-proxy")), "serve", "-q", "--config", str(file)]
    command += ["--listen-port", str(port)]
    if upstream.authority:
        command += ["--upstream-ca", str(upstream.authority)]
    with running("serve", command, port, folder) as pid:
        yield Proxy("serve", port, pid)


def check_package(addon: Addon, folder: Path) -> None:
    """Check, in a mitmdump, that all modules of the addon come from its own checkout."""
    if not addon.script.is_file():
        raise BenchError(f"{addon.checkout} is not a checkout: it has no addon/ai_proxy.py")
    config = folder / f"{addon.name}.yaml"
    config.write_text(KLING_CONFIG.format(origin="http://127.0.0.1:1"))
    command = [*mitmdump_command(folder), "-n", "--set", f"ai_config={config}", "-s", str(addon.script)]
    command += ["-s", str(Path(__file__).with_name("loaded_from.py"))]
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            cwd=folder,
            env=addon.environment,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise BenchError(f"mitmdump did not load {addon.script} within {START_SECONDS:.0f} s") from e
    own = (addon.checkout / "addon").resolve()
    files = child.stdout.splitlines()
    strange = [file for file in files if not Path(file).resolve().is_relative_to(own)]
    if child.returncode or not files or strange:
        text = "\n".join(strange) or child.stdout + child.stderr
        raise BenchError(f"{addon.script} does not run the package beside it:\n{text}")


def mitmdump_command(folder: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("mitmdump")), "-q", "--set", f"confdir={folder / 'confdir'}"]


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    environment: dict[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[int]:
    """Run a process that leads a session; gives its id once it answers HTTP on its port."""
    log = folder / f"{name}.out"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        stack.callback(stop, process)
        deadline = time.monotonic() + seconds
        while not answers(port):
            if process.poll() is not None:
                raise BenchError(f"{name} ended with status {process.returncode}:\n{log.read_text()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{name} did not answer within {seconds:.0f} s:\n{log.read_text()}")
            time.sleep(0.05)
        yield process.pid


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process of ours, by force if it does not end on request."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """Whether a server answers HTTP, with any status; a mitmdump that fails to start may have opened its port."""
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
    """Different ports on which nothing listens."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(int(sock.getsockname()[1]))
        return ports
