"""Forms are read as werkzeug's own parser reads them, or refused."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from random import Random
from typing import IO, Final

from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import multipart
from mitm_ai_proxy.wire.multipart import File, Value
from tests.hostile.inputs import Inputs, mutated

Parts = dict[str, tuple[list[str], list[File]]]
"""The texts and the files of each name, each in order; werkzeug keeps the two apart."""

NAMES: Final = (
    *"model prompt seconds input_reference metadata[mode] metadata[a][b] images[] list[][image] list[][n] é".split(),
    *(f"field{number}" for number in range(6)),
    "a b",
    "a[0][b]",
)
BROKEN_NAMES: Final = ("a]", "a[", "[a]", "a[][]", "a[b", "", "a" + "[b]" * 9, 'a"b', "a\\b", "a;b", "\x00")
BOUNDARIES: Final = ("x", "----formdata-undici-088864750111", "3f2a9c0d1e4b5a69788796a5b4c3d2e1", "a'()+_,-./:=?b")
VALUES: Final = (
    b"", b"8", b"a cat", "é\u2028😀".encode(), b"\r\n", b"\n", b"--", b"-- ", b"\r\n--", b"a\r\nb: c\r\n\r\nd",
    b"\x00",
)  # fmt: skip
FILES: Final = (*VALUES, b"\x89PNG\r\n\x1a\n\0--\r\n\xff", b"\xff" * 70_000, b"\r" * 99, b"\r\n-" * 99)
FILE_NAMES: Final = ("cat.png", "", "a b.png", "é.png", "../../x", 'a\\"b', "a;b.png", "a.png\\")
TYPES: Final = (b"image/png", b"text/plain; charset=utf-8", b"", b"application/pdf", b"\xff")
HEADERS: Final = (
    b"Content-Length: 1",
    b"Content-Transfer-Encoding: binary",
    b"Content-Transfer-Encoding: base64",
    b"X: y",
    b"X",
    b" folded",
    b"--x: y",
    b"X: " + b"y" * 9000,
)
DOT: Final = re.compile(r"^[^\[]+|\[[^\]]*\]|\.([^.\[]+)")
WORDS: Final = [
    *(b"].b", b"]./"),
    *(b"\r\n", b"\n", b"\r", b"--", b"\r\n--", b"\r\n\r\n", b'"', b"'", b";", b"=", b":", b"\\", b"\0", b"\xff", b" "),
    *(b"Content-Disposition: form-data", b'; name="a"', b'; filename="b"', b"; filename*=utf-8''c", b"name=", b"--x--"),
    *(
        b"Content-Disposition: attachment",
        b"content-type: text/plain; charset=utf-7",
        b"\r\n--x\r\n",
        b"%0d%0a",
        b"[]",
        b"[",
    ),
]


def _form(random: Random, boundary: str) -> tuple[bytes, Parts]:
    """A form with names that can be read, and what is in it."""
    wanted: Parts = {}
    lines: list[bytes] = []
    names = random.sample(NAMES, random.randint(0, 6))
    if sum(name.startswith("list[]") for name in names) == 1 or random.random() < 0.3:
        names += [name for name in names if name.endswith("[]")]
    for name in names:
        is_file = random.random() < 0.4
        data = random.choice(FILES if is_file else VALUES)
        boundary_line = f"\r\n--{boundary}".encode()
        if boundary_line in b"\r\n" + data + b"\r\n":
            data = b""
        head = f'Content-Disposition: form-data; name="{name}"'.encode()
        kind = random.choice(TYPES[:-1]) if random.random() < 0.7 else None
        filename = random.choice(FILE_NAMES[:4])
        if is_file:
            head += f'; filename="{filename}"'.encode()
        if kind is not None:
            head += b"\r\nContent-Type: " + kind
        lines += [f"--{boundary}\r\n".encode(), head, b"\r\n\r\n", data, b"\r\n"]
        _add(wanted, name, File(filename, (kind or b"").decode(), data) if is_file else data.decode())
    return b"".join([*lines, f"--{boundary}--\r\n".encode()]), wanted


def _flat(found: Value, name: str) -> Iterator[tuple[str, str | File]]:
    """The values with the names they had in the form."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _flat(value, f"{name}[{key}]" if name else key)
    elif isinstance(found, list):
        for value in found:
            yield from _flat(value, f"{name}[]")
    else:
        # Only a part of the type application/json can hold anything else.
        assert isinstance(found, str | File)
        yield name, found


