"""Signals for people: pictures of what was perceived."""
