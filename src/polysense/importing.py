"""`polysense import`: a checkpoint of another system becomes a run folder that needs nothing else.

The folder is what a complete checkpoint of ours is: the connector in model.safetensors, LLM and
encoder as transformers' own folders below references/, the processor beside them. It is made aside
and renamed at the end, so that it is there whole or not at all.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from polysense.config import LanguageModelConfig, ModelConfig, Precision
from polysense.data.processor import PolysenseProcessor
from polysense.data.templates import TEMPLATES, writes_words
from polysense.errors import PolysenseError, unknown_name
from polysense.modalities import modality_class
from polysense.model.configuration import PolysenseConfig
from polysense.model.importers import FAMILIES, Imported
from polysense.model.importers.checkpoint import ENCODER, LLM, SENSE
from polysense.model.llm import load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel
from polysense.model.preprocessing import signal_options
from polysense.overrides import to_json

REFERENCES = "references"  # below it, names in a config are relative to the folder (saving.py)


def import_checkpoint(family: str, path: str, out: Path, precision: Precision = "auto") -> Path:
    """Write the checkpoint at `path`, a folder or hub name, as a run folder `out`; return that.

    `precision` is what the run is to compute in. Raises PolysenseError, and leaves nothing behind,
    where the family is unknown, `out` is taken, or a tensor of the checkpoint finds no place.
    """
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    out = out.expanduser().absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PolysenseError(f"{str(out)!r} exists already: give a folder that does not")
    home = next(folder for folder in out.parents if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=f".{out.name}-importing-") as scratch:
            run = Path(scratch) / "run"
            references = run / REFERENCES
            references.mkdir(parents=True)
            write_run(run, FAMILIES[family](path, references), precision)
            out.parent.mkdir(parents=True, exist_ok=True)
            run.rename(out)
    except OSError as error:
        raise PolysenseError(f"{str(out)!r} cannot be written: {error}") from error
    return out


def write_run(run: Path, imported: Imported, precision: Precision) -> None:
    """Build the model from the folders an importer wrote, fill its connector, and save it."""
    llm, encoder = run / REFERENCES / LLM, run / REFERENCES / ENCODER
    text_tokenizer = imported.text_tokenizer
    if not writes_words(text_tokenizer):
        text_tokenizer.chat_template = TEMPLATES[imported.template]
    text_tokenizer.save_pretrained(llm)
    text_tokenizer = load_text_tokenizer(str(llm))  # with all its checks
    chosen = replace(imported.encoder, name=str(encoder))
    parts = ModelConfig(
        llm=LanguageModelConfig(str(llm)),
        encoder=chosen,
        connector=imported.connector,
        modalities={SENSE: signal_options(chosen, modality_class(SENSE))},
        precision=precision,
    )
    model = PolysenseModel(PolysenseConfig(model=to_json(parts)))
    imported.fill(model.connector)
    processor = PolysenseProcessor.for_model(
        model, text_tokenizer, instruction_tokenizer=imported.instruction_tokenizer
    )
    model.config.placeholders = processor.placeholders
    moved = replace(
        parts,
        llm=replace(parts.llm, name=f"{REFERENCES}/{LLM}"),
        encoder=replace(parts.encoder, name=f"{REFERENCES}/{ENCODER}"),
    )
    model.config.model, model.config.complete = to_json(moved), True
    processor.save_pretrained(run)
    model.save_pretrained(run)
