"""Asking in a terminal: one question, or a conversation over several turns and signals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TextStreamer

from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.model.polysense_model import PolysenseModel


class AnswerStreamer(TextStreamer):
    """Prints an answer while it comes, without what the LLM writes to end it."""

    def __init__(self, text_tokenizer: Any, ending: str | None) -> None:
        super().__init__(text_tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.ending = ending or ""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print the next words; the ending is the last token, so it comes with the last words."""
        if stream_end:
            text = text.rstrip().removesuffix(self.ending)
        super().on_finalized_text(text, stream_end)


class Conversation:
    """A conversation with a model: what was said, and how to say more."""

    def __init__(
        self, model: PolysenseModel, processor: PolysenseProcessor, max_new_tokens: int
    ) -> None:
        self.model, self.processor, self.limit = model, processor, max_new_tokens
        self.messages: list[dict[str, Any]] = []

    def ask(self, question: str, files: Sequence[str] = ()) -> str:
        """Ask, with `files` shown before the question; the answer is streamed to stdout.

        A question that cannot be asked (a damaged file) leaves the conversation as it was.
        """
        content: list[dict[str, Any]] = [self._shown(name) for name in files]
        content.append({"type": "text", "text": question})
        asked = [*self.messages, {"role": "user", "content": content}]
        inputs = self.processor.apply_chat_template(asked).to(self.model.device)
        streamer = AnswerStreamer(self.processor.text_tokenizer, self.processor.ending)
        ids = self.model.generate(
            **inputs, max_new_tokens=self.limit, do_sample=False, streamer=streamer
        )
        answer = self.processor.decode(ids[0, inputs["input_ids"].shape[1] :])
        self.messages = [*asked, {"role": "assistant", "content": answer}]
        return answer

    def _shown(self, name: str) -> dict[str, Any]:
        # One sense needs no naming; with several, a file says its own as "audio:dog.wav".
        senses = list(self.processor.modalities)
        sense, colon, rest = name.partition(":")
        if colon and sense in senses:
            return {"type": sense, sense: rest}
        return {"type": senses[0], senses[0]: name}


def split_words(words: Sequence[str]) -> tuple[list[str], str]:
    """Split `ask`'s words into files and the question, which is the last word with no such file."""
    if not words:
        return [], ""
    *files, last = words
    looks_like_file = Path(last).suffix and " " not in last
    if Path(last).is_file() or looks_like_file:
        return list(words), ""
    return files, last


def chat(conversation: Conversation, files: Sequence[str]) -> None:
    """Read turns from the terminal until end of file; "/show FILE" adds a file to the next one."""
    print(
        "Type a question. /show FILE adds a file to it; an empty line or Ctrl-D ends.",
        file=sys.stderr,
    )
    shown = list(files)
    while True:
        try:
            line = input("you> ").strip()
        except EOFError:
            return
        if not line:
            return
        if line.startswith("/show "):
            shown.append(line.removeprefix("/show ").strip())
            continue
        try:
            conversation.ask(line, shown)
        except PolysenseError as error:
            print(f"polysense: {error}", file=sys.stderr)
        shown = []
