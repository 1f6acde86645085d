"""The table of fusion kinds: how embeddings meet the LLM, built and put into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers.modeling_utils import PreTrainedModel

from polysense.config import FusionConfig
from polysense.errors import PolysenseError, unknown_name
from polysense.model.fusion.base import FUSION_KINDS, Fusion, InputFusion
from polysense.model.fusion.gated_cross_attention import GatedCrossAttention
from polysense.model.fusion.llama_adapter import LlamaAdapter
from polysense.model.fusion.llm_hooks import LLMHooks, check_hooks
from polysense.model.fusion.placeholder_fusion import PlaceholderFusion
from polysense.model.fusion.visual_expert import VisualExpert, VisualExpertFusion
from polysense.model.llm.input_embeddings import input_embeddings


def build_fusion(
    config: FusionConfig,
    llm: PreTrainedModel,
    modalities: Sequence[str],
    normed: int | None = None,
) -> Fusion:
    """Build the fusion `config.kind`, and put it into the LLM.

    Embeddings are of the LLM's width and scale, or `normed` wide behind a norm. Raises
    PolysenseError where the kind is unknown or the LLM is not built as it needs.
    """
    if normed is not None and config.kind != "cross_attention":
        raise PolysenseError(
            f"connector.variant=idefics ends in a norm at the encoder's width: fusion.kind="
            f"{config.kind} cannot read that; set it to cross_attention"
        )
    width = normed or input_embeddings(llm).shape[1]
    options = config.given("every_n_layers", "heads", "feedforward")
    if config.variant == "idefics":
        options |= {"variant": config.variant, "gates": config.gates}
        options |= {"query_key_norm": config.query_key_norm}
    makers: dict[str, Callable[[], Fusion]] = {
        "input": InputFusion,
        "visual_expert": lambda: VisualExpertFusion(
            VisualExpert(llm, **config.given("every_n_layers"))
        ),
        "llama_adapter": lambda: PlaceholderFusion(
            llm, LlamaAdapter(llm, **config.given("layers", "prompts")), modalities
        ),
        "cross_attention": lambda: PlaceholderFusion(
            llm, GatedCrossAttention(llm, width, **options), modalities, normed
        ),
    }
    if config.kind not in makers:
        raise unknown_name("fusion", config.kind, FUSION_KINDS)
    fusion = makers[config.kind]()
    for module in fusion.modules():
        if isinstance(module, LLMHooks):
            check_hooks(llm, module, config.kind)
    return fusion
