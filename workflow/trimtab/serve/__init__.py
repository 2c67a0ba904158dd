"""A steered model behind an OpenAI-compatible address."""
