"""The model. `seen` and `forward` are the figure of the README, in code:

    signal -> tokenizer -> encoder -> connector -> (spliced among the words) -> LLM

or, in place of the splice, gated blocks between the LLM's layers (interaction.py).
Everything is found by the modality's name; nothing here knows a particular sense.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import unknown_name
from polysense.modalities import Modality, modality_class
from polysense.model.configuration import PolysenseConfig
from polysense.model.connectors import build_connector
from polysense.model.encoders import Encoder, build_encoder
from polysense.model.interaction import GatedInteraction
from polysense.model.llm import compute_dtype, embedding_scale, load_llm
from polysense.model.saving import Checkpointing
from polysense.model.splice import splice

IGNORED = -100
Instructions = dict[str, dict[str, torch.Tensor]]  # {modality: {text_ids, text_mask [N, L]}}


class PolysenseModel(Checkpointing, PreTrainedModel):  # pyright: ignore[reportIncompatibleMethodOverride]
    """An LLM with senses.

    tokenizers  {modality: signal -> tokens}
    encoder     tokens -> features [N, F, E]; frozen and referenced unless a stage learns it
    connector   features -> embeddings [N, M, D]
    gates       gated blocks in the LLM that see the embeddings; None where the text holds them
    llm         any decoder-only transformers model
    """

    config_class = PolysenseConfig
    config: PolysenseConfig
    main_input_name = "input_ids"
    _no_split_modules = None

    def __init__(self, config: PolysenseConfig) -> None:
        super().__init__(config)
        parts = config.parts
        dtype = compute_dtype(parts.precision)
        self.modalities: dict[str, Modality] = {
            name: modality_class(name)(**options) for name, options in parts.modalities.items()
        }
        self.llm: Any = load_llm(parts.llm, dtype)
        self.encoder: Encoder = build_encoder(parts.encoder, dtype)
        self.tokenizers = nn.ModuleDict(
            {name: sense.tokenizer(self.encoder.width) for name, sense in self.modalities.items()}
        )
        self.connector = build_connector(
            parts.connector,
            list(self.modalities),
            encoder_width=self.encoder.width,
            llm_width=self.word_vectors.shape[1],
            embedding_scale=embedding_scale(self.llm),
        )
        self.gates: GatedInteraction | None = None
        if parts.interaction.kind == "gated":
            self.gates = GatedInteraction(self.llm, parts.interaction, list(self.modalities))

    @property
    def word_vectors(self) -> torch.Tensor:
        """The LLM's word vectors [V, D]."""
        return self.llm.get_input_embeddings().weight

    def embeddings_per_signal(self, modality: str) -> int:
        """Return the places one signal of `modality` takes in the text: M, or 1 if gated."""
        if self.gates is not None:
            return 1
        tokens = self.tokenizers[modality](self.modalities[modality].example()[None])
        return self.connector.embeddings(self.encoder.positions(tokens))

    def extract(self, modality: str, signals: torch.Tensor) -> torch.Tensor:
        """signals [N, ...] -> features [N, F, E]: the part whose result can be cached."""
        if modality not in self.modalities:
            raise unknown_name("modality", modality, self.modalities)
        return self.encoder(self.tokenizers[modality](signals), modality)

    def connect(
        self, modality: str, features: torch.Tensor, **instruction: torch.Tensor
    ) -> torch.Tensor:
        """features [N, F, E] -> embeddings [N, M, D], led by `instruction` where one is given."""
        dtype = next(self.connector.parameters()).dtype
        return self.connector(features.to(dtype), modality, **instruction)

    @contextmanager
    def seen(
        self,
        input_ids: torch.Tensor,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        **_: Any,
    ) -> Iterator[torch.Tensor]:
        """Yield the LLM's input [B, T, D] for ids [B, T] with placeholders, signals in place.

        The LLM is called inside, since gated blocks see the signals only there.
        """
        led, placeholders = instructions or {}, self.config.placeholders
        features = dict(features or {})
        for modality, signal in (signals or {}).items():
            features[modality] = self.extract(modality, signal)
        embeddings = {
            name: self.connect(name, value, **led.get(name, {})) for name, value in features.items()
        }
        # A placeholder has no word vector of its own: look up token 0 there, then overwrite it.
        held = torch.zeros_like(input_ids, dtype=torch.bool)
        for token in placeholders.values():
            held |= input_ids == token
        words = self.llm.get_input_embeddings()(input_ids.masked_fill(held, 0))
        if self.gates is None:
            yield splice(words, input_ids, placeholders, embeddings)
            return
        with self.gates.seeing(words, input_ids, placeholders, embeddings) as marked:
            yield marked

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits [B, T, V]; with `labels`, the mean loss and only the logits it needs."""
        with self.seen(input_ids, signals, features, instructions) as embeddings:
            if labels is None:
                return self.llm(inputs_embeds=embeddings, attention_mask=attention_mask, **options)
            total, count, logits = self.label_loss(embeddings, attention_mask, labels)
        return CausalLMOutputWithPast(loss=total / count.clamp(min=1), logits=logits)

    def label_loss(
        self,
        embeddings: torch.Tensor,
        attention_mask: torch.Tensor | None,
        labels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Next-token loss in nats: (sum over labels, number of labels, logits [B, K, V]).

        To be called inside `seen`, with what that yields.
        Logits are computed at the K columns that some row's label needs, never for the rest.
        """
        targets = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
        columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = self.llm(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            logits_to_keep=columns,
            use_cache=False,
        ).logits
        targets = targets[:, columns]
        total = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total, (targets != IGNORED).sum(), logits

    @torch.inference_mode()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Continue each prompt; options (streamer, do_sample ...) are transformers' own,
        but for `instructions` (see Batch).

        Prompts of mixed lengths are padded on the left. Returns [B, T + new] ids, prompt included.
        """
        options.pop("labels", None)
        with self.seen(input_ids, signals, features, instructions) as prompt:
            new = self.llm.generate(inputs_embeds=prompt, attention_mask=attention_mask, **options)
        return torch.cat([input_ids, new], dim=1)
