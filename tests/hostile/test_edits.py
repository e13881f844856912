"""Documents and forms that are edited in place are what Python makes of the same edits, and keep all else."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import form_edit, json_edit, json_tree, multipart
from mitm_ai_proxy.wire.json_tree import Value
from tests.hostile.inputs import Inputs

KEYS: Final = ("a", "b", "0", "1", "é", "x.y", 'q"')
SCALARS: Final = (None, True, 1, -2.5, "t", "é\n", ']{,"', "", 10**20)
SPACES: Final = ("", " ", "\n\t")
BOUNDARIES: Final = (b"X", b"--", b"a-b", b"----WebKitFormBoundaryabc")
NAMES: Final = (b"model", b"models", b"file", b"n")


def _document(random: Random, depth: int = 0) -> Any:
    kind = random.random() if depth < 3 else 1.0
    if depth == 0 or kind < 0.35:
        return {random.choice(KEYS): _document(random, depth + 1) for _ in range(random.randrange(5))}
    if kind < 0.6:
        return [_document(random, depth + 1) for _ in range(random.randrange(5))]
    return random.choice(SCALARS)


def _text(random: Random, value: Any) -> str:
    space, is_ascii = random.choice(SPACES), random.random() < 0.5
    comma = f"{space},{random.choice(SPACES)}"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=is_ascii)}{space}:{_text(random, v)}" for k, v in value.items())
        return f"{{{space}{comma.join(pairs)}{space}}}"
    if isinstance(value, list):
        return f"[{space}{comma.join(_text(random, item) for item in value)}{space}]"
    return json.dumps(value, ensure_ascii=is_ascii)


def _put(value: Any, path: list[str], new: Any, overwrite: bool) -> bool:
    """The same as Value.put_path, with Python's objects."""
    key, *rest = path
    if isinstance(value, list):
        if not key.isdigit():
            return False
        place: Any = int(key)
        is_there = place < len(value)
        value += [None] * (place + 1 - len(value))
    else:
        place, is_there = key, key in value
    if is_there and rest and isinstance(value[place], dict | list):
        return _put(value[place], rest, new, overwrite)
    if is_there and not overwrite:
        return False
    for key in reversed(rest):
        new = [None] * int(key) + [new] if key.isdigit() else {key: new}
    value[place] = new
    return True


def _remove(random: Random, value: Any, tree: Value) -> None:
    """Remove a member or an item, here or further down, from both."""
    if not value:
        return
    if isinstance(value, dict):
        place: Any = random.choice(list(value))
        below = tree.get(place)
    else:
        place = random.randrange(len(value))
        below = tree.items()[place]
    assert below is not None
    if isinstance(value[place], dict | list) and random.random() < 0.5:
        _remove(random, value[place], below)
    elif isinstance(value, dict):
        del value[place]
        tree.remove(place)
    else:
        del value[place]
        tree.remove_items([below])


def test_a_document_is_edited_as_python_edits_its_objects(inputs: Inputs) -> None:
    for random in inputs.of(750):
        document = _document(random)
        before = random.choice(("", " \n")) + _text(random, document)
        tree = json_tree.parsed(before.encode(), json_edit.members(before.encode()))
        count = random.randrange(6)
        for _ in range(count):
            if random.random() < 0.35:
                _remove(random, document, tree)
                continue
            path = random.choices((*KEYS, "2"), k=random.randint(1, 3))
            new, overwrite = _document(random, 1), random.random() < 0.7
            is_put = tree.put_path(tuple(path), json.dumps(new).encode(), overwrite=overwrite)
            assert is_put is _put(document, path, new, overwrite)
            # No part of it is shared.
            document = json.loads(json.dumps(document))
        after = tree.written()
        assert json.loads(after) == document
        if not count:
            assert after == before.encode()


def test_a_field_of_a_form_is_the_one_that_is_read_and_all_others_stay(inputs: Inputs) -> None:
    for random in inputs.of(750):
        boundary = random.choice(BOUNDARIES)
        junk = (b"--", boundary, b"\r\n", b"\n", b"x", b'name="model"', b"\r\n\r\n", b"\r\n--" + boundary + b"x", b"\0")
        parts = []
        for _ in range(random.randrange(5)):
            head = b'Content-Disposition: form-data; name="' + random.choice(NAMES) + b'"'
            head += random.choice((b"", b"", b'; filename="model"', b"\r\nContent-Type: text/plain"))
            content = b"".join(random.choices(junk, k=random.randrange(7)))
            parts.append(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n")
        body = b"".join(parts) + b"--" + boundary + b"--" + random.choice((b"", b"\r\n"))
        content_type = f"multipart/form-data; boundary={boundary.decode()}"
        names = [name.decode() for name in NAMES]
        try:
            read = multipart.fields(body, content_type, lists=names)
            form = form_edit.find(body, boundary, "model")
        except Refusal:
            continue
        inputs.tally["read"] += 1
        assert (form.field.text if form.field else None) == read.get("model")
        assert multipart.fields(form.with_text("model", "new"), content_type, lists=names) == {**read, "model": "new"}
