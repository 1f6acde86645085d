"""Samples to batches: sampler, feature cache, packing, prefetch."""
