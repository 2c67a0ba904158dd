"""What a check of the preflight found, and what follows from it: passed, accepted by the config, or the end of the job.

Names of the checks are in `trimtab.model.checks`, the checks themselves in `trimtab.model.preflight` and
`trimtab.model.products`, and what mends a failure in `trimtab.model.stack`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.proof import TOLERANCE, relative
from trimtab.model.stack import advice


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    figure: float | None
    """The difference found, what it counts is said in `detail`; None for a check that couldn't be run."""
    tolerance: float
    detail: str
    accepted: bool = False
    """Failed, and named in the config's `model.accepted_failures`."""


def judge(checks: Sequence[Check], model: PreTrainedModel | None, accepted: Sequence[str], source: str) -> list[Check]:
    """The checks, with those marked that failed and that the config accepts.

    Args:
        model: what they are of, for advice; None for one that isn't in this process.

    Raises:
        TrimtabError: a check failed that isn't accepted.
    """
    wrong: list[str] = []
    reasons: dict[str, list[Check]] = {}
    for check in checks:
        if not check.passed and check.name not in accepted:
            # checks that couldn't be run, for one reason, share its line
            reasons.setdefault(check.detail if check.figure is None else check.name, []).append(check)
    for failed in reasons.values():
        line = f"{source}: preflight, {'; '.join(check.name for check in failed)}: {failed[0].detail}"
        if failed[0].figure is not None:
            line += f" {failed[0].figure:.3g}, expected at most {failed[0].tolerance:.3g}"
        mend = advice(model, failed[0].name) if model is not None else ""
        wrong.append(line + (f"; {mend}" if mend else ""))
    if wrong:
        raise TrimtabError("\n".join(wrong))
    return [replace(check, accepted=not check.passed) for check in checks]


def compared(
    dtype: torch.dtype,
    name: str,
    wanted: Sequence[Tensor],
    got: Sequence[Tensor],
    what: str = "the last token's logits",
) -> Check:
    """Whether numbers are as wanted, as far as a dtype can tell: by the worst relative difference."""
    tolerance = TOLERANCE[dtype]
    if not all(bool(each.isfinite().all()) for each in (*wanted, *got)):
        return Check(name, False, None, tolerance, f"{what} are NaN or infinite, expected finite numbers")
    worst = max((relative(a, b) for a, b in zip(wanted, got, strict=True)), default=0.0)
    # all zeros have no relative difference
    figure = worst if math.isfinite(worst) else None
    return Check(name, worst <= tolerance, figure, tolerance, f"relative difference of {what}")


def exact(name: str, one: Tensor, other: Tensor) -> Check:
    """Whether two tensors hold the same numbers."""
    worst = float((one - other).abs().max())
    figure = worst if math.isfinite(worst) else None
    return Check(name, torch.equal(one, other), figure, 0.0, "largest difference")
