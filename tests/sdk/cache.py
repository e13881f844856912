"""Folders with SDKs, below the running environment: each is filled at its first use, by one process."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import certifi

FOLDER = Path(sys.prefix) / "share" / "ai-proxy-sdks"
SITE = Path(sysconfig.get_path("purelib"))
"""The packages of the running environment."""
INSTALL_LIMIT = 600
"""Seconds that an installation may take."""


def folder(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder with this name; if it does not exist yet, `fill` writes its content."""
    made = FOLDER / name
    if not made.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with _locked(FOLDER / f".{name}.lock"):
            if not made.is_dir():
                part = FOLDER / f".{name}.part"  # may exist, after an interrupted run
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                fill(part)
                part.rename(made)
    return made


def packages(*requirements: str) -> Path:
    """The folder with these packages for Python and what they need."""
    return folder("-".join(requirements), python(*requirements))


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command of an installation; fails with its output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}"


def python(*requirements: str) -> Callable[[Path], None]:
    """A function that fills a folder with Python packages, by uv in a tenth of pip's time where it is there and can.

    What is imported is compiled then; of most packages that is little.
    """
    uv = ("uv", "pip", "install", "--quiet", "--no-progress", "--python", sys.executable, "--target")
    pip = (sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q")

    def fill(part: Path) -> None:
        if shutil.which("uv"):
            with suppress(AssertionError):
                run(*uv, part, *requirements, cwd=part)
                (part / ".lock").unlink(missing_ok=True)
                return
        run(*pip, "--no-compile", "--target", part, *requirements, cwd=part)

    return fill


def install(interpreter: Path, *words: str | Path) -> None:
    """Install into the environment of an interpreter, which needs no pip; `words` are those of pip behind `install`."""
    if shutil.which("uv"):
        with suppress(AssertionError):
            run("uv", "pip", "install", "--quiet", "--python", interpreter, *words, cwd=interpreter.parent)
            return
    pip = (sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
    run(*pip, "--python", interpreter, "install", *words, cwd=interpreter.parent)


def take_compiled(folder: Path, *others: Path) -> None:
    """Give the modules in a folder what was compiled of the same text at the same place in another one.

    To compile what an environment imports takes longer than to install it.
    """
    suffix = f".{sys.implementation.cache_tag}.pyc"
    for other in others:
        for compiled in other.glob(f"**/__pycache__/*{suffix}"):
            twin = compiled.parent.parent / f"{compiled.name.removesuffix(suffix)}.py"
            path, target = folder / twin.relative_to(other), folder / compiled.relative_to(other)
            if target.exists() or not (path.is_file() and twin.is_file()):
                continue
            code = compiled.read_bytes()
            if code[4:16] == _stamp(twin) and path.read_bytes() == twin.read_bytes():
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(code[:4] + _stamp(path) + code[16:])


def _stamp(path: Path) -> bytes:
    """What compiled code says of its source, behind the number of the format: flags, time and size."""
    stat = path.stat()
    return struct.pack("<3I", 0, int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)


def clean_environment() -> dict[str, str]:
    """The environment without the variables that an SDK reads, and without proxies.

    It trusts one authority: a client reads all that it trusts when it is made, which costs more than its requests.
    """
    trusted = folder("trusted", _write_an_authority) / "authority.pem"
    prefixes = ("anthropic_", "openai_", "litellm_", "kling_", "ai_proxy_", "npm_config_", "node_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().startswith(prefixes) and not name.lower().endswith("_proxy")
    }
    return {**kept, "SSL_CERT_FILE": str(trusted)}


def _write_an_authority(part: Path) -> None:
    found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", certifi.contents(), re.DOTALL)
    assert found
    (part / "authority.pem").write_text(found[0])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
