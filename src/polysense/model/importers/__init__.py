"""Checkpoints of other systems become ours; `polysense import` writes them as runs (importing.py).

A family is a line here: a function that reads a checkpoint strictly, writes its LLM and encoder to
folders of their own, and returns the rest (`Imported`).
"""

from polysense.model.importers.blip2 import read_blip2, read_instructblip
from polysense.model.importers.checkpoint import Imported, Importer
from polysense.model.importers.idefics import read_idefics
from polysense.model.importers.llava import read_llava
from polysense.model.importers.onellm import read_onellm

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
