"""Stages, the loop, checkpoints that resume exactly, and the feature cache."""
