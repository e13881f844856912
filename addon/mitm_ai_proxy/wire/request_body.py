"""What is read in a JSON request body; refused with 400 where it is not what it has to be."""

from __future__ import annotations

from ..errors import bad_body
from . import json_edit


def object_members(body: bytes) -> list[json_edit.Member]:
    """The members of a request body that has to be a JSON object. Raises Refusal (400)."""
    try:
        return json_edit.members(body)
    except json_edit.JSONError as error:
        raise bad_body(f"The request body {error}.") from None


def text_member(body: bytes, members: list[json_edit.Member], name: str) -> tuple[json_edit.Member, str] | None:
    """The member of that name with its text, or None.

    Raises Refusal (400) when it is no string or repeated.
    """
    found = [member for member in members if member.key == name]
    if not found:
        return None
    if len(found) > 1:
        raise bad_body(f"{name} stands more than once in the request body.", param=name)
    text = json_edit.string_value(body, found[0])
    if text is None:
        raise bad_body(f"{name} is not a string.", param=name)
    return found[0], text


def replace_text(member: json_edit.Member, before: str, after: str) -> list[json_edit.Edit]:
    """The edit that changes a member's text; none when it stays, so that its bytes stay too."""
    return [] if before == after else [json_edit.Edit(member.start, member.end, json_edit.string(after))]
