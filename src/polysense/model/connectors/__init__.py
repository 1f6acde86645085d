"""Connectors: features to embeddings of the LLM's width."""
