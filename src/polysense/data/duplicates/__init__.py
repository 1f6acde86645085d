"""Duplicates: signals that are the same under two names, exactly or nearly."""
