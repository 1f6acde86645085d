"""A processor's files, beside those of its model: the text tokenizer, and what the modalities read.

Loaded again it reads signals, and writes prompts, the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from transformers import AutoTokenizer, ProcessorMixin

from polysense.atomic_write import write_text
from polysense.data.caption_tokenizer import CaptionTokenizer
from polysense.errors import PolysenseError, unknown_name
from polysense.modalities import Modality, build_modalities
from polysense.modalities.custom import modality_sources, source_of
from polysense.model.pretrained.checkpoint_files import checkpoint_folder

FILE = "processor_config.json"
INSTRUCTION_TOKENIZER = "instruction_tokenizer"
CAPTION_TOKENIZER = "caption_tokenizer"
# What AutoProcessor and pipelines hand on to every processor, whether it reads it or not.
HANDED = ("trust_remote_code", "_from_pipeline", "_from_auto", "revision", "token", "cache_dir",
          "force_download", "local_files_only", "code_revision", "use_fast", "dtype",
          "device_map")  # fmt: skip


class ProcessorFiles(ProcessorMixin):
    """save_pretrained, from_pretrained and push_to_hub of a processor."""

    text_tokenizer: Any
    instruction_tokenizer: Any
    modalities: dict[str, Modality]
    num_placeholders_per_signal: dict[str, int]
    captions: CaptionTokenizer | None
    form: Any
    ending: str | None
    chat: Any

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Return the names of the parts that transformers knows."""
        return ["tokenizer"]

    def __repr__(self) -> str:
        modalities = ", ".join(self.modalities)
        return f"{type(self).__name__}({modalities}; {type(self.text_tokenizer).__name__})"

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, folder: str | Path, *, push_to_hub: bool = False, **hub: Any
    ) -> None:
        """Write the tokenizer's files and processor_config.json; the hub's options are those of
        transformers' `push_to_hub`."""
        hub.pop("max_shard_size", None)  # of weights; push_to_hub hands it to all it saves
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.text_tokenizer.save_pretrained(folder)
        if self.instruction_tokenizer is not None:
            self.instruction_tokenizer.save_pretrained(folder / INSTRUCTION_TOKENIZER)
        if self.captions is not None:
            self.captions.save_pretrained(folder / CAPTION_TOKENIZER)
        values = {
            "processor_class": type(self).__name__,
            "modalities": {name: vars(modality) for name, modality in self.modalities.items()},
            "sources": {
                name: source
                for name, modality in self.modalities.items()
                if (source := source_of(type(modality)))
            },
            "num_placeholders_per_signal": self.num_placeholders_per_signal,
            "form": self.form,
            "system": self.chat.system,
            "ending": self.ending,
        }
        write_text(folder / FILE, json.dumps(values, indent=2) + "\n")
        if push_to_hub:
            self.push_to_hub(hub.pop("repo_id", folder.name), **hub)
        elif hub:
            raise unknown_name("argument of save_pretrained", min(hub), ("folder", "push_to_hub"))

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, name: str | Path, *, modalities: Sequence[str] = (), **options: Any
    ) -> Self:
        """Load a processor from the folder, or hub name, of a checkpoint.

        `modalities` says where the files of a user's own modalities lie now, if they have moved.
        """
        for option, value in options.items():
            if option not in HANDED and value is not None:
                raise unknown_name("argument of from_pretrained", option, ("modalities",))
        folder = checkpoint_folder(name)
        try:
            values = json.loads((folder / FILE).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise PolysenseError(f"{folder / FILE} cannot be read: {error}") from error
        sources = modality_sources(values.get("sources", {}), modalities, name)
        built = build_modalities(values["modalities"], sources)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        led = (folder / INSTRUCTION_TOKENIZER).is_dir()
        processor: Any = cls(  # pyright: ignore[reportCallIssue]
            tokenizer,
            built,
            values["num_placeholders_per_signal"],
            values["form"],
            values["system"],
            AutoTokenizer.from_pretrained(folder / INSTRUCTION_TOKENIZER) if led else None,
            values.get("ending"),
        )
        if (folder / CAPTION_TOKENIZER).is_dir():
            processor.captions = CaptionTokenizer.from_pretrained(folder / CAPTION_TOKENIZER)
        return processor
