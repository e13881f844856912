"""Fixtures of the contract tests: a fake Kling, a real mitmdump in front of it, and the SDKs, shared by all tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ACCESS_KEY, SECRET_KEY, Proxies
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import verified_claims
from tests.sdk import node
from tests.sdk.kling import Kling
from tests.sdk.sdk import BASE, EACH, NODE, PYTHON, Sdk, Sdks, Variant

MakePicture = Callable[..., Path]


@pytest.fixture(scope="session")
def kling_server() -> Iterator[Kling]:
    server = Kling()
    yield server
    server.close()


@pytest.fixture
def kling(kling_server: Kling) -> Iterator[Kling]:
    """A fake Kling without tasks. After the test, checks that hold for all requests to it and its CDN."""
    kling_server.reset()
    yield kling_server
    for request in kling_server.received:
        (authorization,) = request.all("Authorization")
        assert verified_claims(authorization, SECRET_KEY)["iss"] == ACCESS_KEY
        assert "sk-of-the-client" not in str(request)
        names = [name.lower() for name, _ in request.headers]
        assert not [name for name in names if name.startswith(("x-stainless-", "openai-"))]
    for request in kling_server.downloads:
        assert not request.all("Authorization")


@pytest.fixture(scope="session")
def start_in_front(kling_server: Kling, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Proxy]]:
    """A function that starts another proxy in front of Kling."""
    proxies = Proxies(tmp_path_factory.mktemp("sdk"))
    config = f"""
provider:
  type: kling
  klingAccessKey: {ACCESS_KEY}
  klingSecretKey: {SECRET_KEY}
  providerDomain: http://{kling_server.address}
"""
    yield lambda: proxies.start(config)
    proxies.close()


@pytest.fixture(scope="session")
def proxy(start_in_front: Callable[[], Proxy]) -> Proxy:
    """The proxy in front of Kling."""
    return start_in_front()


@pytest.fixture(scope="session")
def sdks() -> Iterator[Sdks]:
    running = Sdks()
    yield running
    running.close()


def sdks_of(variants: tuple[Variant, ...]) -> list[object]:
    """Parameters for a test with each of these SDKs; those for Node are skipped where there is none."""
    return [pytest.param(variant, id=variant.name, marks=_skipped(variant)) for variant in variants]


def _skipped(variant: Variant) -> tuple[pytest.MarkDecorator, ...]:
    reason = node.missing()
    return (pytest.mark.skip(reason=reason),) if reason and variant.language == "node" else ()


def each_sdk_with(*methods: str) -> pytest.MarkDecorator:
    """Parametrize a test with each SDK and each of the methods that this SDK has."""
    pairs = [
        pytest.param(variant, method, id=f"{variant.name}-{method}", marks=_skipped(variant))
        for variant in EACH
        for method in methods
        if variant.knows(method)
    ]
    return pytest.mark.parametrize(("sdk", "method"), pairs, indirect=["sdk"])


def _started(request: pytest.FixtureRequest, sdks: Sdks, proxy: Proxy) -> Sdk:
    return sdks.sdk(request.param, f"http://127.0.0.1:{proxy.port}{BASE}")


@pytest.fixture(params=sdks_of(EACH))
def sdk(request: pytest.FixtureRequest, sdks: Sdks, proxy: Proxy, kling: Kling) -> Sdk:
    """Each SDK in turn, with the proxy as its base URL."""
    return _started(request, sdks, proxy)


@pytest.fixture(params=sdks_of(PYTHON))
def python_sdk(request: pytest.FixtureRequest, sdks: Sdks, proxy: Proxy, kling: Kling) -> Sdk:
    """Each SDK for Python."""
    return _started(request, sdks, proxy)


@pytest.fixture(params=sdks_of(NODE))
def node_sdk(request: pytest.FixtureRequest, sdks: Sdks, proxy: Proxy, kling: Kling) -> Sdk:
    """Each SDK for Node."""
    return _started(request, sdks, proxy)


@pytest.fixture
def any_sdk(sdks: Sdks, proxy: Proxy, kling: Kling) -> Sdk:
    """One SDK, for tests in which it makes no difference."""
    return sdks.sdk(PYTHON[0], f"http://127.0.0.1:{proxy.port}{BASE}")


@pytest.fixture
def replica(sdks: Sdks, start_in_front: Callable[[], Proxy], kling: Kling) -> Sdk:
    """The same SDK in front of another, new proxy."""
    return sdks.sdk(PYTHON[0], f"http://127.0.0.1:{start_in_front().port}{BASE}")


@pytest.fixture
def picture(tmp_path: Path) -> MakePicture:
    """A function that makes a picture file of a size in pixels: png, jpg or webp, with a valid header only."""

    def make(kind: str = "png", width: int = 320, height: int = 320, behind: int = 0) -> Path:
        path = tmp_path / f'Käfer "1" 火.{kind}'
        path.write_bytes(_PICTURES[kind](width, height) + bytes(behind))
        return path

    return make


def _png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _jpg(width: int, height: int) -> bytes:
    application = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x2a" * 64
    return b"\xff\xd8" + application + frame + scan + b"\xff\xd9"


def _webp(width: int, height: int) -> bytes:
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


_PICTURES: dict[str, Callable[[int, int], bytes]] = {"png": _png, "jpg": _jpg, "webp": _webp}
