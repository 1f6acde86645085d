"""What an importer reads and what it hands over: a checkpoint of transformers, and its parts.

Weights are read by the checkpoint's own class, from safetensors only, which knows older names and
files in pieces too; what that class finds missing or left over is refused here. LLM and encoder are
written to folders of their own as they are, so only the connector needs names of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoTokenizer, LlamaTokenizer
from transformers.image_processing_base import ImageProcessingMixin
from transformers.modeling_utils import PreTrainedModel

from polysense.config import ConnectorConfig, EncoderConfig, FusionConfig
from polysense.errors import PolysenseError
from polysense.model.hub import load_pretrained

LLM, ENCODER = "llm", "encoder"  # the folders an importer writes
MODALITY = "image"  # what all families of transformers perceive


@dataclass(frozen=True)
class Imported:
    """A checkpoint without its LLM and encoder, which lie in folders by now.

    encoder         how the encoder is read; its name is the caller's to fill in
    connector       what the connector is built as
    fill            loads what is ours (the connector, tokenizers) into a PolysenseModel, strictly
    template        name of the chat template for an LLM that has none (data/chat/chat_templates.py)
    modalities      {modality: its options}, besides those that the encoder's images need
    fusion          how the LLM sees what the connector makes
    import_summary  where the checkpoint's tensors went, for imported.json; empty: all were placed
    """

    encoder: EncoderConfig
    connector: ConnectorConfig
    fill: Callable[[Any], None]
    text_tokenizer: Any
    template: str
    instruction_tokenizer: Any = None
    modalities: dict[str, dict[str, Any]] = field(default_factory=lambda: {MODALITY: {}})
    fusion: FusionConfig = field(default_factory=FusionConfig)
    import_summary: dict[str, Any] = field(default_factory=dict)


# Reads the checkpoint at a path or hub name; writes the folders LLM and ENCODER below the second.
# Families that bring no text tokenizer take the name of an LLM that does as a third argument.
Importer = Callable[..., Imported]


def read_settings(path: str, family: str, model_type: str) -> Any:
    """Read the checkpoint's config; one of another kind of model is an error."""
    settings = checked(path, AutoConfig.from_pretrained)
    if settings.model_type != model_type:
        raise PolysenseError(
            f"checkpoint {path!r} holds a model of type {settings.model_type!r}; the family "
            f"{family!r} is {model_type!r}"
        )
    text = getattr(settings, "text_config", settings)
    if text.is_encoder_decoder:
        raise PolysenseError(
            f"checkpoint {path!r} has an encoder-decoder LLM ({text.model_type}), and Polysense "
            "takes decoder-only ones: import the variant with OPT or Vicuna"
        )
    return settings


def require_settings(path: str, part: str, settings: Any, expected: dict[str, Any]) -> None:
    """Check that `part` of the checkpoint is built the one way that ours is."""
    for name, value in expected.items():
        found = getattr(settings, name)
        if found != value:
            raise PolysenseError(
                f"checkpoint {path!r}: its {part} has {name}={found!r}; only {value!r} is imported"
            )


def read_model(path: str, model_class: type[PreTrainedModel]) -> Any:
    """Read all weights in the precision they are stored in; raises on every tensor that is amiss.

    Names in the errors are those of `model_class`.
    """
    model, found = checked(
        path,
        model_class.from_pretrained,
        dtype="auto",
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        output_loading_info=True,
    )
    unlike = [name for name, *_ in found["mismatched_keys"]]
    for problem, names in (
        ("lacks", found["missing_keys"]),
        ("has tensors that no part of the model takes:", found["unexpected_keys"]),
        ("has tensors of another shape than its config says:", unlike),
    ):
        if names:
            shown = ", ".join(sorted(names)[:4])
            raise PolysenseError(f"checkpoint {path!r} {problem} {shown} ({len(names)} in all)")
    return model.eval()


def read_tokenizer(path: str, **options: Any) -> Any:
    """Read a tokenizer that lies with the checkpoint."""
    return checked(path, AutoTokenizer.from_pretrained, **options)


def read_borrowed_tokenizer(name: str, vocabulary: int) -> Any:
    """Read the tokenizer of the LLM `name`, a folder or hub name, for an LLM of so many words.

    The folder may hold nothing else. Its chat template is of other conversations, and dropped.
    """
    folder = Path(name).expanduser()

    def has(*files: str) -> bool:
        return not folder.exists() or any((folder / file).is_file() for file in files)

    if not has("tokenizer.json", "tokenizer.model"):
        raise PolysenseError(f"--llm {name!r} holds no tokenizer.json and no tokenizer.model")
    bare = not has("config.json", "tokenizer_config.json")
    loader = LlamaTokenizer if bare else AutoTokenizer  # Meta's own folders say no class
    try:
        tokenizer = loader.from_pretrained(str(folder) if folder.exists() else name)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PolysenseError(f"the tokenizer of --llm {name!r} cannot be read: {reason}") from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise PolysenseError(
            f"the tokenizer of --llm {name!r} has no tokens for begin and end of text: give LLaMA's"
        )
    if len(tokenizer) > vocabulary:
        raise PolysenseError(
            f"the tokenizer of --llm {name!r} has {len(tokenizer):,} tokens, and the checkpoint's "
            f"LLM {vocabulary:,} words: give the one it was trained with"
        )
    tokenizer.chat_template = None
    return tokenizer


def checked(path: str, loader: Callable[..., Any], **options: Any) -> Any:
    """Call a transformers `from_pretrained`; what a damaged file raises becomes one line."""
    try:
        return load_pretrained("checkpoint", loader, path, None, **options)
    except (SafetensorError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise PolysenseError(f"checkpoint {path!r} is damaged: {reason}") from error


def picture_values(path: str) -> dict[str, Any]:
    """Return the checkpoint's preprocessing of pictures, as its files say it; {} if they do not."""
    folder = Path(path).expanduser()
    name = str(folder) if folder.is_dir() else path
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return {}
    return values


def write_parts(
    folder: Path, llm: PreTrainedModel, tower: PreTrainedModel, picture: dict[str, Any]
) -> None:
    """Write the LLM and the vision tower, each as a folder that transformers reads by itself."""
    try:
        llm.save_pretrained(folder / LLM)
        tower.save_pretrained(folder / ENCODER)
    except ValueError as error:  # generation settings that contradict each other
        reason = str(error).strip().splitlines()[0]
        raise PolysenseError(f"the checkpoint's parts cannot be written: {reason}") from error
    if picture:
        ImageProcessingMixin(**picture).save_pretrained(folder / ENCODER)


def branch_of(model: nn.Module) -> Any:
    """Return the one branch of an imported model's connector."""
    return model.get_submodule(f"connector.branches.{MODALITY}")
