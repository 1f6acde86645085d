"""Asking in a terminal: one question, or the turns of a conversation (chat.py reads them)."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TextStreamer

from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError, unknown_name
from polysense.modalities import MODALITIES
from polysense.modalities.detection import check_known, check_no_address, detect
from polysense.modalities.sources.source_string import is_file, parse_source
from polysense.model.polysense_model import PolysenseModel
from polysense.serving.cached_conversation import Session
from polysense.serving.text_only import NOTE

MODALITY_AND_FILE = re.compile(r"([a-z][a-z0-9_]*):(.+)")


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
        self.session, self.processor = Session(model, processor), processor
        self.limit = max_new_tokens
        self.told = False
        self.messages: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = []
        self.session.reset()

    def ask(self, question: str, shown: Sequence[str] = ()) -> str:
        """Ask, with `shown` (files and words, in any order) before the question; the answer is
        streamed to stdout.

        A question that cannot be asked (a damaged file) leaves the conversation as it was.
        """
        asked = [*self.messages, self._asked(question, shown)]
        streamer = AnswerStreamer(self.processor.text_tokenizer, self.processor.ending)
        ids = self.session.generate(
            asked, max_new_tokens=self.limit, do_sample=False, streamer=streamer
        )
        if self.session.plain and not self.told:
            self.told = True
            print(f"({NOTE})", file=sys.stderr)
        answer = self.processor.decode(ids)
        self.messages = [*asked, {"role": "assistant", "content": answer}]
        return answer

    def add_example(self, question: str, shown: str, answer: str) -> None:
        """Add an example: what a right answer to `question` is, when `shown` is asked about.

        Words that are no file are the example's own question.
        """
        own = file_of(shown) is None
        turn = self._asked(shown if own else question, [] if own else [shown])
        self.messages += [turn, {"role": "assistant", "content": answer}]

    def _asked(self, question: str, shown: Sequence[str]) -> dict[str, Any]:
        content = [self._part(word) for word in shown]
        if question:
            content.append({"type": "text", "text": question})
        return {"role": "user", "content": content}

    def _part(self, word: str) -> dict[str, Any]:
        found = file_of(word)
        if found is None:
            return {"type": "text", "text": word}
        (modality, source), modalities = found, self.processor.modalities
        if not modality:
            modality, tell = detect(word, source, modalities, MODALITIES)
            if tell:
                print(f"reading {word} as {modality}", file=sys.stderr)
        elif modality not in MODALITIES and modality not in modalities:
            raise unknown_name("modality", modality, modalities)
        check_known(modality, word, modalities)
        return {"type": modality, modality: source}


def file_of(word: str) -> tuple[str, Any] | None:
    """Return (modality or "", source) of a word that names a file, as "dog.png" and "audio:dog.mp4"
    do; None of one that is said.

    PolysenseError of an address, and of what looks like a file's name ("ct.png") and is none.
    """
    check_no_address(word)
    named = None if is_file(word) else MODALITY_AND_FILE.fullmatch(word)
    modality, name = named.groups() if named else ("", word)
    try:
        return modality, parse_source(name)
    except PolysenseError:
        if Path(name).suffix and " " not in name:
            raise
        return None


def split_words(words: Sequence[str]) -> tuple[list[str], str]:
    """Split `ask`'s words into what is shown and the question: the last word, if it is no file."""
    if not words or file_of(words[-1]) is not None:
        return list(words), ""
    return list(words[:-1]), words[-1]
