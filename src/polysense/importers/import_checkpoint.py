"""`polysense import`: a checkpoint of another system becomes a run folder that needs nothing else.

The folder is what a complete checkpoint of ours is: the connector in model.safetensors, LLM and
encoder as transformers' own folders below references/, the processor beside them. It is made aside
and renamed at the end, so that it is there whole or not at all.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from polysense.atomic_write import disk_errors, flush, flush_all
from polysense.config import LanguageModelConfig, ModelConfig, Precision
from polysense.config.overrides import to_json
from polysense.data.chat.chat_templates import ENDINGS, TEMPLATES, writes_words
from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError, unknown_name
from polysense.importers import BORROWING, FAMILIES, Imported
from polysense.importers.hf_checkpoint import ENCODER, LLM
from polysense.modalities import modality_class
from polysense.model.configuration import PolysenseConfig
from polysense.model.encoders.image_preprocessing import signal_options
from polysense.model.hub import compute_dtype
from polysense.model.llm.input_embeddings import load_words
from polysense.model.llm.text_tokenizer import load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel

IMPORT_SUMMARY = "imported.json"  # of a run: where it comes from, and where the tensors went
REFERENCES = "references"  # below it, names in a config are relative to the folder (save_load.py)


def import_checkpoint(
    family: str, path: str, out: Path, precision: Precision = "auto", llm: str | None = None
) -> Path:
    """Write the checkpoint at `path`, a folder or hub name, as a run folder `out`; return that.

    `precision` is what the run is to compute in; `llm` is where families that bring no text
    tokenizer find one. Raises PolysenseError, and leaves nothing behind, where the family is
    unknown, `out` is taken, or a tensor of the checkpoint finds no place.
    """
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    if family in BORROWING and llm is None:
        raise PolysenseError(
            f"{family} brings no text tokenizer: name a LLaMA that does with --llm"
        )
    if family not in BORROWING and llm is not None:
        raise PolysenseError(f"{family} brings its LLM and text tokenizer: leave --llm out")
    out = out.expanduser().absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PolysenseError(f"{str(out)!r} exists already: give a folder that does not")
    home = next(folder for folder in out.parents if folder.is_dir())
    try:
        prefix = f".{out.name}-importing-"
        with disk_errors(out), tempfile.TemporaryDirectory(dir=home, prefix=prefix) as scratch:
            run = Path(scratch) / "run"
            references = run / REFERENCES
            references.mkdir(parents=True)
            borrowed = [] if llm is None else [llm]
            imported = FAMILIES[family](path, references, *borrowed)
            write_run(run, imported, precision)
            import_summary = {"family": family, "checkpoint": path, **imported.import_summary}
            (run / IMPORT_SUMMARY).write_text(json.dumps(import_summary, indent=2) + "\n")
            out.parent.mkdir(parents=True, exist_ok=True)
            flush_all(run)
            run.rename(out)
            flush(out.parent)
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
    ending = stop_at(llm, text_tokenizer, ENDINGS.get(imported.template))
    chosen = replace(imported.encoder, name=str(encoder))
    modalities = {
        name: {**signal_options(chosen, modality_class(name)), **options}
        for name, options in imported.modalities.items()
    }
    parts = ModelConfig(
        llm=LanguageModelConfig(str(llm)),
        encoder=chosen,
        connector=imported.connector,
        modalities=modalities,
        fusion=imported.fusion,
        precision=precision,
    )
    words = load_words(llm, compute_dtype(precision))  # no more of the LLM is needed here
    model = PolysenseModel(PolysenseConfig(model=to_json(parts)), words)
    imported.fill(model)
    processor = PolysenseProcessor.for_model(
        model,
        text_tokenizer,
        instruction_tokenizer=imported.instruction_tokenizer,
        ending=ending,
    )
    model.config.placeholders = processor.placeholders
    moved = replace(
        parts,
        llm=replace(parts.llm, name=f"{REFERENCES}/{LLM}"),
        encoder=replace(parts.encoder, name=f"{REFERENCES}/{ENCODER}"),
    )
    model.config.model, model.config.include_frozen = to_json(moved), True
    processor.save_pretrained(run)
    model.save_pretrained(run)


def stop_at(llm: Path, text_tokenizer: Any, ending: str | None) -> str | None:
    """Let the LLM in the folder `llm` stop where `ending` begins on a new line, as at its
    end-of-text token; return the text of the one token it then leaves behind an answer."""
    if ending is None:
        return None
    line, ended = (
        text_tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("a\n", f"a\n{ending}")
    )
    first = ended[len(line)]
    settings = GenerationConfig.from_pretrained(llm)
    settings.eos_token_id = [text_tokenizer.eos_token_id, first]
    settings.save_pretrained(llm)
    return text_tokenizer.decode([first]).strip()


def import_summary_of(run: Path) -> str:
    """Return where the tensors of an imported run went, in words; nothing where all were placed."""
    import_summary = json.loads((run / IMPORT_SUMMARY).read_text())
    if "tensors" not in import_summary:
        return ""
    parts = ", ".join(
        f"{import_summary[part]} {part}" for part in ("llm", "encoder", "tokenizers", "connector")
    )
    left = import_summary["left out"]
    return (
        f"{import_summary['tensors']} tensors: {parts}, {len(left)} left out ({', '.join(left)})\n"
    )
