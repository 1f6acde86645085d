"""What tests compare with a paper's table of hyperparameters."""

from pathlib import Path

Schedule = list[tuple[int, float, int | float]]


def schedule(recipe) -> Schedule:
    """Of every stage of a recipe: batch, peak rate, and steps, or else epochs."""
    stages = recipe(Path("data"), "pairs.jsonl").stages
    return [(s.batch_size, s.learning_rate, s.steps or s.epochs) for s in stages]


def model_of(recipe):
    """The recipe's ModelConfig."""
    return recipe(Path("data"), "pairs.jsonl").model
