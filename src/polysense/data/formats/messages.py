"""Messages as users write them (dictionaries, as chat templates have them) become `Message`s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polysense.errors import PolysenseError
from polysense.types import Media, Message, Part, Text


def parse_messages(messages: Sequence[Any], modalities: Iterable[str]) -> list[Message]:
    """Check messages as users write them and turn them into `Message`s."""
    parsed = []
    for index, message in enumerate(messages):
        if isinstance(message, Message):
            parsed.append(message)
            continue
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise PolysenseError(f"message {index + 1} needs the keys 'role' and 'content'")
        if message["role"] not in ("system", "user", "assistant"):
            raise PolysenseError(
                f"message {index + 1} has role {message['role']!r}; roles: system, user, assistant"
            )
        content = message["content"]
        parts = [content] if isinstance(content, str) else content
        read = tuple(parse_part(part, list(modalities), index + 1) for part in parts)
        parsed.append(Message(message["role"], read))
    return parsed


def parse_part(part: Any, modalities: list[str], message: int) -> Part:
    """Check one part of a message."""
    if isinstance(part, str):
        return Text(part)
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and "text" in part:
        return Text(str(part["text"]))
    if kind in modalities and (kind in part or "path" in part):
        return Media(kind, part.get(kind, part.get("path")))
    raise PolysenseError(
        f"message {message} has a part of type {kind!r}; this model takes "
        f"{{'type': T, T: ...}} with T one of text, {', '.join(modalities)}"
    )
