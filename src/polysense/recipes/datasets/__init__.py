"""Data of OneLLM's eight modalities from package registries: a file a modality, or a pair of them.

Every file has a PROVENANCE, what its signals really are, and a function that writes them below the
data folder once and returns their manifest lines, paths relative to that folder.
"""
