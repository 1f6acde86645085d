"""A step of alignment, four ways, on the laptop recipe's pictures, LLM and encoder.

    cached    as Polysense trains: features of the cache, packed rows, loss at labels only
    live      the same recipe with the encoder in the loop and padded rows
    llava     a plain loop over transformers' LlavaForConditionalGeneration (peer.py)
    llm       nothing but forward and backward of the bare LLM on the packed rows: the limit

All learn the same weights from the same samples in the same order; the losses stand side by side.
The features are in the cache beforehand, as in an alignment epoch from the second on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from measuring.measure import add_place, medians, ratio, report, timed
from measuring.models import save_vit
from measuring.peer import PlainLoop
from measuring.pictures import draw_bars
from measuring.profiled import profile

from polysense.cache_folder import cache_folder
from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.feature_cache import FeatureCache, media_of
from polysense.data.prompts import samples_for
from polysense.model.llm.next_token_loss import next_token_loss
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import freeze_all_but
from polysense.training.allocator import keep_freed_memory
from polysense.training.loop import StageRun, read_ahead, train_step
from polysense.training.optimizer import learning_rate
from polysense.training.run import build, load_split, resolve

MODALITY = "image"


def recipe(options: argparse.Namespace) -> RunConfig:
    """Return alignment as the laptop recipe has it, with LLaVA's projector as the connector."""
    shown = {"pooled_grid": options.grid, "class_token": True}
    return RunConfig(
        recipe="alignment",
        model=ModelConfig(
            llm=LanguageModelConfig(options.llm),
            encoder=EncoderConfig(options.encoder_kind, options.encoder, **shown),
            connector=ConnectorConfig("mlp", norm=False),
            modalities={MODALITY: {"trim": True, "margin": 0.05}},
            precision="bf16" if options.dtype == "bfloat16" else "fp32",
        ),
        data=DataConfig(options.data, held_out=0.08),
        stages=(
            Stage(
                "alignment",
                ("connector",),
                batch_size=options.batch,
                steps=options.steps,
                learning_rate=options.rate,
            ),
        ),
    )


class Side:
    """One way of ours to take the steps: its model, optimizer and batches."""

    def __init__(self, model: PolysenseModel, data: TrainingData, stage: Stage) -> None:
        self.model, self.accelerator = model, Accelerator(cpu=not torch.cuda.is_available())
        dtype = torch.float32  # autocast is off; the LLM's own type is the config's
        self.run = StageRun(stage, data, data, Path(), 0, dtype, {})
        self.trainable = freeze_all_but(model, stage.trainable)
        rate = stage.learning_rate
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(), rate, (0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.batches = read_ahead(self.run, 0, self.accelerator)

    def step(self, number: int) -> float:
        """Take step `number`; return its loss in nats a label."""
        given = (self.trainable, self.optimizer, self.accelerator, self.batches)
        return train_step(self.model, self.run, number, *given)[0]


def bare(model: PolysenseModel, batch: dict[str, Any]) -> Callable[[], Any]:
    """Return forward and backward of the LLM alone on the rows of a packed batch."""
    words = model.llm.get_input_embeddings()(batch["input_ids"].clamp(max=8)).requires_grad_()
    given = (model.llm, model.capabilities, words, batch["labels"], None, batch["position_ids"])

    def run() -> None:
        loss, _ = next_token_loss(*given)
        torch.autograd.grad(loss, words)

    return run


def sides(config: RunConfig, folder: Path) -> tuple[Side, Side, PlainLoop]:
    """Return the cached side, the live one and the peer: one LLM, one encoder, equal connectors."""
    config = resolve(config)
    stage = config.stages[0]
    torch.manual_seed(0)
    model, processor = build(config)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    other = PolysenseModel(model.config, llm=model.llm).to(model.device)
    other.encoder = model.encoder
    other.connector.load_state_dict(model.connector.state_dict())
    samples = samples_for(stage.task, load_split(config).train, model.modalities)
    samples = samples[: stage.batch_size * (stage.steps or 1)]
    cache = FeatureCache(folder, model, 1)
    cache.fill(media_of(samples))
    packed = TrainingData(samples, processor, "plain", cache, stage.packed_length)
    padded = TrainingData(samples, processor, "plain", None)
    peer = PlainLoop(other, padded, stage.max_grad_norm)
    return Side(model, packed, stage), Side(other, padded, stage), peer


def note(losses: list[float], step: Callable[[int], float], number: int) -> None:
    """Take step `number` and note its loss."""
    losses.append(step(number))


def main() -> None:
    """Take the steps on every side in turn, and print times, ratios, losses and the profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", default=str(cache_folder() / "SmolLM2-135M-Instruct"))
    parser.add_argument("--encoder", help="its weights (default: a random CLIP ViT-L/14)")
    parser.add_argument("--encoder-kind", default="transformers")
    parser.add_argument("--grid", type=int, default=2, help="a picture's features: grid x grid + 1")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--data", default=str(cache_folder() / "pictures.jsonl"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6)
    add_place(parser, repeats=1)
    options = parser.parse_args()
    keep_freed_memory()
    runs: dict[str, list[float]] = {name: [] for name in ("cached", "live", "llava", "llm")}
    losses: dict[str, list[float]] = {name: [] for name in ("cached", "live", "llava")}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        options.encoder = options.encoder or save_vit(Path(folder) / "vit")
        cached, live, peer = sides(recipe(options), Path(folder) / "features")
        stack.enter_context(cached.batches)
        stack.enter_context(live.batches)
        order = cached.run.order
        ways = {
            "cached": cached.step,
            "live": live.step,
            "llava": lambda number: peer.step(
                order.at(number), learning_rate(cached.run.stage, number, options.steps)
            ),
        }
        limit = bare(cached.model, cached.run.data.batch(order.at(0)).to(cached.model.device))
        limit()
        for number in range(options.steps):
            for name, step in ways.items():
                taken = partial(note, losses[name], step, number)
                runs[name].append(timed(taken, options.device))
            batch = cached.run.data.batch(order.at(number)).to(cached.model.device)
            runs["llm"].append(timed(bare(cached.model, batch), options.device))
        table = profile(cached.model, cached.run, cached.trainable, cached.optimizer)
    later = {name: values[1:] or values for name, values in runs.items()}  # the first warms up
    rates = {name: options.batch / spent for name, spent in medians(later).items()}
    results = {
        "samples_per_second": rates,
        "over_live": ratio(later, "live", "cached"),
        "over_llava": ratio(later, "llava", "cached"),
        "step_over_bare_llm": ratio(later, "cached", "llm"),
        "losses": losses,
        "largest_loss_difference": max(
            abs(a / b - 1)
            for name in ("live", "llava")
            for a, b in zip(losses["cached"], losses[name], strict=True)
        ),
        "profile_seconds": table,
    }
    draw_bars(report("alignment", options, results), "Alignment", rates, "samples a second")


if __name__ == "__main__":
    main()
