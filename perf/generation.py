"""Words a second: one stream against transformers' own generate, sixteen streams against one, and a
conversation whose beginning is kept against one that is read anew at every turn.

All decode greedily and say the same; each LLM reads a prefix of embeddings, as a signal gives them,
before the question.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from measuring.measure import add_place, interleaved, medians, ratio, report
from measuring.models import some_llm, with_modalities
from measuring.pictures import draw_bars

from polysense.cache_folder import cache_folder
from polysense.config import ConnectorConfig
from polysense.data.processor import PolysenseProcessor
from polysense.model.llm.text_tokenizer import load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel
from polysense.serving.cached_conversation import Session

MODALITY = "imu"
RECORDING = {"samples": 64, "rate": 50.0, "kernel": 8, "stride": 8}


def prompts(model: PolysenseModel, rows: int, places: int, words: int) -> dict[str, Any]:
    """Return the inputs of `rows` prompts: a signal of `places` embeddings and some words each.

    Rows are up to a fifth shorter than `words`, filled on the left.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary, width = model.input_embeddings.shape
    ids = torch.randint(vocabulary, (rows, places + words), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(rows):
        missing = row * words // (5 * rows)
        ids[row, missing : missing + places] = model.config.placeholders[MODALITY]
        mask[row, :missing] = 0
    signals = (
        torch.randn(rows, places, width, generator=generator) * model.input_embeddings.std().cpu()
    )
    inputs = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}
    return {
        **inputs,
        "embeddings": {MODALITY: signals.to(model.device, model.input_embeddings.dtype)},
    }


def converse(session: Session, turns: int, words: int, kept: bool) -> list[list[int]]:
    """Ask about one recording, then go on; return the ids of all answers."""
    session.reset()
    motion = np.random.default_rng(0).normal(size=(RECORDING["samples"], 6))
    messages: list[dict[str, Any]] = []
    answers = []
    for turn in range(turns):
        content: list[dict[str, Any]] = [{"type": "text", "text": "What is this? " * 12}]
        content[:0] = [] if turn else [{"type": MODALITY, MODALITY: motion}]
        messages.append({"role": "user", "content": content})
        if not kept:
            session.reset()
        exactly = {"max_new_tokens": words, "min_new_tokens": words, "do_sample": False}
        ids = session.generate(messages, **exactly)
        answers.append(ids.tolist())
        said = session.processor.decode(ids) or "Hm."
        messages.append({"role": "assistant", "content": said})
    return answers


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--llm", default=str(cache_folder() / "SmolLM2-135M-Instruct"), help="its folder"
    )
    parser.add_argument("--places", type=int, default=30, help="embeddings of a signal")
    parser.add_argument("--words", type=int, default=30, help="words of a prompt")
    parser.add_argument("--new", type=int, default=24, help="words of an answer")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--turns", type=int, default=4)
    add_place(parser, repeats=5)
    options = parser.parse_args()
    llm = some_llm(options)
    connector = ConnectorConfig("mlp", hidden=32)
    model = with_modalities(llm, [MODALITY], connector, 32, **{MODALITY: RECORDING}).eval()
    processor = PolysenseProcessor.for_model(model, load_text_tokenizer(options.llm))
    model.config.placeholders = processor.placeholders
    exactly = {"max_new_tokens": options.new, "min_new_tokens": options.new, "do_sample": False}
    one, many = (prompts(model, n, options.places, options.words) for n in (1, options.streams))
    with torch.inference_mode(), model.multimodal_inputs(**one) as prompt:
        theirs = {"inputs_embeds": prompt, "attention_mask": one["attention_mask"], **exactly}
    session = Session(model, processor)
    ways = {
        "polysense": lambda: model.generate(**one, **exactly)[:, -options.new :],
        "transformers": lambda: llm.generate(**theirs),
        "streams": lambda: model.generate(**many, **exactly),
        "kept": lambda: converse(session, options.turns, options.new, True),
        "anew": lambda: converse(session, options.turns, options.new, False),
    }
    same = torch.equal(ways["polysense"](), ways["transformers"]())
    same_answers = ways["kept"]() == ways["anew"]()
    runs = interleaved(ways, options.repeats, options.device)
    spent = medians(runs)
    rates = {name: options.new / spent[name] for name in ("transformers", "polysense")}
    rates[f"{options.streams} streams"] = options.new * options.streams / spent["streams"]
    results = {
        "tokens_per_second": rates,
        "single_ratio": ratio(runs, "transformers", "polysense"),
        "batch_ratio": options.streams * ratio(runs, "polysense", "streams"),
        "conversation_seconds": {name: spent[name] for name in ("kept", "anew")},
        "conversation_ratio": ratio(runs, "anew", "kept"),
        "same_words": same,
        "same_answers": same_answers,
    }
    draw_bars(report("generation", options, results), "Generation", rates, "words a second")


if __name__ == "__main__":
    main()
