"""The pictures of a create: the names and shapes that clients have for them, and Kling's fields that they become.

Sources of the names: API documentation of fal, Higgsfield, MiniMax, Model Studio, OpenRouter, Replicate, and gateways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import Refusal, bad_body
from ..wire import json_edit
from . import pictures
from .fields import indexed, json_text

FIRST, LAST, MASK = "image", "image_tail", "static_mask"
FRAMES: Final = (FIRST, LAST)
"""A create with one of these is an image2video task."""
REFERENCE: Final = "input_reference"
LISTS: Final = frozenset({"images", "image_urls", "input_images", "frame_images"})
"""Names of lists: of the first picture, or of the first and the last one."""

Members: TypeAlias = Mapping[str, bytes]
"""Members of an object, in order: JSON by name."""
Picture: TypeAlias = "tuple[str, str]"
"""What its shape says that a picture is (FIRST, LAST, or "" for nothing), and its text."""


def _names(words: str) -> Iterator[str]:
    """`first` and `start`: `first_frame`, `first_image_url`, `start_frame_image`, ..."""
    for word in words.split():
        for noun in "frame image frame_image".split():
            yield f"{word}_{noun}"
            yield f"{word}_{noun}_url"


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda letter: letter[1].upper(), name)


_OF_FIRST: Final = [REFERENCE, *"image_url input_image input_image_url img_url".split(), *_names("first start")]
_OF_LAST: Final = ["image_tail_url", *_names("last end tail")]
_SNAKE: Final = {
    **{name: name for name in (FIRST, LAST, MASK)},
    **dict.fromkeys(_OF_FIRST, FIRST),
    **dict.fromkeys(_OF_LAST, LAST),
    **dict.fromkeys(LISTS, ""),
}
NAMES: Final = {_camel(name): field for name, field in _SNAKE.items() if name != MASK} | _SNAKE
"""Kling's field by the name that a client uses; "" for a list."""
_OWN: Final = frozenset({FIRST, LAST, MASK})
_LISTS: Final = frozenset(name for name, field in NAMES.items() if not field)
_OTHERS: Final = frozenset({"input_references", "reference_images", "reference_image_urls"})
"""Names of pictures that are no frame of the video."""
NESTED: Final = {"dynamic_masks": ("mask",), "image_list": ("image", "image_url")}
"""Lists of objects with a picture: the names that it has there."""

_HOLDERS: Final = ("url", "image_url", "image", "file", "data", "base64", "b64_json")
"""Members of an object that hold its picture."""
_BESIDE: Final = frozenset(
    "type detail media_type mime_type content_type filename name format index frame_type role".split()
)
_ROLES: Final = {"first_frame": FIRST, "last_frame": LAST, "end_frame": LAST}
_WORDS: Final = {FIRST: "first", LAST: "last"}
# A string that is neither empty nor JSON, without a look at its end.
_TEXT: Final = re.compile(rb'"(?:[^"\\\s[{n]|\\/)')
_MAX_NESTED: Final = 100
_NESTED_PICTURE: Final = {
    name: re.compile(
        rb'(?<!\\)"(?:%s)"[ \t\r\n]*+:[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")' % "|".join(keys).encode(), re.DOTALL
    )
    for name, keys in NESTED.items()
}


class Translated(NamedTuple):
    """By the name of each member that changes, the members in its place (none: it is removed); one note per change."""

    members: Mapping[str, Members]
    notes: list[str]


def is_frame(name: str) -> bool:
    """Whether a member of this name is a picture, or some."""
    return name in NAMES or name in _OTHERS


def translated(members: Members) -> Translated:
    """What becomes of the members of a create that are pictures (see is_frame()) or hold some (NESTED).

    Pictures get Kling's names, as URLs or plain base64; null, "", [] and {} are none. Raises Refusal (400), naming the
    field, where it is not certain which picture is meant.
    """
    changed: dict[str, Members] = {}
    notes: list[str] = []
    found: dict[str, tuple[str, bytes]] = {}
    # Kling's own names first: they stay where they are.
    for name in sorted(members, key=lambda name: name not in _OWN):
        raw = members[name]
        placed: dict[str, bytes] = {}
        for field, text in _placed(name, raw):
            other, known = found.setdefault(field, (name, text))
            if other == name and known is text:
                placed[field] = text
            elif not _is_same(known, text):
                both = name if name == other else f"{name} and {other}"
                raise bad_body(f"{both} are two {_WORDS[field]} pictures; give one.", param=name)
        if placed != {name: raw}:
            changed[name] = placed
            notes.append(_note(name, placed))
    return Translated(changed, notes)


