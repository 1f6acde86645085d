"""What a run is made of: a model, data, stages in order, and how it is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from polysense.config.model import ModelConfig
from polysense.errors import require


@dataclass(frozen=True)
class Stage:
    """One training stage, as data.

    `task` is a name of data/tasks.py's table. `learn` holds dotted names or patterns of the
    parameters that move ("connector", "llm", "llm.*lora_*"); the rest stays bit for bit.
    `chat` names how a sample becomes a sequence (data/chat.py): "plain" puts the signal before the
    text, "template" uses the LLM's own chat template. `objective` is one of training/objectives/:
    "next_token", "words", or BLIP-2's "contrast", "match", "caption", also added up with "+".

    `senses` restricts the stage to records whose signals are all of these senses (empty: all
    records; plain text goes with any, in stages in which the LLM learns), and `combined=False` to
    those of a single signal. With `balance`, each sense is drawn equally often, however many
    records it has; senses learnt before are replayed by naming them too. `score` measures every
    sense known by the end of the stage, for the forgetting table. `copy_experts` begins the stage
    with every expert of a UPM as a copy of the first (OneLLM, section 3.2). `steps` counts
    optimizer steps in place of `epochs`.

    `data` names a manifest of the stage's own (LLaVA has captions for one stage and instructions
    for the other); empty, it learns from the run's.

    `packing` lets samples of a micro-batch share rows of up to `row_tokens` tokens
    (data/packing.py), which changes the speed and not the losses.
    """

    name: str
    learn: tuple[str, ...]
    senses: tuple[str, ...] = ()
    combined: bool = True
    balance: bool = True
    score: bool = False
    copy_experts: bool = False
    steps: int | None = None
    task: str = "caption"
    data: str = ""
    objective: str = "next_token"
    chat: Literal["plain", "template"] = "plain"
    epochs: float = 1.0
    batch_size: int = 16
    accumulation: int = 1
    packing: bool = True
    row_tokens: int = 512
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
        require(self.steps is None or self.steps >= 1, f"{where}.steps must be at least 1")
        counts = "batch_size accumulation row_tokens checkpoint_every evaluate_every"
        for name in counts.split():
            require(getattr(self, name) >= 1, f"{where}.{name} must be at least 1")
        require(self.learning_rate > 0, f"{where}.learning_rate must be positive")
        require(0 <= self.warmup < 1, f"{where}.warmup is a share of the steps, in [0, 1)")


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from: a manifest or shards (data/datasets.py), the share held out, views.

    A sample is held out by a hash of its key, so it stays held out whatever else is added.
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
    """How a run is scored: what is asked, the length of answers, and how many held-out samples.

    per_sense  at most so many of each sense, spread evenly over those held out (0: all)
    limit      at most about so many over all senses, shared equally (0: no limit)
    """

    max_new_tokens: int = 32
    limit: int = 0
    per_sense: int = 60
    question: str = "What is this?"

    def __post_init__(self) -> None:
        for name in ("limit", "per_sense"):
            require(getattr(self, name) >= 0, f"evaluation.{name} must be positive, or 0 for all")


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
