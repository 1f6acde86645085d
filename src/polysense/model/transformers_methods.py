"""What transformers, accelerate and peft ask of every model: word vectors, ties, recomputation.

Each is answered by the LLM inside, or refused by name where the answer would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from torch import nn
from torch.utils.checkpoint import checkpoint

from polysense.errors import PolysenseError
from polysense.model.fusion.llm_hooks import LLMHooks, decoder_layers
from polysense.model.gradient_checkpointing import keep_layers, recompute_layers


class TransformersMethods:
    """Mixed into the model, before transformers' PreTrainedModel."""

    supports_gradient_checkpointing = True
    gradient_checkpointing = False
    llm: Any
    fusion: Any

    @classmethod
    def can_generate(cls) -> bool:
        """It can: polysense_model.py."""
        return True

    @property
    def generation_config(self) -> Any:
        """The LLM's: what is set here decides how it generates."""
        return self.llm.generation_config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        if "llm" in vars(self).get("_modules", {}):  # PreTrainedModel sets one before there is one
            self.llm.generation_config = value

    def get_input_embeddings(self) -> nn.Module:
        """Return the LLM's word vectors as a module."""
        return self.llm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Give the LLM other word vectors."""
        self.llm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the LLM's head."""
        return self.llm.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Give the LLM another head."""
        self.llm.set_output_embeddings(value)

    def set_attn_implementation(self, *args: Any, **options: Any) -> None:
        """Choose how the LLM attends; what was found out about it is found out anew."""
        vars(self).pop("capabilities", None)
        self.llm.set_attn_implementation(*args, **options)

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the LLM's input; an encoder's stays as it is."""
        self.llm.enable_input_require_grads()

    def disable_input_require_grads(self) -> None:
        """As before `enable_input_require_grads`."""
        self.llm.disable_input_require_grads()

    def tie_weights(self, *args: Any, **options: Any) -> None:
        """Tie the LLM's head to its word vectors, where its config says so."""
        self.llm.tie_weights(*args, **options)

    def resize_token_embeddings(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: a checkpoint refers to an LLM by name, whose vocabulary is what it is."""
        raise PolysenseError(
            "resize_token_embeddings: placeholders need no word vectors; for new words resize the "
            "LLM and its tokenizer, save both to a folder, and build the model on that"
        )

    def prepare_inputs_for_generation(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As the LLM's, which makes its own inputs while it generates."""
        return self.llm.prepare_inputs_for_generation(*args, **options)

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
        every_n_layers: int = 1,
    ) -> None:
        """Let the LLM's layers recompute; transformers' switches, old and new, all end here."""
        chosen = getattr(gradient_checkpointing_func, "keywords", {})
        if chosen.get("use_reentrant"):
            raise PolysenseError(
                "gradient_checkpointing_kwargs: use_reentrant=True cannot show the signals again "
                "to the layers: leave it out, or set it to False"
            )
        layers = decoder_layers(self.llm)
        self.gradient_checkpointing = enable
        if not enable:
            return keep_layers(layers)
        parts = (module for module in self.fusion.modules() if isinstance(module, LLMHooks))
        recompute_layers(layers, next(parts, None), gradient_checkpointing_func, every_n_layers)
        return None
