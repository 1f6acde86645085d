"""The processor: what users hand a model (messages with files) becomes its inputs.

It owns the text tokenizer with one placeholder per sense, and the senses' readers. Saved beside
the model, it reads signals the same way when it is loaded again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer

from polysense.data.captions import CaptionReader
from polysense.data.chat import IGNORED, ChatEncoder, ChatForm, Encoded, Placeholder
from polysense.data.collate import collate
from polysense.data.messages import parse_messages
from polysense.errors import PolysenseError
from polysense.modalities import Modality, build_modalities
from polysense.modalities.sense_files import sense_sources, source_of
from polysense.model.saving import checkpoint_folder
from polysense.types import Batch, Media, Message, Text

FILE = "processor_config.json"
INSTRUCTION_TOKENIZER = "instruction_tokenizer"
CAPTION_TOKENIZER = "caption_tokenizer"


def placeholder_token(modality: str) -> str:
    """Return the text that holds the place of a signal, as users see it in a rendered prompt."""
    return f"<|{modality}|>"


def add_placeholders(text_tokenizer: Any, modalities: Iterable[str]) -> dict[str, int]:
    """Give the tokenizer one special token per sense; return {modality: id}."""
    tokens = {name: placeholder_token(name) for name in modalities}
    text_tokenizer.add_tokens([AddedToken(token, special=True) for token in tokens.values()])
    return {name: text_tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


class PolysenseProcessor:
    """Messages, with files in them, to model inputs.

    `ending` is what the LLM writes last where it does not end in its end-of-text token. `captions`
    reads them for a Q-Former that learns from them, and is set where the model is built.
    """

    def __init__(
        self,
        text_tokenizer: Any,
        modalities: Mapping[str, Modality],
        embeddings_per_signal: Mapping[str, int],
        form: ChatForm = "template",
        system: str | None = None,
        instruction_tokenizer: Any = None,
        ending: str | None = None,
    ) -> None:
        self.text_tokenizer = text_tokenizer
        self.instruction_tokenizer = instruction_tokenizer
        self.modalities = dict(modalities)
        self.embeddings_per_signal = dict(embeddings_per_signal)
        self.form: ChatForm = form
        self.ending = ending
        self.captions: CaptionReader | None = None
        ids = add_placeholders(text_tokenizer, modalities)
        self.chat = ChatEncoder(
            text_tokenizer,
            {
                name: Placeholder(placeholder_token(name), ids[name], embeddings_per_signal[name])
                for name in modalities
            },
            system,
        )

    @property
    def pad_id(self) -> int:
        """The id that fills short rows; it is masked, so any will do."""
        return self.text_tokenizer.pad_token_id or self.text_tokenizer.eos_token_id

    @property
    def placeholders(self) -> dict[str, int]:
        """{modality: token id} of the placeholders."""
        return {name: held.id for name, held in self.chat.placeholders.items()}

    def apply_chat_template(
        self,
        messages: Sequence[Any],
        *,
        add_generation_prompt: bool = True,
        form: ChatForm | None = None,
        **_: Any,
    ) -> Batch:
        """Turn one conversation, or a list of them, into inputs for `model.generate(**inputs)`.

        A message is {"role": ..., "content": text or parts}; a part {"type": "text", "text": ...}
        or {"type": modality, modality: path or object}. Rows are padded on the left.
        """
        many = bool(messages) and isinstance(messages[0], list | tuple)
        conversations = [
            parse_messages(m, self.modalities) for m in (messages if many else [messages])
        ]
        form = form or self.form
        rows, signals = [], []
        for index, conversation in enumerate(conversations):
            if add_generation_prompt:
                ids = self.chat.prompt(conversation, form)
                rows.append(Encoded(ids, [IGNORED] * len(ids)))
            else:
                rows.append(self.chat.encode(conversation, form, f"conversation {index}"))
            signals.append(self.read_signals(conversation))
        batch = collate(rows, signals, self.pad_id, side="left")
        if add_generation_prompt:
            del batch["labels"]
        return self.led(batch, conversations)

    def led(self, batch: Batch, conversations: Sequence[Sequence[Message]]) -> Batch:
        """Add to a batch of conversations what a connector that follows instructions is told."""
        if self.instruction_tokenizer is not None:
            batch["instructions"] = self.read_instructions(conversations)
        return batch

    def read_signals(self, messages: Sequence[Message]) -> dict[str, list[Any]]:
        """Read every signal of a conversation: {modality: [signal, ...]} in reading order."""
        signals: dict[str, list[Any]] = {}
        for message in messages:
            for part in message.parts:
                if isinstance(part, Media):
                    signal = self.modalities[part.modality].read(part.source)
                    signals.setdefault(part.modality, []).append(signal)
        return signals

    def read_instructions(
        self, conversations: Sequence[Sequence[Message]]
    ) -> dict[str, dict[str, torch.Tensor]]:
        """Return what the connector is told of each signal: the text of the message it stands in.

        {modality: {text_ids, text_mask [N, L]}} in ids of the connector's own tokenizer, the
        signals in reading order over all conversations (InstructBLIP, arXiv 2305.06500).
        """
        texts: dict[str, list[str]] = {}
        for message in (m for conversation in conversations for m in conversation):
            words = "".join(part.text for part in message.parts if isinstance(part, Text))
            for part in message.parts:
                if isinstance(part, Media):
                    texts.setdefault(part.modality, []).append(words)
        coded = {
            name: self.instruction_tokenizer(said, padding=True, return_tensors="pt")
            for name, said in texts.items()
        }
        return {
            name: {"text_ids": values["input_ids"].long(), "text_mask": values["attention_mask"]}
            for name, values in coded.items()
        }

    def decode(self, ids: Any, *, skip_special_tokens: bool = True) -> str:
        """Turn ids [T] into text; the LLM's ending goes with the special tokens."""
        text = self.text_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens).strip()
        if self.ending and skip_special_tokens:
            text = text.removesuffix(self.ending).strip()
        return text

    def batch_decode(self, rows: Any, *, skip_special_tokens: bool = True) -> list[str]:
        """Turn ids [B, T] into texts."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer's files and processor_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.text_tokenizer.save_pretrained(folder)
        if self.instruction_tokenizer is not None:
            self.instruction_tokenizer.save_pretrained(folder / INSTRUCTION_TOKENIZER)
        if self.captions is not None:
            self.captions.save_pretrained(folder / CAPTION_TOKENIZER)
        values = {
            "processor_class": type(self).__name__,
            "modalities": {name: vars(sense) for name, sense in self.modalities.items()},
            "sources": {
                name: source
                for name, sense in self.modalities.items()
                if (source := source_of(type(sense)))
            },
            "embeddings_per_signal": self.embeddings_per_signal,
            "form": self.form,
            "system": self.chat.system,
            "ending": self.ending,
        }
        scratch = folder / f".{FILE}.writing"
        scratch.write_text(json.dumps(values, indent=2) + "\n")
        scratch.replace(folder / FILE)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, senses: Sequence[str] = (), **_: Any) -> Self:
        """Load a processor from the folder, or hub name, of a checkpoint.

        `senses` says where the files of a user's own senses lie now, if they have moved.
        """
        folder = checkpoint_folder(name)
        try:
            values = json.loads((folder / FILE).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise PolysenseError(f"{folder / FILE} cannot be read: {error}") from error
        sources = sense_sources(values.get("sources", {}), senses, name)
        modalities = build_modalities(values["modalities"], sources)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        led = (folder / INSTRUCTION_TOKENIZER).is_dir()
        processor = cls(
            tokenizer,
            modalities,
            values["embeddings_per_signal"],
            values["form"],
            values["system"],
            AutoTokenizer.from_pretrained(folder / INSTRUCTION_TOKENIZER) if led else None,
            values.get("ending"),
        )
        if (folder / CAPTION_TOKENIZER).is_dir():
            processor.captions = CaptionReader.from_pretrained(folder / CAPTION_TOKENIZER)
        return processor

    @classmethod
    def for_model(
        cls,
        model: Any,
        text_tokenizer: Any,
        system: str | None = None,
        instruction_tokenizer: Any = None,
        ending: str | None = None,
    ) -> Self:
        """Build the processor of a new model around its LLM's tokenizer.

        `instruction_tokenizer` is of a connector that reads the user's words besides the signal.
        """
        counts = {name: model.embeddings_per_signal(name) for name in model.modalities}
        return cls(
            text_tokenizer,
            model.modalities,
            counts,
            system=system,
            instruction_tokenizer=instruction_tokenizer,
            ending=ending,
        )
