"""A test for every module: the file of its name, or the one that a table names."""

import ast
from pathlib import Path

import pytest
from architecture.source_tree import ROOT, SOURCE, SOURCES, name_of, tree

# Modules without a test file of their name, and the one that tests them.
TESTED_BY: dict[str, str] = {
    "model/connectors/base.py": "model/connectors/test_build.py",
    "model/connectors/mlp.py": "model/connectors/test_build.py",
    "cli/import_checkpoint.py": "importers/test_import_checkpoint.py",
    "cli/load_run.py": "cli/test_train.py",
    "config/model.py": "model/connectors/test_build.py",
    "config/run.py": "recipes/test_onellm_recipes.py",
    "data/chat/chat_templates.py": "parity/test_imported.py",
    "data/formats/line.py": "data/formats/test_table.py",
    "data/formats/messages.py": "data/chat/test_chat_tokenizer.py",
    "data/placeholders.py": "data/chat/test_chat_tokenizer.py",
    "data/processor_files.py": "data/test_processor.py",
    "errors.py": "data/chat/test_chat_tokenizer.py",
    "evaluation/console_tables.py": "evaluation/test_result.py",
    "evaluation/predictor.py": "evaluation/test_evaluate.py",
    "evaluation/report/loss_curves.py": "evaluation/report/test_report.py",
    "evaluation/report/model_summary.py": "cli/test_train.py",
    "importers/blip2.py": "parity/test_imported.py",
    "importers/hf_checkpoint.py": "importers/test_import_checkpoint.py",
    "importers/llava.py": "parity/test_imported.py",
    "importers/onellm/names.py": "parity/test_onellm_layout.py",
    "importers/onellm/read.py": "parity/test_onellm.py",
    "importers/onellm/sizes.py": "parity/test_onellm_layout.py",
    "importers/qformer_names.py": "parity/test_qformer.py",
    "modalities/__init__.py": "modalities/test_image.py",
    "modalities/base.py": "model/test_polysense_model.py",
    "modalities/sources/file_parts.py": "modalities/sources/test_source_string.py",
    "model/configuration.py": "model/test_polysense_model.py",
    "model/connectors/abstractor.py": "model/connectors/test_pooling.py",
    "model/connectors/qformer.py": "parity/test_qformer.py",
    "model/encoders/efficientnet.py": "model/encoders/test_build.py",
    "model/encoders/vision.py": "parity/test_imported.py",
    "model/fusion/llm_hooks.py": "model/fusion/test_media_context.py",
    "model/fusion/base.py": "model/fusion/test_build.py",
    "model/fusion/placeholder_fusion.py": "model/fusion/test_build.py",
    "model/llm/load.py": "model/llm/test_adapters.py",
    "model/llm/text_tokenizer.py": "model/test_gguf.py",
    "model/pretrained/save_load.py": "model/test_polysense_model.py",
    "recipes/__init__.py": "recipes/laptop/test_weights.py",
    "recipes/laptop/image_only.py": "config/test_near_names.py",
    "recipes/laptop/onellm.py": "recipes/test_onellm_recipes.py",
    "recipes/published/cogvlm.py": "recipes/published/test_flamingo.py",
    "recipes/published/onellm.py": "recipes/test_onellm_recipes.py",
    "recipes/published/qwen_vl.py": "recipes/published/test_flamingo.py",
    "recipes/published/x_llm.py": "recipes/published/test_pandagpt.py",
    "training/objectives/__init__.py": "training/objectives/test_next_token.py",
    "training/objectives/bag_of_words.py": "training/objectives/test_next_token.py",
    "training/progress/feature_progress.py": "training/progress/test_metric_logger.py",
    "training/progress/plan.py": "training/progress/test_metric_logger.py",
    "training/run.py": "model/test_polysense_model.py",
    "training/stage_checks.py": "training/objectives/test_qformer_pretraining.py",
    "types.py": "data/test_datasets.py",
}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_has_a_test(path: Path) -> None:
    public = [
        node.name
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    place = path.relative_to(SOURCE)
    test = TESTED_BY.get(place.as_posix(), (place.parent / f"test_{place.name}").as_posix())
    if public:
        assert (ROOT / "tests" / test).is_file(), f"no tests/{test} for {name_of(path)}"


def test_table_of_tests_is_needed() -> None:
    """A line of TESTED_BY goes when its module does, or gets a test file of its own."""
    for module, test in TESTED_BY.items():
        own = Path(module).parent / f"test_{Path(module).name}"
        assert (SOURCE / module).is_file(), f"TESTED_BY names {module}, which is gone"
        assert not (ROOT / "tests" / own).is_file(), f"tests/{own} exists; drop TESTED_BY[{module}]"
        words = (ROOT / "tests" / test).read_text(encoding="utf-8")
        dotted = "polysense." + module.removesuffix(".py").replace("/", ".").removesuffix(
            ".__init__"
        )
        assert dotted in words, f"tests/{test} does not import {dotted}"
