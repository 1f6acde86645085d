"""Metrics of answers, captions and ranks."""
