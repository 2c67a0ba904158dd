"""Settings of episodes that are over soon."""

from trimtab.rollouts.engine import Settings

SHORT = Settings(max_turns=3, limits={"thought_tokens": 6, "input_tokens": 4}, temperature=0.8)
