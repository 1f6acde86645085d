"""A run refers to its LLM and encoder by their places: if they moved, an error names the option."""

from __future__ import annotations

from pathlib import Path

from polysense.errors import PolysenseError
from polysense.model.pretrained.references import relocate
from polysense.model.pretrained.save_load import checkpoint_folder, read_config


def check_places(run: str | Path, llm: str | None, encoder: str | None) -> None:
    """Check that the folders and files a run refers to are there; the error names the option."""
    folder = checkpoint_folder(run)
    parts = relocate(read_config(folder).parts, folder, llm, encoder)
    for part, name in (("llm", parts.llm.name), ("encoder", parts.encoder.name)):
        place = Path(name).expanduser()
        if name.startswith((".", "/", "~")) and not place.exists():
            raise PolysenseError(
                f"the {part} of run {str(run)!r} is not at {name!r}: say where it lies now "
                f"with --{part}"
            )
