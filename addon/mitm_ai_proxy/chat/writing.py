"""What the writers of requests for vendors have in common, and those of whole answers for clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from ..errors import Refusal, bad_body
from .model import Call, Close, Delta, Event, Media, Open, Said, Sealed, Start, Stop, Text, Turn, Usage

NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'
"""The schema of a tool without one."""


def note(notes: list[str], text: str) -> None:
    """Add a note, once."""
    if text not in notes:
        notes.append(text)


def refused(media: Media, why: str) -> Refusal:
    """The refusal (400) of a picture, a document or sound; `why` is a sentence without its full stop."""
    return bad_body(f"{media.path}: {why}.", param=media.path)


def refused_file(media: Media) -> Refusal:
    """The refusal of a file by its id."""
    return refused(media, "a file by its id belongs to the API that it was uploaded to")


def check_first(turns: Iterable[Turn], name: str) -> None:
    """Raise Refusal (400) for a conversation that does not begin with the user, for a vendor of this name."""
    first = next((turn for turn in turns if turn.role != "system"), None)
    if first is None or first.role != "user":
        path = first.path if first else "messages"
        raise bad_body(
            f"{path} has to be from the user: {name} takes no conversation that begins otherwise.", param=path
        )


def titled(media: Media) -> str:
    """The text of a document, with its title if it has one."""
    return f"{media.name}\n\n{media.text}" if media.name else media.text


class Told(NamedTuple):
    """What a whole answer says: its blocks are complete."""

    start: Start
    blocks: tuple[Said, ...]
    stop: Stop
    usage: Usage | None


def told(events: Iterable[Event]) -> Told:
    """A whole answer from its events, which end with End."""
    start, stop, usage = Start(), Stop("end"), None
    blocks: list[Said] = []
    block: Said = Text()
    pieces: list[str] = []
    for event in events:
        match event:
            case Open():
                block, pieces = event.block, []
            case Delta():
                pieces.append(event.text)
            case Sealed():
                block = msgspec.structs.replace(block, seal=event.seal)
            case Close():
                blocks.append(_complete(block, "".join(pieces)))
            case Start():
                start = event
            case Stop():
                stop = event
            case Usage():
                usage = event
    return Told(start, tuple(blocks), stop, usage)


def _complete(block: Said, text: str) -> Said:
    if isinstance(block, Media):
        return block
    return msgspec.structs.replace(block, **{"arguments" if isinstance(block, Call) else "text": text})
