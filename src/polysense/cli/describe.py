"""`polysense describe`: a run's parts and shapes; with --picture, its routing."""

from __future__ import annotations

import argparse

from polysense.cli.load_run import add_run, load


def add_describe(command: argparse.ArgumentParser) -> None:
    """Add what `describe` takes."""
    add_run(command)
    command.add_argument(
        "--picture", metavar="FILE.png", help="draw which expert each modality is sent to"
    )
    command.set_defaults(act=describe_command)


def describe_command(arguments: argparse.Namespace) -> None:
    """Print a run's parts and the flow; with --picture, draw the routing."""
    from rich.console import Console

    from polysense.evaluation.report.expert_routing import draw_routing, picture_file, routing_of
    from polysense.evaluation.report.model_summary import print_description

    picture = picture_file(arguments.picture) if arguments.picture else None
    model, _ = load(arguments)
    print_description(model, Console())
    if picture:
        draw_routing(routing_of(model), picture)
        print(f"Picture: {picture}")
