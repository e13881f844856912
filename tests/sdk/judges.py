"""Questions to the vendors' own SDKs, in a process of their own, which imports them from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.sdk import cache


def asked(worker: Path, requirements: tuple[str, ...], *questions: tuple[str, Any]) -> list[Any]:
    """The answers of a script, which is started with the folder of these packages and reads all questions as JSON."""
    folder = cache.folder("-".join(requirements), cache.python(*requirements))
    done = subprocess.run(
        [sys.executable, "-I", str(worker), str(folder)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=cache.clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers
