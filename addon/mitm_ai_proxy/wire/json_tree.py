"""A JSON document that is edited in place: what is looked at is parsed once, and all other bytes are kept.

Changes are collected in the tree, and written together.
"""

from __future__ import annotations

from typing import Final

from ..errors import bad_body
from . import json_edit
from .json_edit import Edit, Member

_OBJECT: Final = 0x7B
_LIST: Final = 0x5B
MAX_PADDING: Final = 100
"""Items of `null` that are put in front of a new item of a list."""


class Value:
    """A value of a document, and the changes to it.

    `members` are those of the value, where they are known.
    """

    def __init__(self, document: bytes, start: int, end: int, members: list[Member] | None = None) -> None:
        self._document = document
        self._start = start
        self._place = start, end
        self._is_replaced = False
        self._members = members
        # By the position of the key.
        self._values: dict[int, Value] = {}
        self._gone: list[Member] = []
        self._added: list[tuple[str, Value]] = []
        self._before: list[tuple[Value, bytes]] = []

    @property
    def is_object(self) -> bool:
        """Whether it is an object."""
        return self._document[self._start] == _OBJECT

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self._document[self._start] == _LIST

    @property
    def raw(self) -> bytes:
        """Its JSON text, without the changes to what is in it."""
        return self._document if self._is_replaced else self._document[self._start : self._place[1]]

    def string(self) -> str | None:
        """Its text, if it is a string. Raises JSONError for a long one that is not valid."""
        text = self.raw
        return json_edit.string_value(text, Member("", 0, 0, 0, len(text)))

    def children(self) -> list[tuple[str, Value]]:
        """Keys and values of an object; the items of a list, with empty keys; of another value, nothing."""
        if not (self.is_object or self.is_list):
            return []
        return [*((member.key, self._value(member)) for member in self._found()), *self._added]

    def get(self, key: str) -> Value | None:
        """The member of the object; None if it has none, or is no object. Raises Refusal (400) if it is repeated."""
        if not self.is_object:
            return None
        found = [member for member in self._found() if member.key == key]
        found_again = [value for name, value in self._added if name == key]
        if len(found) + len(found_again) > 1:
            raise bad_body(f"{key} stands more than once in the request body.", param=key)
        return self._value(found[0]) if found else next(iter(found_again), None)

    def items(self) -> list[Value]:
        """The items of the list; of another value, none."""
        return [value for _, value in self.children()] if self.is_list else []

    def replace(self, text: bytes) -> None:
        """Put another JSON text in its place."""
        self._document, self._start, self._is_replaced = text, 0, True
        self._members, self._values, self._gone, self._added, self._before = None, {}, [], [], []

    def put(self, key: str, text: bytes) -> None:
        """Give a member of the object another JSON text, or add it at the end."""
        member = self.get(key)
        if member:
            member.replace(text)
        else:
            self._added.append((key, Value(text, 0, len(text))))

    def append(self, text: bytes) -> None:
        """Add an item at the end of the list."""
        self._added.append(("", Value(text, 0, len(text))))

    def put_before(self, item: Value, text: bytes) -> None:
        """Add an item to the list, before one that stands in the document, behind those that were put there."""
        self._before.append((item, text))

    def remove(self, *keys: str) -> None:
        """Remove members of the object, each as often as it stands there."""
        self._gone += [member for member in self._found() if member.key in keys]
        self._added = [(key, value) for key, value in self._added if key not in keys]

    def remove_items(self, values: list[Value]) -> None:
        """Remove items of the list."""
        places = {id(value) for value in values}
        self._gone += [member for member in self._found() if id(self._values.get(member.key_start)) in places]
        self._added = [(key, value) for key, value in self._added if id(value) not in places]

    def put_path(self, path: tuple[str, ...], text: bytes, *, overwrite: bool = True) -> bool:
        """Put a JSON text at a path below this value, and say whether that was done.

        A number in the path is an index of a list. What is missing on the way is made: a list for a number, else an
        object. Without `overwrite`, what is there stays, also a value in the way that has no members.
        """
        key, *rest = path
        if self.is_list and not _index(key):
            return False
        below = self.get(key) if self.is_object else self._item(int(key)) if self.is_list else None
        if below and rest and (below.is_object or below.is_list):
            return below.put_path(tuple(rest), text, overwrite=overwrite)
        if below and not overwrite:
            return False
        made = _nested(rest, text)
        if below:
            below.replace(made)
        elif self.is_object:
            self.put(key, made)
        elif self.is_list:
            for _ in range(min(int(key) - len(self.items()), MAX_PADDING)):
                self.append(b"null")
            self.append(made)
        else:
            return False
        return True

    def written(self) -> bytes:
        """The document with all changes; the same object if there are none. For the whole document."""
        return json_edit.apply(self._document, self._edits())

    def _item(self, index: int) -> Value | None:
        items = self.items()
        return items[index] if index < len(items) else None

    def _found(self) -> list[Member]:
        """The members or items of the document that are not removed."""
        if self._members is None:
            scan = json_edit.members_at if self.is_object else json_edit.items_at
            end = len(self._document) if self._is_replaced else self._place[1]
            self._members = scan(self._document, self._start, end)
        if not self._gone:
            return self._members
        gone = {member.key_start for member in self._gone}
        return [member for member in self._members if member.key_start not in gone]

    def _value(self, member: Member) -> Value:
        if member.key_start not in self._values:
            self._values[member.key_start] = Value(self._document, member.start, member.end)
        return self._values[member.key_start]

    def _edits(self) -> list[Edit]:
        edits = [edit for value in self._values.values() for edit in value._edits_in_place()]
        for item in dict.fromkeys(item for item, _ in self._before):
            texts = b"".join(text + b"," for other, text in self._before if other is item)
            edits.append(Edit(item._place[0], item._place[0], texts))
        if self._gone:
            # Nothing in a value that goes is edited.
            edits = [edit for edit in edits if not any(m.start <= edit.start < m.end for m in self._gone)]
            edits += json_edit.remove(self._members or [], self._gone)
        if self._added:
            text = b",".join([_member(key, value) if self.is_object else value.written() for key, value in self._added])
            kept = self._found()
            if kept:
                edits.append(Edit(kept[-1].end, kept[-1].end, b"," + text))
            else:
                end = self._members[-1].end if self._members else self._start + 1
                edits.append(Edit(end, end, text))
        return edits

    def _edits_in_place(self) -> list[Edit]:
        if self._is_replaced:
            return [Edit(*self._place, self.written())]
        return self._edits()


def _member(key: str, value: Value) -> bytes:
    return json_edit.string(key) + b":" + value.written()


def _index(key: str) -> bool:
    return len(key) <= 6 and key.isascii() and key.isdigit()


def _nested(path: list[str], text: bytes) -> bytes:
    for key in reversed(path):
        if _index(key):
            text = b"[" + b"null," * min(int(key), MAX_PADDING) + text + b"]"
        else:
            text = b"{" + json_edit.string(key) + b":" + text + b"}"
    return text


def parsed(document: bytes, members: list[Member]) -> Value:
    """The object of a document whose members are known."""
    start = len(document) - len(document.lstrip(b" \t\n\r"))
    return Value(document, start, len(document), members)
