"""Conversations to ids and labels: templates, control tokens, the loss mask."""
