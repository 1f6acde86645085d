"""Scores of a run, beside blind values and baselines, and its report."""
