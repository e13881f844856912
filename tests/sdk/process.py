"""A process with the SDKs of the folder in its first argument: runs scripts beside this file, by lines of JSON.

A question is {script, question}; the reply is what the script's `answer` returns. Scripts share what they import.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])


@functools.cache
def answer_of(script: str) -> Callable[[Any], Any]:
    """The function of a script that answers its questions."""
    spec = spec_from_file_location(script, Path(__file__).with_name(f"{script}.py"))
    assert spec
    assert spec.loader
    module = sys.modules[script] = module_from_spec(spec)
    spec.loader.exec_module(module)
    answer: Callable[[Any], Any] = module.answer
    return answer


def main() -> None:
    """Answer questions until there is none."""
    # Standard output is for the answers; some SDKs print advice there.
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer_of(asked["script"])(asked["question"])), file=replies, flush=True)


if __name__ == "__main__":
    main()
