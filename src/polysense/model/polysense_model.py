"""The model. `multimodal_inputs` and `forward` are the figure of the README, in code:

    signal -> tokenizer -> encoder -> connector -> fusion -> LLM

Fusion puts embeddings among the LLM's words, or shows them to its layers.
Everything is found by the modality's name; nothing here knows a particular modality.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import unknown_name
from polysense.modalities import Modality, build_modalities
from polysense.model.configuration import PolysenseConfig
from polysense.model.connectors.build import build_connector, normed_width
from polysense.model.encoders.base import Encoder
from polysense.model.encoders.build import build_encoder
from polysense.model.encoders.modality_tokenizer import build_tokenizer
from polysense.model.forward_options import checked_options, loss_output
from polysense.model.fusion.base import Fusion, Prompt
from polysense.model.fusion.build import build_fusion
from polysense.model.fusion.llm_hooks import LLMHooks
from polysense.model.fusion.merge_embeddings import placeholder_mask
from polysense.model.generation import Generation
from polysense.model.hub import compute_dtype
from polysense.model.llm.capabilities import LLMCapabilities, check_llm, find_capabilities
from polysense.model.llm.input_embeddings import embedding_scale
from polysense.model.llm.load import load_llm
from polysense.model.llm.next_token_loss import next_token_loss
from polysense.model.pretrained.save_load import SaveLoadMixin
from polysense.model.transformers_methods import TransformersMethods
from polysense.types import check_batch_keys

Instructions = dict[str, dict[str, torch.Tensor]]  # {modality: {text_ids, text_mask [N, L]}}


class PolysenseModel(SaveLoadMixin, Generation, TransformersMethods, PreTrainedModel):  # pyright: ignore[reportIncompatibleMethodOverride]
    """An LLM with modalities.

    tokenizers  {modality: signal -> tokens}
    encoder     tokens -> features [N, F, E]; frozen and referenced unless a stage learns it
    connector   features -> embeddings [N, M, D]
    fusion      how the LLM sees the embeddings: among its words, or inside its layers
    llm         any decoder-only transformers model
    """

    config_class = PolysenseConfig
    config: PolysenseConfig
    main_input_name = "input_ids"
    _no_split_modules = None

    def __init__(self, config: PolysenseConfig, llm: PreTrainedModel | None = None) -> None:
        """Load the parts that `config` names; `llm` stands for the one it would load."""
        super().__init__(config)
        parts = config.parts
        dtype = compute_dtype(parts.precision)
        self.modalities: dict[str, Modality] = build_modalities(parts.modalities, parts.sources)
        self.llm: Any = load_llm(parts.llm, dtype) if llm is None else llm
        check_llm(self.llm, parts.llm.name)
        self.encoder: Encoder = build_encoder(parts.encoder, dtype)
        self.tokenizers = nn.ModuleDict(
            {
                name: build_tokenizer(
                    modality, self.encoder.token_width, self.encoder.class_token is not None
                )
                for name, modality in self.modalities.items()
            }
        )
        self.connector = build_connector(
            parts.connector,
            list(self.modalities),
            encoder_width=self.encoder.width,
            llm_width=self.input_embeddings.shape[1],
            embedding_scale=embedding_scale(self.llm),
        )
        self.fusion: Fusion = build_fusion(
            parts.fusion,
            self.llm,
            list(self.modalities),
            normed_width(parts.connector, self.encoder.width),
        )

    @property
    def input_embeddings(self) -> torch.Tensor:
        """The LLM's word vectors [V, D]."""
        return self.llm.get_input_embeddings().weight

    @cached_property
    def capabilities(self) -> LLMCapabilities:
        """What was found out about the LLM, tried once as if no fusion had been put into it."""
        with ExitStack() as stack:
            for module in self.fusion.modules():
                if isinstance(module, LLMHooks):
                    stack.enter_context(module.suspended())
            return find_capabilities(self.llm)

    def num_placeholders_per_signal(self, modality: str) -> int:
        """Return how many places one signal of `modality` takes in the text."""
        with torch.inference_mode():
            features = self.extract_features(modality, self.modalities[modality].example()[None])
        return self.fusion.num_placeholders(self.connector.num_embeddings(features.shape[1]))

    def extract_features(self, modality: str, signals: torch.Tensor) -> torch.Tensor:
        """signals [N, ...] -> features [N, F, E]: the part whose result can be cached."""
        if modality not in self.modalities:
            raise unknown_name("modality", modality, self.modalities)
        if self.modalities[modality].uses_vision_encoder:
            return self._see(signals)
        dtype = next(self.tokenizers[modality].parameters()).dtype
        tokens = self.tokenizers[modality](signals.to(dtype), self.encoder.class_token)
        return self.encoder.encode(tokens)

    def _see(self, signals: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, S, S], or [N, frames, 3, S, S] whose features are averaged."""
        if signals.ndim == 4:
            return self.encoder(signals)
        features = self.encoder(signals.flatten(0, 1))
        return features.unflatten(0, signals.shape[:2]).mean(dim=1)

    def connect(
        self, modality: str, features: torch.Tensor, **instruction: torch.Tensor
    ) -> torch.Tensor:
        """features [N, F, E] -> embeddings [N, M, D], led by `instruction` where one is given."""
        dtype = next(self.connector.parameters()).dtype
        return self.connector(features.to(dtype), modality, **instruction)

    def encode_signals(
        self,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        **rest: Any,
    ) -> dict[str, torch.Tensor]:
        """signals, or features of an encoder that ran -> embeddings {modality: [N, M, D]}.

        What else a batch holds (its text) is not needed here.
        """
        check_batch_keys(rest)
        led = instructions or {}
        found = dict(features or {})
        for modality, signal in (signals or {}).items():
            found[modality] = self.extract_features(modality, signal)
        return {
            name: self.connect(name, value, **led.get(name, {})) for name, value in found.items()
        }

    def placeholder_mask(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return bool [B, T]: the places of ids [B, T] that are held for signals."""
        return placeholder_mask(input_ids, self.config.placeholders)

    @contextmanager
    def multimodal_inputs(
        self,
        input_ids: torch.Tensor,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        position_ids: torch.Tensor | None = None,
        embeddings: dict[str, torch.Tensor] | None = None,
        **rest: Any,
    ) -> Iterator[torch.Tensor]:
        """Give the LLM's input [B, T, D] for ids [B, T] that hold places for signals.

        `embeddings` {modality: [N, M, D]} stand for all signals where `encode_signals` already ran.
        The LLM is to be called inside this context: there it sees the signals, wherever it looks.
        """
        check_batch_keys(rest)
        if embeddings is None:
            embeddings = self.encode_signals(signals, features, instructions)
        # A placeholder has no word vector of its own: look up token 0 there, then overwrite it.
        words = self.llm.get_input_embeddings()(
            input_ids.masked_fill(self.placeholder_mask(input_ids), 0)
        )
        prompt = Prompt(words, input_ids, self.config.placeholders, embeddings, position_ids)
        with self.fusion.conditioned_on(prompt) as inputs:
            yield inputs

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: Instructions | None = None,
        position_ids: torch.Tensor | None = None,
        embeddings: dict[str, torch.Tensor] | None = None,
        **options: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Return logits [B, T, V]; with `labels` the mean loss instead, which never makes them.

        `options` are the LLM's own (use_cache, output_hidden_states, return_dict ...); with labels
        `num_items_in_batch` is what the summed loss is divided by (gradient accumulation).
        """
        options = checked_options(options, has_labels=labels is not None)
        if embeddings is None:
            embeddings = self.encode_signals(signals, features, instructions)  # {name: [N, M, D]}
        with self.multimodal_inputs(
            input_ids, position_ids=position_ids, embeddings=embeddings
        ) as inputs_embeds:  # [B, T, D]
            if labels is None:
                if position_ids is not None:
                    options["position_ids"] = position_ids
                if self.gradient_checkpointing and torch.is_grad_enabled():
                    options.setdefault("use_cache", False)  # a layer run twice would fill it twice
                return self.llm(
                    inputs_embeds=inputs_embeds, attention_mask=attention_mask, **options
                )  # logits [B, T, V]
            total, num_labels = next_token_loss(
                self.llm, self.capabilities, inputs_embeds, labels, attention_mask, position_ids
            )
        return loss_output(total, num_labels, **options)
