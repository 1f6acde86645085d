"""The flow from tokens to the LLM: encoder, connector, fusion, LLM; and its checkpoints."""

# Importing transformers registers our Auto classes (polysense/__init__.py), which imports modules
# of this folder: here, before one of them is half imported.
import transformers as transformers
