"""A conversation becomes token ids, places for signals, and a loss mask.

Two forms. "plain" puts parts in reading order with no words around them: alignment needs no
prompt. "template" is the LLM's own chat template. In both, the assistant's words and the
end-of-text token after them are learnt and nothing else is: no question, and no place of a signal.

A document (pictures and text in any order, nobody asking) is one turn of the assistant's. Nobody
wrote it in a chat, so it is plain in both forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from polysense.errors import PolysenseError
from polysense.types import Media, Message, Text

ChatForm = Literal["plain", "template"]
IGNORED = -100


@dataclass(frozen=True)
class Placeholder:
    """How one signal of a sense is held in the text: `count` times `token`, whose id is `id`."""

    token: str
    id: int
    count: int


@dataclass(frozen=True)
class Encoded:
    """ids [T] of a conversation; labels [T] repeat the ids that are learnt, -100 elsewhere."""

    ids: list[int]
    labels: list[int]

    @classmethod
    def asked(cls, ids: list[int]) -> Self:
        """Return a prompt: nothing of it is learnt."""
        return cls(ids, [IGNORED] * len(ids))


class ChatEncoder:
    """Turns messages into `Encoded`, for one text tokenizer and one set of placeholders."""

    def __init__(
        self,
        text_tokenizer: Any,
        placeholders: Mapping[str, Placeholder],
        system: str | None = None,
    ) -> None:
        self.text_tokenizer = text_tokenizer
        self.system = system
        self.placeholders = dict(placeholders)

    def encode(self, messages: Sequence[Message], form: ChatForm, where: str) -> Encoded:
        """Encode a whole conversation; `where` names the sample in errors."""
        if not any(message.role == "assistant" for message in messages):
            raise PolysenseError(f"{where}: the conversation has no assistant turn to learn")
        plain = form == "plain" or all(message.role == "assistant" for message in messages)
        return self._plain(messages) if plain else self._template(messages, where)

    def prompt(self, messages: Sequence[Message], form: ChatForm) -> list[int]:
        """Encode a conversation that the assistant is to continue, as it was learnt up to there."""
        if form == "plain":
            return self._plain(messages, ended=False).ids
        return self._ids(self.render(messages, continued=True))

    def _plain(self, messages: Sequence[Message], ended: bool = True) -> Encoded:
        tokenizer = self.text_tokenizer
        # Also where the tokenizer itself adds none: LLMs park attention on the first position, and
        # a signal standing there is hardly read.
        first = tokenizer.bos_token_id
        ids: list[int] = [] if first is None else [first]
        labels = [IGNORED] * len(ids)
        for index, message in enumerate(messages):
            learnt = message.role == "assistant"
            for part in message.parts:
                new = self._ids(self._written(part))
                ids += new
                said = learnt and isinstance(part, Text)
                labels += new if said else [IGNORED] * len(new)
            if learnt and (ended or index < len(messages) - 1):
                ids.append(tokenizer.eos_token_id)
                labels.append(tokenizer.eos_token_id)
        return Encoded(ids, labels)

    def _template(self, messages: Sequence[Message], where: str) -> Encoded:
        text = self.render(messages)
        spans = self._learnt_spans(messages, text, where)
        coded = self.text_tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = coded["input_ids"]
        labels = [IGNORED] * len(ids)
        places = {held.id for held in self.placeholders.values()}
        for position, (first, last) in enumerate(coded["offset_mapping"]):
            said = first < last and ids[position] not in places
            if said and any(start <= first and last <= end for start, end in spans):
                labels[position] = ids[position]
        return Encoded(ids, labels)

    def _learnt_spans(
        self, messages: Sequence[Message], text: str, where: str
    ) -> list[tuple[int, int]]:
        """Return the character spans of the assistant's turns, end-of-text token included.

        The template is rendered up to each turn, with and without it. That only works where a
        longer conversation begins with the shorter one, which is checked, never assumed.
        """
        spans = []
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.render(messages[:index], continued=True)
            after = self.render(messages[: index + 1])
            if not (after.startswith(before) and text.startswith(after.rstrip())):
                raise PolysenseError(
                    f"{where}: this LLM's chat template rewrites earlier turns, so the loss mask "
                    f"of turn {index + 1} cannot be found; split the conversation into single turns"
                )
            spans.append((len(before), len(after.rstrip())))
        return spans

    def render(self, messages: Sequence[Message], continued: bool = False) -> str:
        """Render messages by the LLM's chat template, signals as runs of placeholders."""
        turns = [
            {"role": message.role, "content": "".join(self._written(p) for p in message.parts)}
            for message in messages
        ]
        if self.system is not None and (not turns or turns[0]["role"] != "system"):
            turns = [{"role": "system", "content": self.system}, *turns]
        return self.text_tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=continued
        )

    def _written(self, part: Text | Media) -> str:
        if isinstance(part, Media):
            held = self.placeholders[part.modality]
            return held.token * held.count
        for modality, held in self.placeholders.items():
            if held.token in part.text:
                raise PolysenseError(
                    f"the text {part.text[:40]!r} contains {held.token!r}, which stands for "
                    f"{modality}: pass the signal as a part of the message instead"
                )
        return part.text

    def _ids(self, text: str) -> list[int]:
        return self.text_tokenizer(text, add_special_tokens=False)["input_ids"]
