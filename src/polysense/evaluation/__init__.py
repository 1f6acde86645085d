"""Scores of a run, beside shuffled values and baselines, and its report."""
