"""When a training's learning rate is how high. Without torch, since the check of a config asks here too."""

STEADY_SHARE = 0.8
"""Share of the run after which the rate falls, linearly to zero."""


def rate(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Learning rate of `step`, counted from 0: linear warm-up, constant, linear to 0."""
    left = (steps - step) / (steps * (1 - STEADY_SHARE))
    return peak * min(1.0, (step + 1) / max(warmup_steps, 1), left)
