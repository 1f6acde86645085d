"""Signals for people: plots of what the model was given."""
