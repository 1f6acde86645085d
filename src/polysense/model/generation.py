"""`generate`: transformers' own, on a prompt that holds signals.

The LLM continues the embeddings of the prompt and is told its ids besides: penalties, banned
n-grams, length limits and streamers see the prompt's words as they do in any model of transformers.
A placeholder is no word of the LLM (its id may lie beyond the vocabulary), so a word that stands
in the same prompt anyway takes its place there; the caller gets the placeholders back.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer
from transformers.utils.generic import ModelOutput

from polysense.errors import PolysenseError

# What transformers' generation has and a prompt of embeddings has not, and what to do.
REFUSED = {
    "inputs_embeds": "give input_ids and signals, or embeddings={modality: ...}",
    "position_ids": "a prompt stands alone in its row: leave it out",
    "encoder_repetition_penalty": "there is no text encoder: use repetition_penalty",
    "encoder_no_repeat_ngram_size": "there is no text encoder: use no_repeat_ngram_size",
    "guidance_scale": "a prompt without its signals is another prompt: call forward for both",
    "negative_prompt_ids": "a prompt without its signals is another prompt: call forward for both",
    # What guesses ahead reads ids alone: it would answer a prompt without its signals.
    "assistant_model": "an assistant sees no signals, and the answer would be another",
    "prompt_lookup_num_tokens": "transformers loses the signals there: leave it out",
    "assistant_early_exit": "transformers loses the signals there: leave it out",
    "use_mtp": "transformers loses the signals there: leave it out",
    "prefill_chunk_size": "a prompt with signals is read at once: leave it out",
    "token_healing": "the prompt's last word cannot be changed: leave it out",
    "custom_generate": "code of others is not run",
}
NEUTRAL = {"guidance_scale": 1.0, "encoder_repetition_penalty": 1.0}
NEUTRAL |= {"encoder_no_repeat_ngram_size": 0, "token_healing": False, "use_mtp": False}


def check_options(options: dict[str, Any]) -> None:
    """Refuse by name what cannot be done, in `options` or in their generation_config."""
    settings = options.get("generation_config")
    for name, way_out in REFUSED.items():
        for value in (options.get(name), getattr(settings, name, None)):
            if value is not None and value != NEUTRAL.get(name):
                raise PolysenseError(f"generate({name}=...) is not possible here: {way_out}")


class Generation:
    """Mixed into a model with `multimodal_inputs`, `placeholder_mask` and an `llm`: `generate`."""

    llm: Any
    multimodal_inputs: Any
    placeholder_mask: Any

    @torch.inference_mode()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        signals: dict[str, torch.Tensor] | None = None,
        features: dict[str, torch.Tensor] | None = None,
        instructions: dict[str, dict[str, torch.Tensor]] | None = None,
        embeddings: dict[str, torch.Tensor] | None = None,
        **options: Any,
    ) -> Any:
        """Continue each prompt; options (num_beams, streamer, past_key_values, and
        cache_implementation="static", which is compiled on a GPU) are transformers' own.

        Prompts of mixed lengths are padded on the left. `embeddings` as in `multimodal_inputs`.
        Returns [B * num_return_sequences, T + new] ids, prompt included; a ModelOutput with such
        `sequences` where `return_dict_in_generate` asks for it. PolysenseError for the few options
        that a prompt with signals cannot have.
        """
        options.pop("labels", None)  # of a batch to learn from
        check_options(options)
        words = words_only(input_ids, self.placeholder_mask(input_ids), attention_mask)
        given = {"signals": signals, "features": features, "instructions": instructions}
        with self.multimodal_inputs(input_ids, embeddings=embeddings, **given) as prompt:
            return continue_prompt(
                self.llm, input_ids, words, prompt, attention_mask=attention_mask, **options
            )


class PromptStreamer(BaseStreamer):
    """Hands a user's streamer the prompt with its placeholders, then the words as they come."""

    def __init__(self, streamer: Any, prompt: torch.Tensor) -> None:
        self.streamer, self.prompt = streamer, prompt
        self.begun = False

    def put(self, value: torch.Tensor) -> None:
        """The first ids that transformers puts are the prompt's."""
        self.streamer.put(value if self.begun else self.prompt.cpu())
        self.begun = True

    def end(self) -> None:
        """As the user's."""
        self.streamer.end()


def words_only(
    input_ids: torch.Tensor, held: torch.Tensor, attention_mask: torch.Tensor | None
) -> torch.Tensor:
    """Return ids [B, T] whose places `held`, bool [B, T], have the first word of their own row.

    So a repetition penalty, which asks whether a word was there, meets no word that was not.
    """
    words = ~held if attention_mask is None else ~held & attention_mask.bool()
    first = input_ids.gather(1, words.int().argmax(dim=1, keepdim=True))
    first = first.where(words.any(dim=1, keepdim=True), 0)  # a row of signals alone
    return torch.where(held, first, input_ids)


def continue_prompt(
    llm: Any,
    input_ids: torch.Tensor,
    words: torch.Tensor,
    embeddings: torch.Tensor,
    **options: Any,
) -> torch.Tensor | ModelOutput:
    """Let `llm` continue embeddings [B, T, D] of `input_ids` [B, T]; `words` as in `words_only`.

    Returns what transformers' generate does: ids [B * sequences, T + new] with the prompt, or a
    ModelOutput with such `sequences`.
    """
    if options.get("streamer") is not None:
        options["streamer"] = PromptStreamer(options["streamer"], input_ids)
    found = llm.generate(input_ids=words, inputs_embeds=embeddings, **options)
    sequences = found if isinstance(found, torch.Tensor) else found.sequences
    # Beams and several answers stand side by side, those of the first prompt first.
    prompts = input_ids.repeat_interleave(len(sequences) // len(input_ids), dim=0)
    sequences = torch.cat([prompts, sequences[:, input_ids.shape[1] :]], dim=1)
    if isinstance(found, torch.Tensor):
        return sequences
    found["sequences"] = sequences
    return found
