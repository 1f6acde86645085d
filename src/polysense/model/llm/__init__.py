"""The LLM: loaded, checked, adapted; what was found out about it in capabilities.py."""
