"""Recipes for laptops: small models, real data from package registries."""
