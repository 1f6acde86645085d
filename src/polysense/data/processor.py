"""The processor: what users hand a model (messages with files) becomes its inputs.

It owns the text tokenizer with one placeholder per modality, and the modalities' readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch

from polysense.data.caption_tokenizer import CaptionTokenizer
from polysense.data.chat.chat_tokenizer import ChatForm, ChatTokenizer, Placeholder, TokenizedChat
from polysense.data.collate import collate
from polysense.data.formats.messages import parse_messages
from polysense.data.model_inputs import (
    ModelInputs,
    check_form,
    check_options,
    encoded_prompts,
    given_signals,
    one_turn_each,
    placed,
)
from polysense.data.placeholders import add_placeholders, placeholder_token
from polysense.data.processor_files import ProcessorFiles
from polysense.data.qformer_instructions import read_instructions
from polysense.errors import PolysenseError
from polysense.modalities import Modality
from polysense.modalities.read_signal import read_signal
from polysense.types import Batch, Media, Message

OPTIONS = ("add_generation_prompt", "continue_final_message", "tokenize", "return_dict",
           "return_tensors", "padding", "form")  # fmt: skip


class PolysenseProcessor(ProcessorFiles):
    """Messages, with files in them, to model inputs; or texts, with signals beside them.

    `ending` is what the LLM writes last where it does not end in its end-of-text token. `captions`
    reads them for a Q-Former that learns from them, and is set where the model is built.
    """

    def __init__(
        self,
        text_tokenizer: Any,
        modalities: Mapping[str, Modality],
        num_placeholders_per_signal: Mapping[str, int],
        form: ChatForm = "template",
        system: str | None = None,
        instruction_tokenizer: Any = None,
        ending: str | None = None,
    ) -> None:
        self.text_tokenizer = text_tokenizer
        self.instruction_tokenizer = instruction_tokenizer
        self.modalities = dict(modalities)
        self.num_placeholders_per_signal = dict(num_placeholders_per_signal)
        self.form: ChatForm = form
        self.ending = ending
        self.captions: CaptionTokenizer | None = None
        ids = add_placeholders(text_tokenizer, modalities)
        self.chat = ChatTokenizer(
            text_tokenizer,
            {
                name: Placeholder(
                    placeholder_token(name), ids[name], num_placeholders_per_signal[name]
                )
                for name in modalities
            },
            system,
        )

    @property
    def tokenizer(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The text tokenizer, under transformers' name."""
        return self.text_tokenizer

    @property
    def chat_template(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The LLM's chat template."""
        return self.text_tokenizer.chat_template

    @property
    def pad_id(self) -> int:
        """The id that fills short rows; it is masked, so any will do."""
        own = self.text_tokenizer.pad_token_id
        return self.text_tokenizer.eos_token_id if own is None else own

    @property
    def placeholders(self) -> dict[str, int]:
        """{modality: token id} of the placeholders."""
        return {name: held.id for name, held in self.chat.placeholders.items()}

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        return_tensors: str = "pt",
        padding: bool | str = True,
        add_special_tokens: bool = True,
        **given: Any,
    ) -> ModelInputs:
        """Turn texts, and signals by the names of their modalities (`images=`, `audio=`), into
        inputs.

        A text is a prompt as `apply_chat_template(tokenize=False)` writes it, with a placeholder
        for each signal; what it says of control tokens holds. Signals without a place stand first.
        A signal is whatever its modality reads: a path, a picture, an array, a tensor.
        """
        check_form(return_tensors, padding)
        signals = given_signals({"images": images, **given}, self.modalities)
        if text is None:
            raise PolysenseError("the processor needs text=, a prompt or a list of them")
        texts, media = placed(
            [text] if isinstance(text, str) else text, signals, self.chat.placeholders
        )
        rows = encoded_prompts(self.text_tokenizer, texts, add_special_tokens)
        return self._asked(rows, one_turn_each(texts, media))

    def apply_chat_template(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        conversation: Sequence[Any],
        *,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        tokenize: bool = True,
        return_dict: bool = True,
        return_tensors: str = "pt",
        padding: bool | str = True,
        form: ChatForm | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Any:
        """Turn one conversation, or a list of them, into inputs for `model.generate(**inputs)`.

        A message is {"role": ..., "content": text or parts}; a part {"type": "text", "text": ...}
        or {"type": modality, modality: path or object}. Rows are padded on the left. Without
        `tokenize`, the text comes back, with one placeholder a signal; without `return_dict`, the
        ids alone. Other than transformers' processors this one asks for an answer unless told not
        to. With `add_generation_prompt=False`, the conversation is whole, and labels come with it.
        """
        check_options({**others, **(processor_kwargs or {})}, OPTIONS, "apply_chat_template")
        check_form(return_tensors, padding)
        if add_generation_prompt and continue_final_message:
            raise PolysenseError(
                "add_generation_prompt and continue_final_message: an answer is begun, or goes on"
            )
        many, form = isinstance(next(iter(conversation), None), list | tuple), form or self.form
        given = conversation if many else [conversation]
        conversations = [parse_messages(messages, self.modalities) for messages in given]
        asked = continue_final_message or add_generation_prompt is not False
        if not tokenize:
            texts = [self.chat.text(c, asked, continue_final_message) for c in conversations]
            return texts if many else texts[0]
        if asked:
            prompts = (self.chat.prompt(c, form, continue_final_message) for c in conversations)
            rows = [TokenizedChat.as_prompt(ids) for ids in prompts]
        else:
            where = "conversation {}".format
            rows = [self.chat.encode(c, form, where(n)) for n, c in enumerate(conversations)]
        inputs = self._asked(rows, conversations, labels=not asked)
        return inputs if return_dict else inputs["input_ids"]

    def _asked(
        self,
        rows: Sequence[TokenizedChat],
        conversations: Sequence[Sequence[Message]],
        labels: bool = False,
    ) -> ModelInputs:
        """Return encoded conversations as inputs, padded on the left, with their signals."""
        media = [self.read_signals(conversation) for conversation in conversations]
        batch = collate(rows, media, self.pad_id, side="left")
        if not labels:
            del batch["labels"]
        return ModelInputs(dict(self.add_instructions(batch, conversations)))

    def add_instructions(self, batch: Batch, conversations: Sequence[Sequence[Message]]) -> Batch:
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
                    signal = read_signal(self.modalities[part.modality], part.source)
                    signals.setdefault(part.modality, []).append(signal)
        return signals

    def read_instructions(
        self, conversations: Sequence[Sequence[Message]]
    ) -> dict[str, dict[str, torch.Tensor]]:
        """Return what the connector is told of each signal (qformer_instructions.py)."""
        return read_instructions(self.instruction_tokenizer, conversations)

    def decode(self, ids: Any, *, skip_special_tokens: bool = True, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Turn ids [T] into text, or [B, T] into texts; the LLM's ending goes with the special
        tokens. `options` are those of the text tokenizer's `decode`."""
        if getattr(ids, "ndim", 1) == 2:
            return self.batch_decode(ids, skip_special_tokens=skip_special_tokens, **options)
        text = self.text_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens, **options)
        text = text.strip()
        if self.ending and skip_special_tokens:
            text = text.removesuffix(self.ending).strip()
        return text

    def batch_decode(self, rows: Any, **options: Any) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Turn ids [B, T] into texts, as `decode` does."""
        return [self.decode(row, **options) for row in rows]

    def post_process_image_text_to_text(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, generated_outputs: Any, **options: Any
    ) -> list[str]:
        """Turn what `generate` returned into texts, prompts included, as pipelines ask for it."""
        return self.batch_decode(generated_outputs, **options)

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
        counts = {name: model.num_placeholders_per_signal(name) for name in model.modalities}
        return cls(
            text_tokenizer,
            model.modalities,
            counts,
            system=system,
            instruction_tokenizer=instruction_tokenizer,
            ending=ending,
        )
