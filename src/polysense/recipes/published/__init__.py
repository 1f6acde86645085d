"""Recipes of published systems, as their papers have them."""
