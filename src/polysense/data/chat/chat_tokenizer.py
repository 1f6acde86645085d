"""A conversation becomes token ids, places for signals, and a loss mask.

Two forms. "plain" puts parts in reading order with no words around them: alignment needs no
prompt. "template" is the LLM's own chat template. In both, the assistant's words and the
end after them are learnt and nothing else is: no question, and no place of a signal.

A document (pictures and text in any order, nobody asking) is one turn of the assistant's. Nobody
wrote it in a chat, so it is plain in both forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from polysense.data.chat.control_tokens import MARKED, ControlTokens
from polysense.data.chat.rendering import ChatTemplate, Turn
from polysense.errors import PolysenseError
from polysense.types import IGNORED, Media, Message, Text

ChatForm = Literal["plain", "template"]


@dataclass(frozen=True)
class Placeholder:
    """How one signal of a modality is held in the text: `count` times `token`, whose id is `id`."""

    token: str
    id: int
    count: int


@dataclass(frozen=True)
class TokenizedChat:
    """ids [T] of a conversation; labels [T] repeat the ids that are learnt, -100 elsewhere."""

    ids: list[int]
    labels: list[int]

    @classmethod
    def as_prompt(cls, ids: list[int]) -> Self:
        """Return a prompt: nothing of it is learnt."""
        return cls(ids, [IGNORED] * len(ids))


class ChatTokenizer:
    """Turns messages into `TokenizedChat`, for one text tokenizer and one set of placeholders."""

    def __init__(
        self,
        text_tokenizer: Any,
        placeholders: Mapping[str, Placeholder],
        system: str | None = None,
    ) -> None:
        self.text_tokenizer = text_tokenizer
        self.system = system
        self.placeholders = dict(placeholders)
        self._template_known = ChatTemplate(text_tokenizer)

    def encode(self, messages: Sequence[Message], form: ChatForm, where: str) -> TokenizedChat:
        """Encode a whole conversation; `where` names the sample in errors."""
        if not any(message.role == "assistant" for message in messages):
            raise PolysenseError(f"{where}: the conversation has no assistant turn to learn")
        plain = form == "plain" or all(message.role == "assistant" for message in messages)
        try:
            return self._plain(messages) if plain else self._template(messages)
        except PolysenseError as error:
            raise PolysenseError(f"{where}: {error}") from error

    def prompt(
        self, messages: Sequence[Message], form: ChatForm, continued: bool = False
    ) -> list[int]:
        """Encode a conversation that the assistant is to continue, as it was learnt up to there.

        `continued`: its last message has begun, and it is that which goes on.
        """
        if continued and (not messages or messages[-1].role != "assistant"):
            raise PolysenseError(
                "continue_final_message needs a last message of the assistant's, which goes on"
            )
        if form == "plain":
            return self._plain(messages, ended=False).ids
        return self.control.encode(self.render(messages, prompt=True, continued=continued))[0]

    def render(
        self, messages: Sequence[Message], prompt: bool = False, continued: bool = False
    ) -> str:
        """Render messages by the LLM's chat template, signals as runs of placeholders.

        Control tokens that somebody wrote in the text are marked (control_tokens.py).
        """
        turns = self.turns(messages)
        if continued:
            return self.template.continued(turns)
        return self.template.prompt(turns) if prompt else self.template.render(turns)

    def text(self, messages: Sequence[Message], prompt: bool, continued: bool = False) -> str:
        """Return messages as the LLM's chat template writes them, with one placeholder a signal.

        A text alone cannot say which control tokens somebody wrote: with such it is refused.
        """
        text = self.render(messages, prompt, continued)
        if (found := MARKED.search(text)) is not None:
            raise PolysenseError(
                f"a message contains {self.control.unmark(found[0])!r}, which would be a control "
                "token in the text: leave out tokenize=False"
            )
        for held in self.placeholders.values():
            text = text.replace(held.token * held.count, held.token) if held.count else text
        return text

    def turns(self, messages: Sequence[Message]) -> list[Turn]:
        """Return messages as chat templates take them, led by the system message."""
        turns = [
            {"role": message.role, "content": "".join(self._written(p) for p in message.parts)}
            for message in messages
        ]
        if self.system is not None and (not turns or turns[0]["role"] != "system"):
            turns = [{"role": "system", "content": self.control.mark(self.system)}, *turns]
        return turns

    @property
    def control(self) -> ControlTokens:
        """What the text may not say."""
        return self.template.control

    @property
    def template(self) -> ChatTemplate:
        """The LLM's own way to write a conversation; found out anew when its template changes."""
        if not self._template_known.describes(self.text_tokenizer):
            self._template_known = ChatTemplate(self.text_tokenizer)
        return self._template_known

    @property
    def ends(self) -> list[int]:
        """The ids that an answer is learnt to end in: of plain text, and of the chat template."""
        end = self.template.form.end
        token = [self.text_tokenizer.convert_tokens_to_ids(end)] if self.control.first(end) else []
        return [self.text_tokenizer.eos_token_id, *token]

    def _plain(self, messages: Sequence[Message], ended: bool = True) -> TokenizedChat:
        tokenizer = self.text_tokenizer
        # Also where the tokenizer itself adds none: LLMs park attention on the first position, and
        # a signal standing there is hardly read.
        first = tokenizer.bos_token_id
        ids: list[int] = [] if first is None else [first]
        labels = [IGNORED] * len(ids)
        for index, message in enumerate(messages):
            trainable = message.role == "assistant"
            for part in message.parts:
                new = self.control.encode(self._written(part))[0]
                ids += new
                said = trainable and isinstance(part, Text)
                labels += new if said else [IGNORED] * len(new)
            if trainable and (ended or index < len(messages) - 1):
                ids.append(tokenizer.eos_token_id)
                labels.append(tokenizer.eos_token_id)
        return TokenizedChat(ids, labels)

    def _template(self, messages: Sequence[Message]) -> TokenizedChat:
        text, spans = self.template.whole(self.turns(messages))
        ids, offsets = self.control.encode(text)
        labels = [IGNORED] * len(ids)
        places = {held.id for held in self.placeholders.values()}
        for position, (first, last) in enumerate(offsets):
            said = first < last and ids[position] not in places
            if said and any(start <= first and last <= end for start, end in spans):
                labels[position] = ids[position]
        return TokenizedChat(ids, labels)

    def _written(self, part: Text | Media) -> str:
        """Return a part as the template is to see it."""
        if isinstance(part, Media):
            held = self.placeholders[part.modality]
            return held.token * held.count
        for modality, held in self.placeholders.items():
            if held.token in part.text:
                raise PolysenseError(
                    f"the text {part.text[:40]!r} contains {held.token!r}, which stands for "
                    f"{modality}: pass the signal as a part of the message instead"
                )
        return self.control.mark(part.text)
