"""The wheel of this checkout, built once for all that want it: its folder is named after what goes into it."""

from __future__ import annotations

import hashlib
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from tests.sdk import cache

ROOT = Path(__file__).parents[1]
_INPUTS = ("pyproject.toml", "README.md", "LICENSE", "config.yaml", "addon")


def wheel() -> Path:
    """The path of the wheel, in the cache of tests/sdk/cache.py."""
    name = f"wheel-{_digest()}"
    (found,) = cache.folder(name, _build).glob("*.whl")
    return found


def installed() -> Path:
    """A folder with the content of the wheel, as an installer puts it there."""

    def fill(part: Path) -> None:
        cache.python("--no-deps", str(wheel()))(part)
        cache.take_compiled(part, ROOT / "addon")

    return cache.folder(f"installed-{_digest()}", fill)


def _digest() -> str:
    digest = hashlib.sha256()
    for name in _INPUTS:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _build(part: Path) -> None:
    for kind in ("wheel", "installed"):
        for old in cache.FOLDER.glob(f"{kind}-*"):
            shutil.rmtree(old, ignore_errors=True)
    if shutil.which("uv"):
        with suppress(AssertionError):
            cache.run("uv", "build", "--quiet", "--wheel", "--python", sys.executable, "-o", part, ROOT, cwd=part)
            return
    cache.run(sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "-w", part, ROOT, cwd=part)
