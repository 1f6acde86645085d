"""Manifests, conversations and batches; the processor that users meet."""
