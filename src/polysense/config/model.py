"""What a model is made of: LLM, encoder, connector, fusion, modalities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from polysense.config.checks import check_choices, require_count
from polysense.errors import require

Precision = Literal["auto", "bf16", "fp32"]


def given(config: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return those of a config's options `names` that are not None."""
    options = {name: getattr(config, name) for name in names}
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the LLM (Hu et al., 2021), through peft."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")

    def __post_init__(self) -> None:
        require(self.rank >= 1, f"lora.rank must be at least 1, not {self.rank}")
        require(self.alpha >= 1, f"lora.alpha must be at least 1, not {self.alpha}")
        require(bool(self.targets) and all(self.targets), "lora.targets is empty: name some layers")
        require(0 <= self.dropout < 1, f"lora.dropout must lie in [0, 1), not {self.dropout}")


@dataclass(frozen=True)
class LanguageModelConfig:
    """The LLM: a hub name or a local folder of any decoder-only transformers model, or a GGUF file.

    `template` names a chat template of data/chat/chat_templates.py, for an LLM that brings none
    of its own.
    """

    name: str
    revision: str | None = None
    lora: LoraConfig | None = None
    template: str | None = None

    def __post_init__(self) -> None:
        require(bool(self.name), "llm.name is empty: name a folder, a GGUF file or a hub name")


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder. `kind` is a name of model/encoders/build.py's table; `name` its weights' place.

    Kind "none" has no weights: tokens of `width` go straight to the connector.

    `pooled_grid` pools a picture's feature map to grid x grid positions (None: keep all).
    `layer` picks a hidden layer of a transformers encoder (-1: last, -2: LLaVA's choice).
    `token_encoder` is the place of a pretrained transformer, like MiniLM, that the tokens of
    modalities other than pictures go through (None: what `kind` has for them, if anything).
    """

    kind: str
    name: str = ""
    revision: str | None = None
    width: int | None = None
    pooled_grid: int | None = None
    layer: int = -1
    class_token: bool = False
    token_encoder: str | None = None

    def __post_init__(self) -> None:
        for option, value in (("pooled_grid", self.pooled_grid), ("width", self.width)):
            if value is not None:
                require_count(f"encoder.{option}", value)
        if self.kind == "none":
            object.__setattr__(self, "name", "")  # weights that a recipe named are not used
        else:
            require(bool(self.name), f"encoder.name is empty: name the weights of {self.kind!r}")


@dataclass(frozen=True)
class ConnectorConfig:
    """The connector. `kind` is a name of the table in model/connectors/build.py.

    Each kind reads the fields it needs.

    One class for all kinds, so that `kind` alone can be changed: a size left at None is the one its
    kind has in its paper, and that number stands where the kind is defined.

    shared       one network for all modalities (uni-branch) instead of one each (multi-branch)
    norm         a LayerNorm on what linear, MLP and Q-Former read, since encoders differ in scale;
                 false: none, as in the papers' released weights
    hidden       inner width of the MLPs (None: the LLM's)
    width        inner width of the Q-Former, the resampler, the abstractor and the UPM
    layers       blocks; of the abstractor, on either side of its pooling
    heads        attention heads
    queries      embeddings a signal is condensed to
    feedforward  inner width of the feed-forward networks
    experts, router, router_input   of the UPM (arXiv 2312.03700, section 3.2)
    frames       learned time embeddings of the Perceiver; more frames interpolate them
    variant      of the Perceiver: "idefics" has ReLU and no time embeddings, and ends in a norm at
                 the encoder's width, which only gated blocks can read
    head_width   of the Perceiver's heads (None: 64)
    query_key_norm   whether its heads norm their queries and keys
    merge_factor  neighbours that "merge" makes one embedding of
    vocabulary   text ids the Q-Former reads besides the features (None: no text)
    contrastive_width  width in which the Q-Former compares queries and captions: with it, it can
                 learn BLIP-2's objectives on them (None: it cannot; 256 in the paper)
    init_from    what a new Q-Former begins with, a folder or hub name: BERT, whose tokenizer then
                 reads the captions, or a Blip2ForImageTextRetrieval, which has learnt them. Its
                 sizes are the Q-Former's (None: random weights, captions in ids of the LLM)
    instruction_tokenizer  place of the tokenizer in whose ids it reads what the user says
                 (InstructBLIP)
    """

    kind: str = "mlp"
    shared: bool = False
    norm: bool = True
    hidden: int | None = None
    dropout: float = 0.0
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    queries: int | None = None
    feedforward: int | None = None
    experts: int = 3
    router: Literal["sigmoid", "softmax", "constant", "sparse"] = "softmax"
    router_input: Literal["tokens", "features"] = "tokens"
    frames: int = 8
    variant: Literal["flamingo", "idefics"] = "flamingo"
    head_width: int | None = None
    query_key_norm: bool = False
    merge_factor: int = 4
    vocabulary: int | None = None
    contrastive_width: int | None = None
    init_from: str | None = None
    instruction_tokenizer: str | None = None

    def __post_init__(self) -> None:
        check_choices(self, "connector")
        for name, value in vars(self).items():
            if name != "dropout" and type(value) is int:
                require_count(f"connector.{name}", value)
        require(0 <= self.dropout < 1, f"connector.dropout must lie in [0, 1), not {self.dropout}")

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the options `names` that are set, as keyword arguments."""
        return given(self, names)


@dataclass(frozen=True)
class FusionConfig:
    """Where the LLM meets the signals. `kind` is a name of model/fusion/base.py's table.

    A size left at None is the one its kind has in its paper, as with connectors.

    every_n_layers  layers from one gated block, or one expert, to the next
    heads        attention heads of the gated blocks, each 64 wide
    feedforward  inner width of theirs (None: 4 x the LLM's width)
    variant      of the gated blocks: "idefics" builds them as LLaMA's layers, with the LLM's own
                 heads and inner width, from the first layer on
    gates        of idefics' blocks: "one" a block, or one for "each" of the LLM's widths
    query_key_norm   whether the heads of idefics' blocks norm their queries and keys
    layers       top layers of the LLM that an adapter is in (None: all but the first)
    prompts      trainable prompts that an adapter has in each of them
    """

    kind: str = "input"
    every_n_layers: int | None = None
    heads: int | None = None
    feedforward: int | None = None
    variant: Literal["flamingo", "idefics"] = "flamingo"
    gates: Literal["one", "each"] = "one"
    query_key_norm: bool = False
    layers: int | None = None
    prompts: int | None = None

    def __post_init__(self) -> None:
        check_choices(self, "fusion")
        for name, value in vars(self).items():
            if type(value) is int:
                require_count(f"fusion.{name}", value)

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the options `names` that are set, as keyword arguments."""
        return given(self, names)


@dataclass(frozen=True)
class ModelConfig:
    """The parts of a model. `modalities` maps a modality's name to its options; `sources` has the
    "file.py:Class" of those that are a user's own.

    `system` is the system message of conversations that bring none (None: the template's own).
    """

    llm: LanguageModelConfig
    encoder: EncoderConfig
    connector: ConnectorConfig
    modalities: dict[str, dict[str, Any]]
    fusion: FusionConfig = field(default_factory=FusionConfig)
    precision: Precision = "auto"
    system: str | None = None
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choices(self, "model")
        require(bool(self.modalities), "model.modalities is empty: name at least one modality")
        for name in self.sources:
            require(name in self.modalities, f"model.sources has {name!r}, model.modalities not")