class Edited(NamedTuple):
    """Edits of a JSON body, members to remove, one of FRAMES that the edited body has (else ""), notes."""

    edits: list[json_edit.Edit]
    gone: list[json_edit.Member]
    frame: str
    notes: list[str]


def edited(body: bytes, members: list[json_edit.Member]) -> Edited:
    """As translated(), for a JSON body of which every other byte is kept. Raises Refusal (400)."""
    found: dict[str, json_edit.Member] = {}
    for member in members:
        if is_frame(member.key) or member.key in NESTED:
            if member.key in found:
                raise bad_body(f"{member.key} stands more than once in the request body.", param=member.key)
            found[member.key] = member
    if all(_stays(body, member) for member in found.values()):
        # Without a copy of what may be long.
        return Edited([], [], next((frame for frame in FRAMES if frame in found), ""), [])
    raw = {name: body[member.start : member.end] for name, member in found.items()}
    changed, notes = translated(raw)
    edits: list[json_edit.Edit] = []
    frames = [name for name in found if name not in changed]
    for name, placed in changed.items():
        frames += placed
        member = found[name]
        if len(placed) > 1:
            text = b",".join(b'"%s":%s' % (key.encode(), value) for key, value in placed.items())
            edits.append(json_edit.Edit(member.key_start, member.end, text))
        for key, value in placed.items() if len(placed) == 1 else ():
            if value is not raw[name]:
                edits.append(json_edit.Edit(member.start, member.end, value))
            if key != name:
                edits.append(json_edit.Edit(member.key_start, member.key_end, json_edit.string(key)))
    gone = [found[name] for name, placed in changed.items() if not placed]
    return Edited(edits, gone, next((frame for frame in FRAMES if frame in frames), ""), notes)


def takes_file(path: tuple[str, ...]) -> bool:
    """Whether a form's file at this path of keys is a picture, as far as the names tell."""
    if path[:1] == ("metadata",):
        path = path[1:]
    return bool(path) and (path[0] in NAMES or path[-1] in NESTED.get(path[0], ()))


def _note(name: str, placed: Members) -> str:
    if not placed:
        return f"{name} is left out: it has no picture of its own"
    if list(placed) == [name]:
        return f"{name} in plain base64"
    return f"{' and '.join(placed)}: from {name}"


