"""What is asked about an organism's truth: names that the measuring and the page share."""

DIRECTIONS = 100
"""Random directions a layer."""
ALPHA = 0.05
NEGLIGIBLE = 0.1
"""A random direction that does less than this share of what the persona does is no finding worth the name."""
KL = "KL from the law, nats"
MOVED = "levels moved"
CHANCE = "probability of the trait's own action, high minus low"
READ = "correlation with the true level"
SHARE = "share of what the persona does"
LEAK = "largest leak, as a share of its own"
AXES = "axes of effect (participation ratio)"
ROLLOUT_AXES = "axes of effect in the rollouts (participation ratio)"
ABOVE_NULL = "axes of effect in the rollouts, above their null"
SIGNIFICANT = f"called significant (paired t over tasks, p < {ALPHA:g})"
SIZEABLE = f"does at least {NEGLIGIBLE:.0%} of what the persona does"
AS_LARGE = "does at least as much as the vector"
REPORTED = f"called an effect in the report (corrected p < {ALPHA:g})"
KEYS = ["question", "method", "trait", "target", "timing", "dose"]
"""Columns that name an answer."""
SURPRISE, BROKEN = "surprise", "broken"
"""Measures of measured.parquet that are no evaluator's: nats of an action's input, and whether a turn can't be read."""
MEASURED = ["method", "trait", "measure", "item", "value"]
"""Columns of measured.parquet."""
COLUMNS = [*KEYS, "estimate", "lower", "upper", "truth", "n"]
