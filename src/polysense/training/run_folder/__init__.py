"""A run's folder: where it may lie, who holds it, what it remembers."""
