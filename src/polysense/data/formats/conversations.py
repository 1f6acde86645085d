"""The forms in which a line has its turns: a question, messages, LLaVA's conversations, a document.

    "question": "How many?", "answer": "Two."
    "messages": [{"role": "user", "content": [{"image": "cat.png"}, "What is this?"]}, ...]
    "conversations": [{"from": "human", "value": "<image>\\nWhat is this?"}, {"from": "gpt", ...}]
    "document": [{"image": "cat.png"}, "A cat.", {"image": "dog.png"}, "A dog."]

In: a line's values, and the signals that it names beside its turns. Out: messages, with sources
still as the line writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polysense.data.formats.messages import parse_messages
from polysense.errors import PolysenseError
from polysense.types import Media, Message, Part, Role, Text

FORMS = ("question", "messages", "conversations", "document")

ROLES: dict[str, Role] = {
    "human": "user",
    "gpt": "assistant",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}


def read_turns(
    form: str, values: Mapping[str, Any], shown: Sequence[Media], modalities: Sequence[str]
) -> tuple[Message, ...]:
    """Return the turns of a line, `shown` in their places; `form` is one of FORMS.

    "<image>" in their words is the place of the next image, as in other trainers' data. Raises
    PolysenseError, which does not say where, over anything that is no such conversation.
    """
    given = values[form]
    if form == "question":
        asked = Message("user", (Text(given),))
        turns = [asked, Message("assistant", (Text(values["answer"]),))]
    elif form == "document":
        if values.get("system"):
            raise PolysenseError("a 'system' message beside a document: nobody is asked there")
        return (read_document(given, shown, modalities),)
    elif not isinstance(given, list) or not given:
        raise PolysenseError(f"{form!r} must be a list of turns, not {given!r}")
    elif form == "conversations":
        turns = read_conversations(given)
    else:
        turns = parse_messages([full_message(turn) for turn in given], modalities)
    if values.get("system"):
        turns = [Message("system", (Text(values["system"]),)), *turns]
    filled = fill_places(turns, shown, modalities)
    check_turns(filled)
    return tuple(filled)


def read_document(given: Any, shown: Sequence[Media], modalities: Sequence[str]) -> Message:
    """Return a document as the one turn that it is."""
    if shown:
        raise PolysenseError(
            f"{shown[0].modality!r} stands beside the document: put the file into it, where it is "
            f'to be read, as {{"{shown[0].modality}": "file"}}'
        )
    content = [given] if isinstance(given, str) else given
    (message,) = parse_messages(
        [full_message({"role": "assistant", "content": content})], modalities
    )
    if not any(isinstance(part, Text) and part.text.strip() for part in message.parts):
        raise PolysenseError("the document has no text: there is nothing to learn")
    return message


def full_message(turn: Any) -> Any:
    """Return a message with its parts in full, as parse_messages takes them."""
    if not isinstance(turn, Mapping) or "content" not in turn:
        return turn  # parse_messages says what it lacks
    content = turn["content"]
    if isinstance(content, str):
        return turn
    if not isinstance(content, list):
        raise PolysenseError(f"'content' must be text or a list of parts, not {content!r}")
    return {**turn, "content": [full_part(part) for part in content]}


def full_part(part: Any) -> Any:
    """Return a part as {"type": T, T: ...}, of the short form or OpenAI's.

    {"image": "cat.png"} and {"type": "image_url", "image_url": {"url": "cat.png"}} mean the same.
    """
    if not isinstance(part, Mapping):
        return part
    if "type" not in part and len(part) == 1:
        (kind,) = part
        return {"type": kind, **part}
    kind = str(part.get("type"))
    modality = kind.removesuffix("_url")
    if modality == kind:
        return part
    named = part.get(kind)
    address = named.get("url") if isinstance(named, Mapping) else named
    if not isinstance(address, str) or re.match(r"[a-z][a-z0-9+.-]*:", address):
        raise PolysenseError(
            f"{kind} is {str(address)[:60]!r}: no address is fetched, so name a file"
        )
    return {"type": modality, modality: address}


def read_conversations(given: Sequence[Any]) -> list[Message]:
    """Return LLaVA's turns, with "<image>" still in their words."""
    for number, turn in enumerate(given, start=1):
        known = isinstance(turn, Mapping) and turn.get("from") in ROLES
        if not known or not isinstance(turn.get("value"), str):
            raise PolysenseError(
                f'turn {number} must be {{"from": ..., "value": text}}, from one of '
                f"{', '.join(ROLES)}"
            )
    return [Message(ROLES[turn["from"]], (Text(turn["value"].strip()),)) for turn in given]


def fill_places(
    turns: list[Message], shown: Sequence[Media], modalities: Sequence[str]
) -> list[Message]:
    """Return the turns with `shown` at their places, or, where they name none, at the beginning.

    Without `shown`, what the assistant says is words, also where it says "<image>".
    """
    words = [
        part.text
        for turn in turns
        if shown or turn.role == "user"
        for part in turn.parts
        if isinstance(part, Text)
    ]
    asked = {
        modality: sum(text.count(f"<{modality}>") for text in words) for modality in modalities
    }
    if not any(asked.values()):
        return show_first(turns, shown)
    for modality, count in asked.items():
        files = sum(media.modality == modality for media in shown)
        if count != files:
            raise PolysenseError(
                f"its turns say <{modality}> {count} times, and it names {files} of {modality}: "
                "each needs the other"
            )
    waiting = {modality: [m for m in shown if m.modality == modality] for modality in modalities}
    return [Message(turn.role, tuple(with_signals(turn.parts, waiting))) for turn in turns]


def with_signals(parts: Sequence[Part], waiting: Mapping[str, list[Media]]) -> Iterator[Part]:
    """Yield the parts of a turn, each "<modality>" in it replaced by the next one `waiting`."""
    places = re.compile(f"\n?<({'|'.join(map(re.escape, waiting))})>\n?")
    for part in parts:
        if not isinstance(part, Text) or not any(waiting.values()):
            yield part
            continue
        for index, word in enumerate(places.split(part.text)):  # text, modality, text ... text
            if index % 2:
                yield waiting[word].pop(0)
            elif word:
                yield Text(word)


def show_first(turns: list[Message], shown: Sequence[Media]) -> list[Message]:
    """Return the turns with `shown` before the first words of the user."""
    if not shown:
        return turns
    first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        raise PolysenseError("no turn of the user's, in which its signals could stand")
    opened = Message("user", (*shown, *turns[first].parts))
    return [*turns[:first], opened, *turns[first + 1 :]]


def check_turns(turns: Sequence[Message]) -> None:
    """Check that user and assistant take turns, the assistant has the last word, none is empty."""
    talk = turns[1:] if turns[0].role == "system" else turns
    roles = [turn.role for turn in talk]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise PolysenseError(
            "after at most one system message, user and assistant must take turns, the "
            f"assistant's the last, not {', '.join(turn.role for turn in turns)}"
        )
    for number, turn in enumerate(turns, start=1):
        words = any(isinstance(part, Text) and part.text.strip() for part in turn.parts)
        if not (words or (turn.role == "user" and turn.parts)):
            raise PolysenseError(f"turn {number} ({turn.role}) says nothing")
