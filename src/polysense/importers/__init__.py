"""Checkpoints of other systems become ours; `polysense import` writes them as runs.

A family is a line here: a function that reads a checkpoint strictly, writes its LLM and encoder to
folders of their own, and returns the rest (`Imported`).
"""

from polysense.importers.blip2 import read_blip2, read_instructblip
from polysense.importers.hf_checkpoint import Imported, Importer
from polysense.importers.idefics import read_idefics
from polysense.importers.llava import read_llava
from polysense.importers.onellm.read import read_onellm

FAMILIES: dict[str, Importer] = {
    "blip2": read_blip2,
    "idefics": read_idefics,
    "instructblip": read_instructblip,
    "llava": read_llava,
    "onellm": read_onellm,
}

# Those that bring no text tokenizer: it comes with an LLM of another place.
BORROWING = frozenset({"onellm"})
__all__ = ["BORROWING", "FAMILIES", "Imported", "Importer"]
