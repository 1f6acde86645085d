"""File formats: one reader a format, each with its limits."""
