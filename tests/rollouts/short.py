"""Settings of episodes that are over soon."""

from trimtab.settings.rollouts import EpisodeSettings

SHORT = EpisodeSettings(max_turns=3, thought_tokens=6, input_tokens=4, temperature=0.8, coupling="gumbel")
