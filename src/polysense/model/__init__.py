"""The flow from tokens to the LLM, and its checkpoints."""
