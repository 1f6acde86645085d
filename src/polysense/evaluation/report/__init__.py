"""The report: one self-contained page, and what it draws."""
