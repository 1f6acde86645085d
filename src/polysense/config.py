"""What a run is made of, as frozen dataclasses that are checked when they are built.

A recipe is a function that returns a `RunConfig`; the command line changes single values with
`--set path=value` (see overrides.py), and the resolved config is written into the run folder, so
that a run can be read, repeated and resumed. Ranges are checked in `__post_init__`; names are
checked where the table of names lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from polysense.errors import PolysenseError

Precision = Literal["auto", "bf16", "fp32"]


def require(condition: bool, message: str) -> None:
    """Raise PolysenseError(message) unless `condition` holds."""
    if not condition:
        raise PolysenseError(message)


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the LLM (Hu et al., 2021), through peft."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")

    def __post_init__(self) -> None:
        require(self.rank >= 1, f"lora.rank must be at least 1, not {self.rank}")
        require(0 <= self.dropout < 1, f"lora.dropout must lie in [0, 1), not {self.dropout}")


@dataclass(frozen=True)
class LanguageModelConfig:
    """The LLM: a hub name or a local folder of any decoder-only transformers model."""

    name: str
    revision: str | None = None
    lora: LoraConfig | None = None


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder. `kind` is a name of model/encoders.py's table; `name` its weights' place.

    `grid` pools a picture's feature map to grid x grid positions (None: keep all).
    `layer` picks a hidden layer of a transformers encoder (-1: last, -2: LLaVA's choice).
    """

    kind: str
    name: str
    revision: str | None = None
    grid: int | None = None
    layer: int = -1
    class_token: bool = False

    def __post_init__(self) -> None:
        require(
            self.grid is None or self.grid >= 1, f"encoder.grid must be positive, not {self.grid}"
        )


@dataclass(frozen=True)
class ConnectorConfig:
    """The connector. `kind` is a name of model/connectors.py's table, which reads what it needs.

    One class for all kinds, so that `kind` alone can be changed: a size left at None is the one its
    kind has in its paper, and that number stands where the kind is defined.

    shared       one network for all senses (uni-branch) instead of one a sense (multi-branch)
    norm         a LayerNorm on what linear, MLP and Q-Former read, since encoders differ in scale;
                 false: none, as in the papers' released weights
    hidden       inner width of the MLPs (None: the LLM's)
    width        inner width of the Q-Former, the resampler and the abstractor
    layers       blocks; of the abstractor, on either side of its pooling
    heads        attention heads
    queries      embeddings a signal is condensed to
    feedforward  inner width of the feed-forward networks
    experts, router, router_input   of the UPM (arXiv 2312.03700, section 3.2)
    frames       learned time embeddings of the Perceiver; more frames interpolate them
    window       neighbours that "merge" makes one embedding of
    vocabulary   text ids the Q-Former reads besides the features (None: no text)
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
    window: int = 4
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "dropout" and type(value) is int:
                require(value >= 1, f"connector.{name} must be at least 1, not {value}")
        require(0 <= self.dropout < 1, f"connector.dropout must lie in [0, 1), not {self.dropout}")

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the options `names` that are set, as keyword arguments."""
        options = {name: getattr(self, name) for name in names}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class InteractionConfig:
    """Where the LLM meets the signals (model/interaction.py).

    "input" puts their embeddings among the words; "gated" puts cross-attention with gates (heads,
    feedforward: None for 4 x the LLM's width) before every `every`-th layer of the LLM.
    """

    kind: Literal["input", "gated"] = "input"
    every: int = 4
    heads: int = 8
    feedforward: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is int:
                require(value >= 1, f"interaction.{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class ModelConfig:
    """The parts of a model. `modalities` maps a sense's name to its options.

    `system` is the system message of conversations that bring none (None: the template's own).
    """

    llm: LanguageModelConfig
    encoder: EncoderConfig
    connector: ConnectorConfig
    modalities: dict[str, dict[str, Any]]
    interaction: InteractionConfig = field(default_factory=InteractionConfig)
    precision: Precision = "auto"
    system: str | None = None

    def __post_init__(self) -> None:
        require(bool(self.modalities), "model.modalities is empty: name at least one sense")


@dataclass(frozen=True)
class Stage:
    """One training stage, as data.

    `task` is a name of data/tasks.py's table. `learn` holds dotted names or patterns of the
    parameters that move ("connector", "llm", "llm.*lora_*"); the rest stays bit for bit.
    `chat` names how a sample becomes a sequence (data/chat.py): "plain" puts the signal before the
    text, "template" uses the LLM's own chat template. `objective` is a name of the table in
    training/objectives.py.
    """

    name: str
    learn: tuple[str, ...]
    task: str = "caption"
    objective: str = "next_token"
    chat: Literal["plain", "template"] = "plain"
    epochs: float = 1.0
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 1e-3
    minimum_rate: float = 0.0
    warmup: float = 0.05
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    checkpoint_every: int = 100
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        where = f"stages.{self.name}"
        require(bool(self.learn), f"{where}.learn is empty: name what learns")
        require(self.epochs > 0, f"{where}.epochs must be positive, not {self.epochs}")
        for name in ("batch_size", "accumulation", "checkpoint_every", "evaluate_every"):
            require(getattr(self, name) >= 1, f"{where}.{name} must be at least 1")
        require(self.learning_rate > 0, f"{where}.learning_rate must be positive")
        require(0 <= self.warmup < 1, f"{where}.warmup is a share of the steps, in [0, 1)")


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from: a JSONL manifest, the share held out, and views per picture.

    A line is held out by a hash of its key, so it stays held out whatever else is added.
    `views` is how many augmented views of each signal the feature cache keeps (1: none).
    """

    manifest: str
    held_out: float = 0.12
    views: int = 1
    bad_share: float = 0.05

    def __post_init__(self) -> None:
        require(0 < self.held_out < 1, f"data.held_out must lie in (0, 1), not {self.held_out}")
        require(self.views >= 1, f"data.views must be at least 1, not {self.views}")


@dataclass(frozen=True)
class EvaluationConfig:
    """How a run is scored: generation limits, and how many held-out samples to take (0: all)."""

    max_new_tokens: int = 32
    limit: int = 0
    question: str = "What is this?"


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs; `stages` are trained in order."""

    recipe: str
    model: ModelConfig
    data: DataConfig
    stages: tuple[Stage, ...]
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.stages), "stages is empty: a run needs at least one stage")
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), f"two stages share a name: {', '.join(names)}")
