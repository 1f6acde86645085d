"""Fusion: how embeddings meet the LLM."""
