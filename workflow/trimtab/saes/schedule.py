"""When a training's learning rate is how high."""

from trimtab.settings.saes import STEADY_SHARE, SaeSettings


def rate(step: int, settings: SaeSettings) -> float:
    """Learning rate of `step`, counted from 0: linear warm-up, constant, linear to 0."""
    left = (settings.steps - step) / (settings.steps * (1 - STEADY_SHARE))
    return settings.learning_rate * min(1.0, (step + 1) / max(settings.warmup_steps, 1), left)
