"""When a training's learning rate is how high."""

from trimtab.settings.saes import STEADY_SHARE


def rate(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Learning rate of `step`, counted from 0: linear warm-up, constant, linear to 0."""
    left = (steps - step) / (steps * (1 - STEADY_SHARE))
    return peak * min(1.0, (step + 1) / max(warmup_steps, 1), left)