def _placed(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Kling's field and the JSON of each picture in a member, or of the member itself."""
    if name in NESTED:
        yield name, _with_plain_pictures(name, raw)
    elif name in _OWN and raw[:1] not in b'"[{n':
        # No picture; Kling, or the table of fields, says so.
        yield name, raw
    elif name in NAMES and _TEXT.match(raw):
        yield NAMES[name] or FIRST, _plain(name, raw)
    elif not json_edit.is_simple(raw):
        raise bad_body(f"{name} has too many values.", param=name)
    else:
        try:
            found = _pictures(name, json.loads(raw))
        except (ValueError, RecursionError):
            raise bad_body(f"{name} cannot be read.", param=name) from None
        yield from _in_fields(name, raw, found)


def _in_fields(name: str, raw: bytes, found: list[Picture]) -> Iterator[tuple[str, bytes]]:
    if found and name in _OTHERS:
        raise bad_body(f"{name} are no frames of the video. Kling's field for its first frame is image.", param=name)
    if len(found) > 1 and name not in _LISTS:
        raise bad_body(f"{name} is one picture, not several.", param=name)
    if len(found) > len(FRAMES):
        raise bad_body(f"{name} has {len(found)} pictures; Kling takes a first and a last one.", param=name)
    for place, (role, text) in enumerate(found):
        field = NAMES[name] or role or FRAMES[place]
        if role not in ("", field):
            raise bad_body(f"{name} says that it is the {_WORDS[role]} picture.", param=name)
        yield field, _plain(name, raw if raw[:1] == b'"' and json.loads(raw) == text else json_edit.string(text))


def _pictures(name: str, value: Any) -> list[Picture]:
    """The pictures in a decoded value. Raises Refusal (400) for a shape that is not known."""
    value = indexed(json_text(value))
    if value is None or value in ([], {}) or (isinstance(value, str) and value.strip() in ("", "null")):
        return []
    if isinstance(value, str):
        return [("", value)]
    if isinstance(value, dict):
        return [_picture(name, value)]
    if not isinstance(value, list):
        raise _unknown(name)
    if value and all(isinstance(item, int | str) and str(item).isdigit() for item in value):
        raise bad_body(f"{name} came as one field for each byte; give the SDK a file with a name (toFile).", param=name)
    items = [None if isinstance(indexed(item), list) and item else _pictures(name, item) for item in value]
    while items and items[-1] == []:
        items.pop()
    if not all(items):
        raise _unknown(name)
    return [picture for item in items if item for picture in item]


def _picture(name: str, value: dict[str, Any], *, is_inner: bool = False) -> Picture:
    """The picture in an object such as {"url": ...} or {"type": "image_url", "image_url": {"url": ...}}."""
    if "file_id" in value:
        both = "image_url" in value
        why = "There is no Files API behind this: give the picture itself or its URL."
        raise bad_body(f"{name} has both image_url and file_id; give one." if both else why, param=name)
    holders = [key for key in _HOLDERS if key in value]
    if len(holders) != 1 or not value.keys() - holders <= _BESIDE:
        raise _unknown(name)
    inner = value[holders[0]]
    role = _role(name, value)
    if isinstance(inner, dict) and not is_inner:
        inner_role, inner = _picture(name, inner, is_inner=True)
        role = role or inner_role
    if not isinstance(inner, str) or not inner.strip():
        raise _unknown(name)
    return role, inner


def _role(name: str, value: dict[str, Any]) -> str:
    for key in ("frame_type", "role", "type"):
        word = value.get(key)
        if isinstance(word, str) and word in _ROLES:
            return _ROLES[word]
        if word is not None and key != "type":
            raise bad_body(f"{name} has a {key} that is no first or last frame.", param=name)
    return ""


def _unknown(name: str) -> Refusal:
    return bad_body(f"{name} is not a file, a URL or a data URL.", param=name)


def _plain(name: str, raw: bytes) -> bytes:
    """The JSON of a picture with the picture as Kling takes it; the same object where nothing changes."""
    if _is_plain(raw) and name != REFERENCE:
        return raw
    try:
        text = str(json.loads(raw, strict=False))
    except ValueError:
        raise bad_body(f"{name} cannot be read.", param=name) from None
    try:
        plain = pictures.plain(text)
        if name == REFERENCE:
            pictures.check_text(plain)
    except ValueError as error:
        raise bad_body(f"{name} {error}.", param=name) from None
    return raw if plain == text else b'"%s"' % plain.encode()


def _stays(body: bytes, member: json_edit.Member) -> bool:
    """Whether a member has one of Kling's own names, and certainly a picture that Kling takes as it is."""
    is_text = member.key in _OWN and _TEXT.match(body, member.start, member.end)
    return bool(is_text) and _is_plain(body, member.start, member.end)


def _is_plain(document: bytes, start: int = 0, end: int | None = None) -> bool:
    """Whether a JSON string is certainly no data: URL and has no white space: a quick test for long ones."""
    if document[start + 1 : start + 9].lower().startswith((b"http://", b"https://")):
        return True
    if document[start + 1 : start + 6].lower() == b"data:" or document.find(b" ", start, end) >= 0:
        return False
    # Some encoders escape every slash.
    if document.find(b"\\", start, end) < 0:
        return True
    return document.count(b"\\", start, end) == document.count(b"\\/", start, end)


def _is_same(one: bytes, other: bytes) -> bool:
    return one == other or (b"\\" in one + other and json.loads(one) == json.loads(other))


def _with_plain_pictures(name: str, raw: bytes) -> bytes:
    """A list of objects with its pictures as Kling takes them; every other byte is kept."""
    edits: list[json_edit.Edit] = []
    for count, match in enumerate(_NESTED_PICTURE[name].finditer(raw)):
        if count >= _MAX_NESTED:
            break
        token = match[1]
        plain = _plain(name, token)
        if plain is not token:
            edits.append(json_edit.Edit(*match.span(1), plain))
    return json_edit.apply(raw, edits)
