"""OneLLM's released checkpoint."""
