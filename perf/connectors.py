"""What each peer's way from features to words learns at one budget, on a laptop.

Every recipe of recipes/ is made small by scaled_down.py: the same LLM, encoder, pictures and
samples. A row that is done stays; a run that was interrupted goes on. Out: a row of JSON each, a
table in Markdown and a plot, drawn again from all the rows there are.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from measuring.connectors_table import draw, markdown
from measuring.measure import chip_name, report

from polysense.atomic_write import write_text
from polysense.cache_folder import cache_folder, feature_folder
from polysense.config import ConnectorConfig, EvaluationConfig, RunConfig
from polysense.data.datasets import Record
from polysense.errors import PolysenseError, unknown_name
from polysense.evaluation.predictor import Predictor
from polysense.evaluation.result import CORRECTED
from polysense.evaluation.scoring.scores import evenly_spaced, retrieval_metrics
from polysense.model.likelihood import pmi_scores
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import select
from polysense.recipes import PEERS, Recipe
from polysense.recipes.fetching import fetch_missing
from polysense.recipes.laptop.scaled_down import GRID, Budget, on_laptop
from polysense.recipes.published.onellm import onellm_7b
from polysense.training.progress.metric_logger import LOG, read_log
from polysense.training.run import train
from polysense.training.stage_data import TrainingContext

SCORE = f"recall@5{CORRECTED}"
PLAIN = "llava-1.5 without words"  # what Flamingo, which cannot begin with words, compares with


def abstractor(folder: Path, manifest: str | None) -> RunConfig:
    """LLaVA-1.5 with Honeybee's connector."""
    config = PEERS["llava-1.5"](folder, manifest)
    model = replace(config.model, connector=ConnectorConfig("abstractor"))
    return replace(config, recipe="abstractor", model=model)


RECIPES: dict[str, Recipe] = {
    "llava": PEERS["llava"],
    "llava-1.5": PEERS["llava-1.5"],
    "blip2": PEERS["blip2"],
    "flamingo": PEERS["flamingo"],
    PLAIN: PEERS["llava-1.5"],
    "qwen-vl": PEERS["qwen-vl"],
    "cogvlm": PEERS["cogvlm"],
    "instructblip": PEERS["instructblip"],
    "minigpt4": PEERS["minigpt4"],
    "vila": PEERS["vila"],
    "pandagpt": PEERS["pandagpt"],
    "x-llm": PEERS["x-llm"],
    "onellm": onellm_7b,
    "abstractor": abstractor,
}


def small_config(name: str, options: argparse.Namespace) -> RunConfig:
    """Return the run behind a row."""
    budget = Budget(options.steps, 0.0 if name == PLAIN else options.beginning)
    recipe = RECIPES[name](options.data, "pairs.jsonl")  # on_laptop puts its own pairs there
    return on_laptop(recipe, options.data, options.manifest, budget)


def row_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train a recipe, or go on with it, and return its row."""
    config = small_config(name, options)
    fetch_missing(config, options.data)
    folder = options.out / "runs" / name.replace(" ", "-")
    trainee = train(config, folder, options.cache)
    logs = [read_log(folder / "stages" / stage.name / LOG) for stage in config.stages]
    last = logs[-1][-1]
    return {
        "recipe": name,
        "connector": config.model.connector.kind,
        "fusion": config.model.fusion.kind,
        "stages": [stage.name for stage in config.stages],
        **sizes(trainee.model, config),
        **scores(trainee, options.held_out),
        "val_loss": last["val_loss"],
        "val_loss_shuffled": last["val_loss_shuffled"],
        "cpu_seconds": sum(line.get("cpu_seconds", 0.0) for line in chain(*logs)),
        "settings": settings_of(options),
        "date": date.today().isoformat(),
        "chip": chip_name(options.device),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def sizes(model: PolysenseModel, config: RunConfig) -> dict[str, int]:
    """Return what a picture takes, and how many parameters move in any stage, of how many."""
    trainable = tuple(dict.fromkeys(part for stage in config.stages for part in stage.trainable))
    tokens = model.connector.num_embeddings(GRID * GRID)
    return {
        "tokens": tokens,
        "places": model.fusion.num_placeholders(tokens),
        "trainable": sum(weight.numel() for weight in select(model, trainable).values()),
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


def scores(trainee: TrainingContext, count: int) -> dict[str, Any]:
    """Rank the captions of held-out pictures by how likely the model finds each of them."""
    split, cache = trainee.split, trainee.cache
    captioned: list[Record] = [r for r in split.held_out if r.media and r.caption]
    chosen = evenly_spaced(captioned, count)
    if cache is None:
        raise PolysenseError("a recipe on a laptop trains no encoder")
    evaluator = Predictor(trainee.model, trainee.processor, cache, EvaluationConfig())
    truth = [record.caption for record in chosen]
    choices = list(dict.fromkeys(truth))
    if len(choices) <= 5:
        raise PolysenseError(f"{len(choices)} captions are held out: top-5 takes six at least")
    found = pmi_scores(evaluator.scores(chosen, choices, lambda _: None))
    columns = [choices.index(caption) for caption in truth]
    figures = retrieval_metrics(CORRECTED, found, columns)
    top5 = next(figure for figure in figures if figure.name == SCORE)
    scored = {"scored": len(chosen), "captions": len(choices), "trained": len(split.train)}
    return {"top5": top5.model, "shuffled_top5": top5.shuffled, **scored}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what rows must share to be compared."""
    return {
        **asdict(Budget(options.steps, options.beginning)),
        "held_out": options.held_out,
        "manifest": options.manifest,
    }


def read_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows that are done, in the table's order; those of other settings are an error."""
    rows = []
    for name in RECIPES:
        path = options.out / f"{name.replace(' ', '-')}.json"
        if path.is_file():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            if rows[-1]["settings"] != settings_of(options):
                raise PolysenseError(
                    f"{path} was measured with {rows[-1]['settings']}: give another --out"
                )
    return rows


def parsed() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this row; repeatable")
    parser.add_argument("--steps", type=int, default=60, help="through the LLM, 24 samples each")
    parser.add_argument("--beginning", type=float, default=5.0, help="epochs without the LLM first")
    parser.add_argument("--held-out", type=int, default=48, help="pictures scored; 0: all")
    parser.add_argument("--data", type=Path, default=cache_folder(), help="fetched if missing")
    parser.add_argument("--manifest", help="pictures of one's own in place of Tux Paint's")
    parser.add_argument("--cache", type=Path, default=feature_folder())
    parser.add_argument("--out", type=Path, default=Path("runs/perf-connectors"))
    options = parser.parse_args()
    options.device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in options.only or ():
        if name not in RECIPES:
            raise unknown_name("row", name, RECIPES)
    return options


def main() -> None:
    """Measure what is missing, row by row; after each, write the table and the plot."""
    options = parsed()
    rows = read_rows(options)
    done = {row["recipe"] for row in rows}
    for name in options.only or RECIPES:
        if name not in done:
            path = options.out / f"{name.replace(' ', '-')}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(row_of(name, options), indent=1) + "\n")
            rows = read_rows(options)
            write_text(options.out / "connectors.md", markdown(rows))
            draw(rows, options.out / "connectors.png")
    print(markdown(rows))
    timing = "processor time of the training steps, summed over threads"
    report("connectors", options, {"timing": timing, "rows": rows})


if __name__ == "__main__":
    try:
        main()
    except PolysenseError as error:
        print(f"polysense perf connectors: {error}", file=sys.stderr)
        sys.exit(2)
