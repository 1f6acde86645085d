"""Encoders: tokens to features."""