def _add(parts: Parts, name: str, value: str | File) -> None:
    texts, files = parts.setdefault(name, ([], []))
    if isinstance(value, File):
        files.append(value)
    else:
        texts.append(value)


def _in_memory(*_: object, **__: object) -> IO[bytes]:
    return io.BytesIO()


def _theirs(body: bytes, content_type: str) -> Parts | None:
    """What werkzeug's own parser reads; None where it gives up."""
    _, options = parse_options_header(content_type)
    try:
        parser = FormDataParser(_in_memory, max_form_memory_size=None, silent=False)
        _, form, files = parser.parse(io.BytesIO(body), "multipart/form-data", len(body), options)
    except Exception:
        return None
    found: Parts = {}
    for name, text in form.items(multi=True):
        _add(found, _bracketed(name), text)
    for name, file in files.items(multi=True):
        _add(found, _bracketed(name), File(file.filename or "", file.headers.get("content-type", ""), file.read()))
    return found


def _bracketed(name: str) -> str:
    """`a[0].b` as `a[0][b]`, which .NET and axios mean with it."""
    return DOT.sub(lambda part: f"[{part[1]}]" if part[1] else part[0], name) if "[" in name else name


def test_a_form_is_read_as_werkzeug_reads_it(inputs: Inputs) -> None:
    """Known differences, all of which end in a refusal: repeated names, text that is not UTF-8, text outside of parts,
    lists in lists, unnamed parts, and parts or names that are too many or too long.
    """
    for random in inputs.of(1000):
        boundary = random.choice(BOUNDARIES)
        body, wanted = _form(random, boundary)
        quoted = f'"{boundary}"' if random.random() < 0.7 or boundary == BOUNDARIES[-1] else boundary
        content_type = f"multipart/form-data; boundary={quoted}"
        is_whole = random.random() < 0.3
        if not is_whole:
            if random.random() < 0.5:
                body = _with_broken_parts(random, body, boundary)
            body = mutated(random, body, [*WORDS, f"--{boundary}".encode(), f"\r\n--{boundary}--".encode()])
            if random.random() < 0.1:
                content_type = mutated(random, content_type.encode(), WORDS).decode("utf-8", "surrogateescape")
        refusal = None
        try:
            found = multipart.fields(body, content_type)
        except Refusal as caught:
            refusal = caught
        if refusal:
            assert (refusal.status, refusal.code) == (400, "invalid_body")
            assert len(refusal.message) < 1000
            assert not is_whole, refusal.message
            continue
        inputs.tally["read"] += 1
        ours: Parts = {}
        for name, value in _flat(dict(found), ""):
            _add(ours, name, value)
        if is_whole:
            assert ours == wanted
            assert list(found) == list(dict.fromkeys(name.partition("[")[0] for name in wanted))
        assert ours == _theirs(body, content_type)


def _with_broken_parts(random: Random, body: bytes, boundary: str) -> bytes:
    parts = body.split(f"--{boundary}\r\n".encode())
    name = random.choice((*NAMES, *BROKEN_NAMES))
    head = f'Content-Disposition: form-data; name="{name}"'.encode("utf-8", "surrogateescape")
    if random.random() < 0.4:
        head += f'; filename="{random.choice(FILE_NAMES)}"'.encode()
    for header in random.choices(HEADERS, k=random.choice((0, 0, 1, 2))):
        head = random.choice((head + b"\r\n" + header, header + b"\r\n" + head))
    part = head + b"\r\n\r\n" + random.choice(FILES) + b"\r\n"
    if random.random() < 0.02:
        parts[1:1] = [part] * multipart.MAX_PARTS
    parts.insert(random.randint(1, len(parts)), part)
    return f"--{boundary}\r\n".encode().join(parts)
