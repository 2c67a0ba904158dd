"""Probes: do their intervals hold, is chance chance, are latents named wrongly, is the layer the best one?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from simulations.frame import SEED, Figure, Part, Row, experiments, mean, share
from trimtab.probes import association, ridge
from trimtab.probes.controls import chance, flipped_by_template, flipped_within_pairs
from trimtab.probes.intervals import intervals
from trimtab.probes.nested import folds_by_group, nested, out_of_fold, score
from trimtab.seeds import derive

FEATURES, PENALTY = 15, 30.0
PENALTIES = (3.0, 30.0, 300.0)
LEVEL, ALPHA = 0.95, 0.05


class Shape(NamedTuple):
    """Contrast prompts of one kind of experiment."""

    templates: int
    pairs: int
    """A template."""
    signal: float
    """How far the poles differ, where the rows of a template spread by 1."""
    own: float
    """How far they differ in a way that each template has for itself."""
    apart: float = 1.0
    """How far templates lie apart."""


class Draw(NamedTuple):
    rows: torch.Tensor
    labels: torch.Tensor
    templates: list[str]
    pairs: list[str]


def draw(generator: torch.Generator, shape: Shape, features: int = FEATURES) -> Draw:
    """Prompts of one experiment; the trait is the first feature."""

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    labels = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(shape.templates * shape.pairs)
    of = torch.arange(shape.templates).repeat_interleave(2 * shape.pairs)
    towards = shape.own * normal(shape.templates, features)
    towards[:, 0] += shape.signal
    rows = normal(len(labels), features) + shape.apart * normal(shape.templates, features)[of]
    rows = rows + (labels - 0.5)[:, None] * towards[of]
    return Draw(rows, labels, [f"t{at:02d}" for at in of.tolist()], [f"p{i // 2:03d}" for i in range(len(labels))])


def _generator(*names: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derive(SEED, "probes", *names))


def _covered(found: Sequence[float], drawn: Sequence[dict[str, float | None]], name: str) -> Row:
    """How often intervals hold the mean score of all experiments, and how wide they are."""
    truth = float(np.mean(found))
    held = [each[f"{name}_lower"] <= truth <= each[f"{name}_upper"] for each in drawn]  # type: ignore[operator]
    width = np.median([each[f"{name}_upper"] - each[f"{name}_lower"] for each in drawn])  # type: ignore[operator]
    label = {"auc": "AUC", "r2": "R²"}[name]
    return {label: mean(found), f"{label} held": share(held, least=LEVEL), f"{label} width": f"{width:.2f}"}


def _out_of_fold(shapes: dict[str, Shape], usual: int, times: float) -> list[Row]:
    n, rows = experiments(usual, times), []
    for name, shape in shapes.items():
        generator = _generator("intervals", name)
        found, drawn = [], []
        for _ in range(n):
            data = draw(generator, shape)
            fold = folds_by_group(data.templates, "leave_one_out", 0)
            predicted = out_of_fold(data.rows, data.labels[:, None], fold, [PENALTY])[0, :, 0]
            found.append(score(predicted, data.labels))
            drawn.append(intervals(predicted, data.labels, data.templates, shape.templates))
        row: Row = {"shape": name} if name != _words(shape) else {}
        row |= {"templates": str(shape.templates), "pairs": str(shape.pairs), "signal": f"{shape.signal:.1f}"}
        row |= {"own": f"{shape.own:.1f}", "apart": f"{shape.apart:.1f}"}
        row |= _covered([each.auc for each in found], drawn, "auc") | _covered([each.r2 for each in found], drawn, "r2")
        rows.append(row | {"experiments": str(n)})
    return rows


def _words(shape: Shape) -> str:
    return " ".join(f"{value:g}" for value in shape)


def known_shapes(times: float) -> list[Row]:
    shapes = [Shape(7, 8, signal, own) for signal, own in ((0, 0), (0, 0.7), (1, 0.7), (2, 1), (3, 0.7))]
    shapes += [Shape(4, 8, 2, 1), Shape(12, 8, 2, 1)]
    return _out_of_fold({_words(shape): shape for shape in shapes}, 150, times)


def fresh_shapes(times: float) -> list[Row]:
    """Shapes from a generator: nobody chose them, least of all for what they show."""
    rng = np.random.default_rng(derive(SEED, "fresh shapes"))
    shapes = {}
    for number in range(16):
        templates, pairs = int(rng.integers(4, 16)), int(rng.choice([2, 4, 8, 16]))
        # from no trait at all to AUC of .95 and more
        shape = Shape(templates, pairs, rng.uniform(0, 3.5), rng.uniform(0, 1.5), rng.uniform(0, 2))
        shapes[str(number + 1)] = shape
    return _out_of_fold(shapes, 100, times)


def one_fit(times: float) -> list[Row]:
    n, rows = experiments(200, times), []
    for templates in (3, 5, 8, 12):
        for signal in (0.0, 2.5, 4.0, 6.0):
            shape, generator = Shape(templates, 8, signal, 0.7, 0.5), _generator("one fit", templates, f"{signal:g}")
            drawn, found = [], []
            for _ in range(n):
                # the probe is given: the trait's own feature
                data = draw(generator, shape, 1)
                predicted = data.rows[:, 0] + 0.5
                found.append(score(predicted, data.labels).auc)
                drawn.append(intervals(predicted, data.labels, data.templates))
            row: Row = {"templates": str(templates), "signal": f"{signal:g}"} | _covered(found, drawn, "auc")
            row["of one pair, in closed form"] = f"{_auc(shape):.2f}"
            rows.append(row | {"without a fault": share(np.array(found) == 1), "experiments": str(n)})
    return rows


def _auc(shape: Shape) -> float:
    """AUC of rows of two templates, which differ by a normal gap."""
    spread = 2 * (1 + shape.apart**2 + shape.own**2 / 4)
    return float(stats.norm.cdf(shape.signal / np.sqrt(spread)))


def size_of_chance(times: float) -> list[Row]:
    n, rows = experiments(100, times), []
    for signal, own in ((0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.5, 1.0)):
        generator, rejected = (
            _generator("chance", f"{signal:g}", f"{own:g}"),
            {"whole templates": [], "single pairs": []},
        )
        for seed in range(n):
            data = draw(generator, Shape(7, 8, signal, own))
            fold = folds_by_group(data.templates, "leave_one_out", 0)
            for unit, swapped in {
                "whole templates": flipped_by_template(data.labels, data.templates, 63, seed),
                "single pairs": flipped_within_pairs(data.labels, data.pairs, 63, seed),
            }.items():
                targets = torch.cat([data.labels[:, None], swapped], 1)
                predicted = out_of_fold(data.rows, targets, fold, [PENALTY])[0]
                seen, *others = (score(predicted[:, i], targets[:, i]) for i in range(targets.shape[1]))
                found = chance(seen, others)
                rejected[unit].append((found.auc_p <= ALPHA, found.r2_p <= ALPHA))
        row: Row = {"signal": f"{signal:g}", "own": f"{own:g}"}
        for unit, found in rejected.items():
            promised = ALPHA if not signal and unit == "whole templates" else np.inf
            auc, r2 = np.array(found).T
            row |= {f"AUC p ≤ .05, {unit}": share(auc, most=promised), f"R² p ≤ .05, {unit}": share(r2, most=promised)}
        rows.append(row | {"experiments": str(n)})
    return rows


def latents(times: float) -> list[Row]:
    n, rows, many, pairs = experiments(20, times), [], 400, 8
    for templates, own, true in ((7, 0.0, 0), (7, 1.0, 0), (12, 1.0, 0), (12, 1.0, 40), (20, 1.0, 0), (20, 1.0, 40)):
        generator = _generator("latents", templates, f"{own:g}", true)
        level: dict[str, list[float]] = {"templates": [], "pairs": []}
        false: dict[str, list[float]] = {"templates": [], "pairs": []}
        found = []
        for seed in range(n):
            gaps = torch.randn(templates * pairs, many, generator=generator, dtype=torch.float64)
            apart = torch.randn(templates, many, generator=generator, dtype=torch.float64).repeat_interleave(pairs, 0)
            gaps += own * apart
            gaps[:, :true] += 2.0
            table = association.table({0: gaps}, [f"t{i // pairs:02d}" for i in range(len(gaps))], seed)
            for unit in level:
                named = table[f"q_{unit}"].to_numpy() <= ALPHA
                level[unit].append(float((table[f"p_{unit}"].to_numpy()[true:] <= ALPHA).mean()))
                false[unit].append(float(named[true:].sum() / max(named.sum(), 1)))
            found.append(float((table["q_templates"].to_numpy()[:true] <= ALPHA).mean()) if true else 0.0)
        row: Row = {"templates": str(templates), "own": f"{own:g}", "true latents": f"{true} of {many}"}
        for unit, most in (("templates", ALPHA), ("pairs", np.inf)):
            row[f"p ≤ .05 of the others, {unit}"] = mean(level[unit], most=most)
            row[f"false among q ≤ .05, {unit}"] = mean(false[unit], most=most)
        row["true ones named, templates"] = mean(found) if true else ""
        rows.append(row | {"experiments": str(n)})
    return rows


FOLD_SEEDS, LAYERS = 4, 4
LAYER_SIGNALS = {"equal layers": (1.2, 1.2, 1.2, 1.2), "one layer better": (0.8, 0.8, 1.6, 0.8)}


def selection(times: float) -> list[Row]:
    n, rows = experiments(20, times), []
    for case, signals in LAYER_SIGNALS.items():
        for protocol in ("leave_one_out", 4):
            generator, runs = _generator("selection", case), []
            for _ in range(n):
                runs.append(_selected(generator, signals, protocol))
            scores, truths = (np.array([getattr(run, name) for run in runs]) for name in ("scores", "truths"))
            picked = np.array([run.picked for run in runs])
            modal = [np.bincount(row).max() / len(row) for row in picked]
            again = [np.bincount(picked[:, 0], minlength=LAYERS)[run.picked[0]] - 1 for run in runs]
            best = int(np.argmax(signals)) if len(set(signals)) > 1 else None
            rows.append(
                {
                    "layers": case,
                    "folds": "one template each" if protocol == "leave_one_out" else "four, at random",
                    "R² less the truth": mean((scores - truths).mean(axis=1)),
                    "SD over experiments": _deviation(scores[:, 0]),
                    "SD over fold seeds": mean(scores.std(axis=1, ddof=1)) if scores.shape[1] > 1 else "none",
                    "fold seeds that agree on the layer": mean(modal) if scores.shape[1] > 1 else "all",
                    "best layer picked": share(picked[:, 0] == best) if best is not None else "",
                    "support stated": mean([run.support for run in runs]),
                    "other experiments that pick it": mean(np.array(again) / (n - 1)),
                    "experiments": str(n),
                }
            )
    return rows


def _deviation(values: np.ndarray) -> Figure:
    """Standard deviation, its error by the normal formula."""
    sd = float(values.std(ddof=1))
    return Figure(sd, sd / np.sqrt(2 * (len(values) - 1)))


class Selected(NamedTuple):
    scores: list[float]
    """Nested R² with the layer chosen inside, by fold seed."""
    truths: list[float]
    """R² on fresh templates of the layer and penalty then chosen."""
    picked: list[int]
    support: float


def _selected(generator: torch.Generator, signals: tuple[float, ...], protocol: "str | int") -> Selected:
    data = {layer: draw(generator, Shape(7, 4, signal, 0.7), 10) for layer, signal in enumerate(signals)}
    fresh = {layer: draw(generator, Shape(150, 2, signal, 0.7), 10) for layer, signal in enumerate(signals)}
    labels, templates = data[0].labels, data[0].templates
    layers = {layer: each.rows for layer, each in data.items()}
    scores, truths, picked, support = [], [], [], []
    for seed in range(1 if protocol == "leave_one_out" else FOLD_SEEDS):
        done = nested(layers, labels[:, None], templates, PENALTIES, protocol, seed)  # type: ignore[arg-type]
        chosen = done.chosen
        probe = ridge.fit(layers[chosen.layer], labels, chosen.penalty)
        scores.append(score(done.overall[:, 0], labels).r2)
        truths.append(score(probe.predict(fresh[chosen.layer].rows), fresh[0].labels).r2)
        picked.append(chosen.layer)
        support.append(done.support[chosen.layer])
    return Selected(scores, truths, picked, support[0])


SHAPE_WORDS = (
    "“Signal” is how far the poles differ, “own” how far they do in a way that each template has for itself, and "
    "“apart” how far templates lie apart, all where the rows of a template spread by 1."
)
PARTS = [
    Part(
        "known_shapes",
        "Intervals of a probe's scores",
        "One template is left out at a time; the truth is the mean score of all experiments, and intervals should hold "
        f"it in .95. The method of these intervals was chosen on these shapes. {SHAPE_WORDS}",
        known_shapes,
    ),
    Part(
        "fresh_shapes",
        "The same on shapes that were drawn",
        "Four to fifteen templates of two to sixteen pairs, drawn at random after the method was chosen.",
        fresh_shapes,
    ),
    Part(
        "one_fit",
        "Intervals of a given probe's AUC",
        "Eight pairs a template that the probe was not fitted on, up to an AUC of 1. Where nothing is wrong in any "
        "template (“without a fault”), the bound is exact for so many templates.",
        one_fit,
    ),
    Part(
        "chance",
        "Chance of a probe's score",
        "Seven templates of eight pairs. Where there is no signal, swapping the poles of whole templates should reject "
        "in 5 % at most (3 of 64 labelings are 4.7 %); single pairs are what it replaced.",
        size_of_chance,
    ),
    Part(
        "latents",
        "Latents that go with a trait",
        "Latents whose gaps differ between templates by “own”. Of those without a trait 5 % at most should have "
        "p ≤ .05 by templates, and of those named at q ≤ .05 5 % at most should be false. By pairs is what it "
        "replaced.",
        latents,
    ),
    Part(
        "selection",
        "Folds, and the layer that is chosen",
        "Seven templates of four pairs, four layers. The score is nested, with the layer chosen inside, and its truth "
        "is the R² of the probe that is then fitted, on 150 fresh templates. Folds by leaving one template out have no "
        "seed. The support that a run states is to be compared with the share of other experiments that pick the same "
        "layer.",
        selection,
    ),
]
