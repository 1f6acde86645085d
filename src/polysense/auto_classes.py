"""transformers' Auto classes load a run as they load their own models.

They are registered when `polysense` is imported, or where transformers has not been imported, as
soon as it is: that takes seconds, which `polysense --help` need not wait for.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any


def register_with_transformers() -> None:
    """Register the Auto classes, now or once transformers is imported."""
    if "transformers" in sys.modules:
        register_auto_classes()
    else:
        sys.meta_path.insert(0, TransformersFinder())


def register_auto_classes() -> None:
    """Let transformers' Auto classes load a run as they load their own models."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
    )

    from polysense.data.processor import PolysenseProcessor
    from polysense.model.configuration import PolysenseConfig
    from polysense.model.polysense_model import PolysenseModel

    AutoConfig.register("polysense", PolysenseConfig, exist_ok=True)
    for family in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
        family.register(PolysenseConfig, PolysenseModel, exist_ok=True)
    AutoProcessor.register(PolysenseConfig, PolysenseProcessor, exist_ok=True)


class TransformersFinder:
    """Registers the Auto classes as soon as somebody imports transformers.

    A finder of sys.meta_path that finds nothing of its own: the first time that transformers is
    looked for, it takes what Python finds and has its loader register when it is done. The modules
    that registering imports must not be half imported then; tests/architecture/test_imports.py has
    the rule.
    """

    searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return Python's own spec of transformers, with a loader that registers; None else."""
        if name != "transformers" or self.searching:
            return None
        self.searching = True
        try:
            spec = find_spec(name)
        finally:
            self.searching = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: Any) -> None:
            execute(module)
            if self in sys.meta_path:  # a second spec may have been asked for and not been used
                sys.meta_path.remove(self)
                register_auto_classes()

        spec.loader.exec_module = execute_and_register
        return spec
