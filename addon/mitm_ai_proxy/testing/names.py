"""The file names of cassettes: one for each test, on every file system."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LONGEST_NAME: Final = 200
"""Bytes of a cassette's name without its suffix, so that its folder and its temporary files can have longer names."""
SUFFIX: Final = ".har"

_FORBIDDEN = re.compile(r"""[<>:"'/\\|?*%\x00-\x1f\x7f]""")
# The devices of Windows, which no file may be called like, whatever follows a dot:
# learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ .]*(\.|$)", re.IGNORECASE)
_DIGITS: Final = 8


def path_of(folder: Path, name: str) -> Path:
    """The path of a cassette. `name` may have the suffix, and may be an absolute path or lead out of the folder."""
    return Path(os.path.normpath(folder / (name if name.endswith(SUFFIX) else name + SUFFIX)))


def path_for(folder: Path, words: Sequence[str], is_recorded_apart: bool = False) -> Path:
    """The path of a test's cassette; `words` are its classes and its name with parameters.

    A file that is there under the plain name is the test's, as before names were told apart; unless
    `is_recorded_apart`: it is recorded, and another test has the same plain name.
    """
    plain, own = plain_name(words), own_name(words)
    there = _names(folder)
    if own in there or (plain != own and (is_recorded_apart or plain not in there)):
        name = own
    elif plain in there or _folded(plain) not in map(_folded, there):
        name = plain
    else:
        name = _with_digest(plain, words)
    return Path(os.path.normpath(folder / (name + SUFFIX)))


def is_changed(words: Sequence[str]) -> bool:
    """Whether the plain name of a test may be that of another one too."""
    return plain_name(words) != own_name(words)


def plain_name(words: Sequence[str]) -> str:
    """The name of a test as a file name without suffix, in which `-` stands for what no file name may have."""
    whole = ".".join(words)
    name = _FORBIDDEN.sub("-", whole)
    return name if len(name.encode(errors="ignore")) <= LONGEST_NAME else _with_digest(name, words)


def own_name(words: Sequence[str]) -> str:
    """The plain name of a test if no other test can have it, else with a digest of the whole."""
    whole, plain = ".".join(words), plain_name(words)
    is_short = len(whole.encode(errors="ignore")) <= LONGEST_NAME
    if is_short and (plain != whole or plain.endswith(SUFFIX) or _RESERVED.match(plain)):
        return _with_digest(plain, words)
    return plain


def _with_digest(name: str, words: Sequence[str]) -> str:
    """A name with a digest of the words behind it, and `_` before it if Windows reserves it."""
    digest = hashlib.sha256(".".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    start = ("_" if _RESERVED.match(name) else "") + name
    return f"{start.encode(errors='ignore')[: LONGEST_NAME - _DIGITS - 1].decode('utf-8', 'ignore')}-{digest}"


def _names(folder: Path) -> set[str]:
    """The names of the cassettes in a folder, as they are written there, without suffix."""
    try:
        return {name.removesuffix(SUFFIX) for name in os.listdir(folder) if name.endswith(SUFFIX)}
    except OSError:
        return set()


def _folded(name: str) -> str:
    """What is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()
