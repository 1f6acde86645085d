"""`polysense import`: a run folder of another system's checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_import(command: argparse.ArgumentParser) -> None:
    """Add what `import` takes."""
    command.add_argument("family", help="what it is, like llava")
    command.add_argument("path", help="its folder or hub name; of onellm, a file too")
    command.add_argument("out", help="folder of the new run")
    command.add_argument(
        "--llm", help="of a family without a text tokenizer (onellm): a LLaMA that has it"
    )
    command.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    command.set_defaults(act=import_command)


def import_command(arguments: argparse.Namespace) -> None:
    """Write another system's checkpoint as a run."""
    from polysense.importers.import_checkpoint import import_checkpoint, import_summary_of

    out = Path(arguments.out)
    import_checkpoint(arguments.family, arguments.path, out, arguments.precision, arguments.llm)
    print(import_summary_of(out), end="")
    print(f'Imported: {out}\nAsk:      polysense ask {out} image.png "What is this?"')
