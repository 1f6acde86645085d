"""Saving and loading as transformers does; frozen weights are referenced."""
