"""How much of a chip's matrix rate training and feature extraction use (MFU).

    training    steps over packed rows of signals and words: forward, backward, clipping, AdamW
    extraction  CLIP's ViT-L/14 at its published sizes (or --encoder) over pictures of 224 px

The matrix rate is that of one large product, measured in the same run and type. Counted are the
products that the mathematics needs, two operations each, and nothing that is done twice:

    LLM         2 x weights x positions forward; as much for the gradient of its inputs, and again
                for that of its weights where it learns; the head at labelled positions only
    attention   2 x layers x width x length^2 a sample forward (half of a square), twice that back
    ViT         2 x weights x positions + 4 x layers x width x positions^2 a picture
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring.measure import add_place, interleaved, medians, report
from measuring.models import add_sizes, packed_batch, save_vit, some_llm, with_modalities
from measuring.pictures import draw_bars

from polysense.config import ConnectorConfig, EncoderConfig
from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.model.encoders.build import build_encoder
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import freeze_all_but
from polysense.training.allocator import keep_freed_memory
from polysense.types import Batch

POSITIONS, FEATURES = 257, 1024  # what a ViT-L/14 gives of a picture


def weights_of(module: Any) -> int:
    """Return how many weights of a module stand in products: those that are matrices."""
    return sum(weight.numel() for weight in module.parameters() if weight.ndim > 1)


def matrix_product(options: argparse.Namespace) -> tuple[Callable[[], Any], float]:
    """Return a large product, and its operations."""
    side, dtype = options.side, getattr(torch, options.dtype)
    left, right = (torch.randn(side, side, device=options.device, dtype=dtype) for _ in range(2))
    return lambda: left @ right, 2.0 * side**3


def training(options: argparse.Namespace) -> tuple[Callable[[], Any], float, int]:
    """Return a step of training, its operations and its positions."""
    connector = ConnectorConfig("mlp", norm=False)
    model = with_modalities(some_llm(options), ["imu"], connector, FEATURES)
    trainable = freeze_all_but(model, ("connector", "llm") if options.learn_llm else ("connector",))
    batch = packed_batch(model, options.samples, options.words, POSITIONS, options.packed_length)
    optimizer = torch.optim.AdamW(trainable.values(), 1e-5, fused=True)
    half = options.dtype == "bfloat16"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(options.device, torch.bfloat16, enabled=half):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable.values(), 1.0)
        optimizer.step()

    positions = options.samples * (POSITIONS + options.words)
    return step, step_operations(model, batch, options), positions


def step_operations(model: PolysenseModel, batch: Batch, options: argparse.Namespace) -> float:
    """Return the operations of a step, by the formula above."""
    llm, passes = model.llm, 3 if options.learn_llm else 2
    body = weights_of(llm.get_decoder()) - llm.get_input_embeddings().weight.numel()
    head = llm.get_output_embeddings().weight.numel()
    length = POSITIONS + options.words
    positions = options.samples * length
    labelled = int((batch["labels"] != IGNORED).sum())
    sizes = llm.config.get_text_config()
    attention = 2 * sizes.num_hidden_layers * sizes.hidden_size * length**2 * options.samples
    return passes * 2 * (body * positions + head * labelled) + 3 * attention


def extraction(options: argparse.Namespace, folder: Path) -> tuple[Callable[[], Any], float]:
    """Return the encoding of a batch of pictures, and its operations."""
    name, dtype = options.encoder or save_vit(folder), getattr(torch, options.dtype)
    encoder = build_encoder(EncoderConfig("transformers", name), dtype).to(options.device)
    tower: Any = encoder.network
    sizes = tower.config
    pictures = torch.randn(options.pictures, 3, sizes.image_size, sizes.image_size)
    pictures = pictures.to(options.device, dtype)
    positions = (sizes.image_size // sizes.patch_size) ** 2 + 1
    attention = 4 * sizes.num_hidden_layers * sizes.hidden_size * positions**2
    each = 2 * weights_of(tower.encoder) * positions + attention
    return torch.inference_mode()(lambda: encoder(pictures)), float(options.pictures * each)


def main() -> None:
    """Measure all three and print rates and shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser, width=2048, layers=22, vocabulary=32_000, head_width=128)
    parser.add_argument("--encoder", help="folder of a ViT (default: random, of ViT-L/14's sizes)")
    parser.add_argument("--learn-llm", action="store_true", help="the LLM learns too")
    parser.add_argument("--samples", type=int, default=32, help="of a step")
    parser.add_argument("--words", type=int, default=255, help="of a sample")
    parser.add_argument("--packed-length", type=int, default=4096)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices")
    add_place(parser, repeats=5)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        product, product_operations = matrix_product(options)
        step, step_done, positions = training(options)
        see, seen = extraction(options, Path(folder))
        ways = {"matrix": product, "training": step, "extraction": see}
        spent = medians(interleaved(ways, options.repeats, options.device))
    operations = {"matrix": product_operations, "training": step_done, "extraction": seen}
    rates = {name: operations[name] / spent[name] / 1e12 for name in ways}
    results = {
        "teraflops": rates,
        "shares": {name: rates[name] / rates["matrix"] for name in ("training", "extraction")},
        "positions_per_second": positions / spent["training"],
        "pictures_per_second": options.pictures / spent["extraction"],
    }
    draw_bars(report("utilization", options, results), "Matrix rate", rates, "TFLOP/s")


if __name__ == "__main__":
    main()
