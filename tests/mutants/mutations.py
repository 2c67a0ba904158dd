"""The mutations: small faults that somebody could make, each with the tests that must notice it."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """One fault."""

    what: str
    file: str
    """Under workflow/trimtab."""
    old: str
    """Text that is in the file once."""
    new: str
    tests: tuple[str, ...]


def tests(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/{name}.py" for name in names)


CORRECTIONS = tests("statistics/test_corrections")
EFFECTS = tests("statistics/test_effects")
PAIRS = tests("statistics/test_pairs")
STRUCTURE = tests("statistics/test_structure")
CALIBRATE = tests("vectors/test_calibrate")
DOSE = tests("vectors/test_dose")
DECISIONS = tests("vectors/test_decisions")
ENGINE = tests("rollouts/test_engine")
OUTCOMES = tests("rollouts/test_outcomes")
RULES = tests("steering/test_changes")
PLACES = tests("steering/test_places")
GATES = tests("steering/test_gates")
EPISODES = tests("vectors/test_episode_methods")
BEST_OF = tests("rollouts/test_best_of")
ARMS = tests("rollouts/test_arms")
CONTRAST = tests("prompts/test_contrast")
NESTED = tests("probes/test_nested")
ASSOCIATION = tests("probes/test_association")
TRAIT_PROBES = tests("probes/test_trait_probes")
TRAINING = tests("vectors/test_training")
TRAINED = tests("vectors/test_trained_methods")
MAPS, ENERGIES = tests("vectors/test_lin_eas"), tests("vectors/test_asc_learned")
STUDY = tests("statistics/test_study")
SHOWN = tests("report/test_numbers_shown")

MUTATIONS = [
    # --- corrections and verdicts
    Mutation(
        "no Holm on the declared family",
        "statistics/effects.py",
        'result[declared] = corrected(p[declared], "holm")',
        "result[declared] = p[declared]",
        CORRECTIONS,
    ),
    Mutation(
        "no Benjamini-Hochberg on the rest",
        "statistics/effects.py",
        'result[~declared] = corrected(p[~declared], "fdr_bh")',
        "result[~declared] = p[~declared]",
        CORRECTIONS,
    ),
    Mutation(
        "equivalence not corrected",
        "statistics/effects.py",
        "p_corrected=_corrected(found.p, declared)",
        "p_corrected=found.p",
        CORRECTIONS,
    ),
    Mutation(
        "ranks among random directions not corrected",
        "statistics/effects.py",
        'ranks.assign(p_corrected=corrected(ranks["p"].to_numpy(float), "fdr_bh"))',
        'ranks.assign(p_corrected=ranks["p"])',
        CORRECTIONS,
    ),
    Mutation(
        "a rank that doesn't count the vector",
        "statistics/significance.py",
        "(count + 1) / (len(random[kind]) + 1)",
        "count / len(random[kind])",
        CORRECTIONS,
    ),
    Mutation(
        "verdict by uncorrected p",
        "statistics/findings.py",
        "if mean.p_corrected <= alpha:",
        "if mean.p <= alpha:",
        CORRECTIONS,
    ),
    Mutation(
        "equivalence verdict by uncorrected p",
        "statistics/findings.py",
        "_verdict(mean, difference, equal.p_corrected,",
        "_verdict(mean, difference, equal.p,",
        CORRECTIONS,
    ),
    Mutation(
        "a direction's own effect by uncorrected p",
        "statistics/findings.py",
        "turned.p_corrected <= alpha",
        "turned.p <= alpha",
        CORRECTIONS,
    ),
    Mutation(
        "detectable effect without Holm's alpha",
        "statistics/findings.py",
        "plan.alpha / tests",
        "plan.alpha",
        CORRECTIONS,
    ),
    Mutation(
        "moved and reversed swapped",
        "statistics/findings.py",
        'return "moved" if mean.estimate > 0 else "reversed"',
        'return "moved" if mean.estimate < 0 else "reversed"',
        EFFECTS,
    ),
    Mutation(
        "null of random directions of any layer and rule",
        "statistics/declared.py",
        "_of_kinds(as_studied(conditions, plan), plan.dose",
        "_of_kinds(conditions, plan.dose",
        CORRECTIONS,
    ),
    Mutation(
        "ranks among random directions of any layer and rule",
        "statistics/declared.py",
        'for column in ("unit", "layer", "rule", "gate", "also"):',
        'for column in ("unit",):',
        CORRECTIONS,
    ),
    Mutation(
        "claim of a negative dose points up", "statistics/declared.py", "-1 if each.dose < 0 else 1", "1", CORRECTIONS
    ),
    Mutation(
        "tool mix not corrected",
        "statistics/tools.py",
        'table.assign(p_corrected=corrected(table["p"].to_numpy(float), "fdr_bh"))',
        'table.assign(p_corrected=table["p"])',
        CORRECTIONS,
    ),
    Mutation(
        "turned vectors not declared",
        "statistics/contrasts.py",
        "contrast_table(rollouts, contrasts, plan, declared, {})",
        "contrast_table(rollouts, contrasts, plan, set(), {})",
        CORRECTIONS,
    ),
    Mutation(
        "a missing p counts as a test",
        "statistics/corrections.py",
        "made = np.isfinite(p)",
        "made = np.ones(p.shape, dtype=bool)",
        STUDY,
    ),
    # --- estimates, tests, intervals
    Mutation(
        "Cohen's d over n instead of n - 1",
        "statistics/pairs.py",
        "clean * n / np.where(n > 1, n - 1, np.nan)",
        "clean * np.where(n > 1, 1, np.nan)",
        PAIRS,
    ),
    Mutation(
        "wrong way counts scenarios that follow the claim",
        "statistics/pairs.py",
        "pairs.difference * pairs.direction < 0",
        "pairs.difference * pairs.direction > 0",
        PAIRS,
    ),
    Mutation(
        "Cliff's delta turned round",
        "statistics/pairs.py",
        "np.sign(high[:, one, None] - low[None, :, other])",
        "np.sign(low[None, :, other] - high[:, one, None])",
        PAIRS,
    ),
    Mutation(
        "an unchanged scenario counts as risen",
        "statistics/pairs.py",
        "(1 + mean(np.sign(pairs.difference))) / 2",
        "mean((pairs.difference >= 0).astype(float))",
        PAIRS,
    ),
    Mutation(
        "one-sided sign flip",
        "statistics/significance.py",
        "np.abs(signs @ difference) >= observed",
        "signs @ difference >= observed",
        PAIRS,
    ),
    Mutation(
        "equivalence by the better of its two tests",
        "statistics/significance.py",
        "np.maximum(*tails)",
        "np.minimum(*tails)",
        CORRECTIONS,
    ),
    Mutation(
        "axes counted at a lax level",
        "statistics/nulls.py",
        "np.cumprod(p <= 1 - level).sum()",
        "(p <= 1 - level / 2).sum()",
        STRUCTURE,
    ),
    Mutation(
        "specificity of another outcome",
        "statistics/coupling.py",
        "np.divide(squares[:, own], total",
        "np.divide(squares[:, own - 1], total",
        STRUCTURE,
    ),
    Mutation(
        "a peak that is only one way",
        "statistics/doses.py",
        "dose[np.abs(effects).argmax(axis=1)]",
        "dose[effects.argmax(axis=1)]",
        STRUCTURE,
    ),
    Mutation(
        "a plateau at the first dose",
        "statistics/doses.py",
        "shape = 1 - 2.0 ** (-dose[None, :] / grid[:, None])",
        "shape = 1 - np.exp(-dose[None, :] / grid[:, None])",
        STRUCTURE,
    ),
    Mutation(
        "one-sided order of traits",
        "statistics/prediction.py",
        "(np.abs(null) >= abs(found) - 1e-12)",
        "(null >= found - 1e-12)",
        STRUCTURE,
    ),
    Mutation(
        "a mix as its distance in one way only",
        "statistics/tools.py",
        "np.abs(first - second).sum(axis=1) / 2",
        "np.abs(first - second).sum(axis=1)",
        STRUCTURE,
    ),
    Mutation(
        "d of the study turned round",
        "statistics/study.py",
        "(treated.mean() - baseline.mean()) / np.sqrt(pooled)",
        "(baseline.mean() - treated.mean()) / np.sqrt(pooled)",
        STUDY,
    ),
    # --- probes
    Mutation(
        "a probe reads another layer's rows",
        "probes/contrast.py",
        "cache.prompt_rows(layer, [",
        "cache.prompt_rows(min(saes), [",
        TRAIT_PROBES,
    ),
    Mutation(
        "poles swapped, probes",
        "probes/contrast.py",
        'prompt["pole"] == "high"',
        'prompt["pole"] == "low"',
        TRAIT_PROBES,
    ),
    Mutation(
        "R² about 0", "probes/nested.py", "(labels - labels.mean()).square().sum()),", "labels.square().sum()),", NESTED
    ),
    Mutation(
        "ties count whole in the AUC",
        "probes/nested.py",
        "(gaps == 0).double().mean() / 2",
        "(gaps == 0).double().mean()",
        NESTED,
    ),
    Mutation(
        "rows predicted from their own fold",
        "probes/nested.py",
        "predict(rows, targets, fold != held, fold == held, penalties, family)",
        "predict(rows, targets, fold == fold, fold == held, penalties, family)",
        NESTED,
    ),
    Mutation(
        "the worst layer is chosen",
        "probes/nested.py",
        "choices[max(order, key=best_r2.__getitem__)]",
        "choices[min(order, key=best_r2.__getitem__)]",
        NESTED,
    ),
    Mutation(
        "chances of latents are one-sided",
        "probes/association.py",
        "(signs @ gaps).abs() >= seen",
        "(signs @ gaps) >= seen",
        ASSOCIATION,
    ),
    # --- prompts
    Mutation(
        "a split for each row",
        "prompts/contrast.py",
        '                    "split": split,',
        '                    "split": SPLITS[fill % len(SPLITS)],',
        CONTRAST,
    ),
    Mutation(
        "all templates meet the same tasks",
        "prompts/contrast.py",
        "some[(number * fills + fill) % len(some)]",
        "some[fill % len(some)]",
        CONTRAST,
    ),
    # --- vectors
    Mutation(
        "KL(steered ‖ unsteered)",
        "vectors/calibrate.py",
        "((clean - torch.log_softmax(logits.float(), dim=-1)) * chance)",
        "((torch.log_softmax(logits.float(), dim=-1) - clean) * torch.softmax(logits.float(), dim=-1))",
        CALIBRATE,
    ),
    Mutation(
        "slope over one step instead of two",
        "vectors/calibrate.py",
        "(forth - back) / (2 * step)",
        "(forth - back) / step",
        CALIBRATE,
    ),
    Mutation(
        "the longest root of a wanted KL",
        "vectors/calibrate.py",
        "        for at in sorted(self.seen):\n            if abs(",
        "        for at in sorted(self.seen, reverse=True):\n            if abs(",
        CALIBRATE,
    ),
    Mutation(
        "a share with the wrong sign",
        "vectors/dose.py",
        "return dose * scale.residual_norm",
        "return -dose * scale.residual_norm",
        DOSE,
    ),
    Mutation(
        "a share by the norm of nothing", "vectors/dose.py", "return dose * scale.residual_norm", "return dose", DOSE
    ),
    Mutation(
        "a threshold without the probe's intercept",
        "vectors/dose.py",
        "(math.log(probability / (1 - probability)) - scale.intercept)",
        "math.log(probability / (1 - probability))",
        DOSE,
    ),
    Mutation(
        "gap of held-out rows turned round",
        "vectors/material.py",
        "(held_out.high - held_out.low)",
        "(held_out.low - held_out.high)",
        tests("vectors/test_material"),
    ),
    Mutation(
        "methods compared the other way",
        "vectors/comparison.py",
        "moved[reference] - effect",
        "effect - moved[reference]",
        DECISIONS,
    ),
    Mutation(
        "a rank that doesn't count the method",
        "vectors/comparison.py",
        'p_random": (as_large + 1) / (len(drawn) + 1)',
        'p_random": as_large / len(drawn)',
        DECISIONS,
    ),
    Mutation(
        "measures of the wrong action",
        "vectors/decisions.py",
        'columns = {f"p_{tool}": table[:, at].numpy()',
        'columns = {f"p_{tool}": table[:, at - 1].numpy()',
        DECISIONS,
    ),
    Mutation(
        "reflection on the side of execution",
        "vectors/methods/seal.py",
        "(turned if turning.search(segment) else carried)",
        "(carried if turning.search(segment) else turned)",
        EPISODES,
    ),
    Mutation(
        "a pause that remembers the segment before it",
        "vectors/methods/seal.py",
        '            yield at, segment\n            segment = ""',
        "            yield at, segment",
        EPISODES,
    ),
    Mutation(
        "a failure among the shortest episodes",
        "vectors/methods/efficiency.py",
        "if ok]",
        "if ok or True]",
        EPISODES,
    ),
    Mutation(
        "known tasks for unknown ones",
        "vectors/methods/casal_known.py",
        "for good in (False, True)",
        "for good in (True, False)",
        EPISODES,
    ),
    # --- steering
    Mutation(
        "a push with the wrong sign",
        "steering/changes.py",
        "return h + strength * self.unit.to(h)",
        "return h - strength * self.unit.to(h)",
        RULES,
    ),
    Mutation(
        "a floor that is a clamp",
        "steering/changes.py",
        "(self.threshold - _along(h, unit)).clamp_min(0)",
        "(self.threshold - _along(h, unit))",
        RULES,
    ),
    Mutation(
        "a turn the wrong way",
        "steering/changes.py",
        "(one * less - two * sine) * unit",
        "(one * less + two * sine) * unit",
        RULES,
    ),
    Mutation(
        "prefill and decode swapped",
        "steering/places.py",
        '    "prefill": lambda at: ~at.written,\n    "decode": lambda at: at.written,',
        '    "prefill": lambda at: at.written,\n    "decode": lambda at: ~at.written,',
        PLACES,
    ),
    Mutation(
        "first written tokens, and one more",
        "steering/places.py",
        "at.before < int(first[1])",
        "at.before <= int(first[1])",
        PLACES,
    ),
    Mutation(
        "openings counted at tokens that the timing doesn't touch",
        "steering/steering.py",
        "gated.count(now.row, self._timed(gated.timings, now))",
        "gated.count(now.row, at)",
        GATES,
    ),
    Mutation(
        "openings of a later batch that begin at nothing",
        "steering/gated.py",
        "self.memory, self.counted = other.memory[index], other.counted[index]",
        "self.memory = other.memory[index]",
        GATES,
    ),
    Mutation(
        "the token after the one before a call",
        "steering/places.py",
        '"before_call": lambda at: at.calls,',
        '"before_call": lambda at: at.calls.roll(1, -1),',
        PLACES,
    ),
    Mutation("tool and user swapped", "steering/places.py", "at.role == TOOL", "at.role == USER", PLACES),
    # --- rollouts
    Mutation(
        "the best of one episode more",
        "rollouts/best_of.py",
        "comb(int(below), k - 1) / comb(n, k)",
        "comb(int(below), k) / comb(n, k + 1)",
        BEST_OF,
    ),
    Mutation(
        "a study that goes on without its vector",
        "rollouts/arms.py",
        "if condition.arm == STUDY:",
        "if condition.arm == GRID:",
        ARMS,
    ),
    Mutation(
        "of three effects, what is unsteered taken away three times",
        "statistics/outcomes.py",
        "- (len(parts) - 1) * self.values[base]",
        "- len(parts) * self.values[base]",
        EFFECTS,
    ),
    Mutation(
        "bias added instead of subtracted",
        "rollouts/chooser.py",
        "first_scores(logits, self.firsts) - bias",
        "first_scores(logits, self.firsts) + bias",
        ENGINE,
    ),
    Mutation(
        "noise of a condition's own",
        "rollouts/episodes.py",
        "self._noise(seed, s.id, run), s.task)",
        "self._noise(seed, s.id + arm.condition_id, run), s.task)",
        ENGINE,
    ),
    Mutation(
        "the same noise in every run",
        "rollouts/episodes.py",
        'seeds.derive(seed, "rollouts", scenario, run)',
        'seeds.derive(seed, "rollouts", scenario)',
        ENGINE,
    ),
    Mutation(
        "the same noise in every turn",
        "rollouts/player.py",
        "episode.noise[len(episode.turns), self._draws",
        "episode.noise[0, self._draws",
        ENGINE,
    ),
    Mutation(
        "calibration by the median",
        "agent/calibration.py",
        "of.double().mean(0).tolist()",
        "of.double().median(0).values.tolist()",
        ENGINE,
    ),
    Mutation(
        "only the block with the highest bound is looked at",
        "rollouts/gumbel.py",
        "bound >= likely.maximum(spread)[:, None] - ROUNDING",
        "bound >= bound.amax(dim=1, keepdim=True)",
        tests("rollouts/test_gumbel"),
    ),
    Mutation(
        "all choices of a block have its least noise",
        "rollouts/gumbel.py",
        "(least[row, block, None] + further).log()",
        "least[row, block, None].log()",
        tests("rollouts/test_gumbel"),
    ),
    Mutation(
        "the temperature ignored in written text",
        "rollouts/inverse_cdf.py",
        "logits[list(rows[some])] / temperature",
        "logits[list(rows[some])]",
        tests("rollouts/test_draws"),
    ),
    Mutation(
        "the temperature multiplies",
        "rollouts/inverse_cdf.py",
        "probabilities.log() / temperature",
        "probabilities.log() * temperature",
        tests("rollouts/test_draws"),
    ),
    Mutation(
        "risky share over turns instead of calls",
        "rollouts/outcomes.py",
        "rollout.times(*IRREVERSIBLE) / len(rollout.calls) if",
        "rollout.times(*IRREVERSIBLE) / len(rollout.turns) if",
        OUTCOMES,
    ),
    Mutation(
        "asking counts as acting",
        "rollouts/outcomes.py",
        'user left out.",\n        unit=A_ROLLOUT,\n        count=lambda rollout: rollout.times(*PROACTIVE)',
        'user left out.",\n        unit=A_ROLLOUT,\n        count=lambda rollout: len(rollout.calls)',
        OUTCOMES,
    ),
    Mutation(
        "success by the last step alone",
        "rollouts/outcomes.py",
        "count=lambda rollout: any(rollout.reached),",
        "count=lambda rollout: rollout.reached[-1],",
        OUTCOMES,
    ),
    Mutation(
        "breakage by the sum of faults",
        "rollouts/outcomes.py",
        "sum(map(bool, rollout.faults)) / len(rollout.turns)",
        "sum(map(len, rollout.faults)) / len(rollout.turns)",
        OUTCOMES,
    ),
    Mutation(
        "a change of strategy is any retry",
        "rollouts/outcomes.py",
        "b.tool in CALLS and b.tool != a.tool",
        "b.tool in CALLS",
        OUTCOMES,
    ),
    Mutation(
        "what was asked, whatever else was changed",
        "rollouts/outcomes.py",
        "any(rollout.reached) and not any(rollout.beyond)",
        "any(rollout.reached)",
        OUTCOMES,
    ),
    Mutation(
        "autonomy of the study is asking",
        "rollouts/outcomes.py",
        "rollout.times(ASK) == 0",
        "rollout.times(ASK) > 0",
        OUTCOMES,
    ),
    # --- forward
    Mutation(
        "a hook one layer too deep",
        "forward/hooks.py",
        "module = site.module_of(stack)",
        "module = stack[min(site.layer + 1, len(stack) - 1)]",
        tests("forward/test_hooks"),
    ),
    # --- figures and tables
    Mutation(
        "bars with their ends swapped",
        "report/plots_style.py",
        'np.stack([estimate - rows["lower"], rows["upper"] - estimate])',
        'np.stack([rows["upper"] - estimate, estimate - rows["lower"]])',
        SHOWN,
    ),
    Mutation(
        "effects with the wrong sign",
        "report/plots_style.py",
        'estimate = rows["estimate"].to_numpy(float)',
        'estimate = -rows["estimate"].to_numpy(float)',
        SHOWN,
    ),
    Mutation(
        "any outcome's estimates",
        "report/plots_style.py",
        'rows = table[(table["estimand"] == estimand) & (table["outcome"] == outcome)]',
        'rows = table[table["estimand"] == estimand]',
        SHOWN,
    ),
    Mutation(
        "forest of mean differences under the heading of d",
        "report/plots_effects.py",
        'own = estimates(run, "cohens_d", run.plan.primary[trait])',
        'own = estimates(run, "mean_difference", run.plan.primary[trait])',
        SHOWN,
    ),
    Mutation(
        "the turned vector is the declared one again",
        "report/plots_effects.py",
        "one.method == run.plan.method and one.dose < 0",
        "one.method == run.plan.method and one.dose > 0",
        SHOWN,
    ),
    Mutation(
        "forest from the estimate up",
        "report/plots_effects.py",
        "axis.plot([row.lower, row.upper], [height, height], color=colour, linewidth",
        "axis.plot([row.estimate, row.upper], [height, height], color=colour, linewidth",
        SHOWN,
    ),
    Mutation(
        "timings at every dose",
        "report/plots_effects.py",
        'own_conditions[np.isclose(own_conditions["dose"], run.plan.dose)]',
        "own_conditions",
        SHOWN,
    ),
    Mutation(
        "breakage is something else",
        "report/plots_effects.py",
        'estimates(run, "mean_difference", "breakage")',
        'estimates(run, "mean_difference", "calls")',
        SHOWN,
    ),
    Mutation(
        "actions in all rollouts instead of a rollout",
        "report/plots_effects.py",
        "every = counts.div(rollouts, axis=0)",
        "every = counts * 1.0",
        SHOWN,
    ),
    Mutation(
        "matrix of effects on its side",
        "report/plots_structure.py",
        "values = wide.reindex(index=vectors, columns=outcomes).to_numpy(float)",
        "values = wide.reindex(index=vectors, columns=outcomes).to_numpy(float).T",
        SHOWN,
    ),
    Mutation(
        "observed axes and their null swapped",
        "report/plots_structure.py",
        "for name in (run.plan.method, RELABELLED)",
        "for name in (RELABELLED, run.plan.method)",
        SHOWN,
    ),
    Mutation(
        "score and effect swapped",
        "report/plots_structure.py",
        "axis.plot(row.r2, row.value, marker",
        "axis.plot(row.value, row.r2, marker",
        SHOWN,
    ),
    Mutation(
        "comparison of the differences",
        "report/plots_vectors.py",
        'axis.plot(row["estimate"], height, "o"',
        'axis.plot(row["difference"], height, "o"',
        SHOWN,
    ),
    Mutation(
        "every measure in the comparison",
        "report/tables_vectors.py",
        'frame[(frame["trait"] == frame["measure"]) & ~single]',
        "frame[~single]",
        SHOWN,
    ),
    Mutation(
        "uncorrected p of the declared tests",
        "report/tables_effects.py",
        '"p": p("p_corrected"),\n            "Up',
        '"p": p("p"),\n            "Up',
        SHOWN,
    ),
    Mutation(
        "means the wrong way round",
        "report/tables_effects.py",
        "{words.number(row['baseline_mean'])} → {words.number(row['mean'])}",
        "{words.number(row['mean'])} → {words.number(row['baseline_mean'])}",
        SHOWN,
    ),
    Mutation(
        "up and down swapped",
        "report/tables_effects.py",
        "{row['rising']} / {row['falling']}",
        "{row['falling']} / {row['rising']}",
        SHOWN,
    ),
    Mutation(
        "bounds swapped in every table",
        "report/table.py",
        "words.interval(row[lower], row[upper], digits)",
        "words.interval(row[upper], row[lower], digits)",
        SHOWN,
    ),
    Mutation(
        "use of tools the wrong way round",
        "report/tables_response.py",
        "{write(row[f'baseline_{key}'])} → {write(row[key])}",
        "{write(row[key])} → {write(row[f'baseline_{key}'])}",
        SHOWN,
    ),
    Mutation(
        "a training that leaves its last step and not its best",
        "vectors/training.py",
        "return Learned(dict(self._best), ",
        "return Learned({name: value.detach() for name, value in self.own.items()}, ",
        TRAINING,
    ),
    Mutation(
        "an optimiser's moments that a killed training forgets",
        "vectors/training.py",
        "key.startswith(about)}",
        "key == about}",
        TRAINING,
    ),
    Mutation(
        "a preference whose sign asks for the low pole",
        "vectors/preference.py",
        "self.beta * (high - low)",
        "self.beta * (low - high)",
        TRAINED,
    ),
    Mutation(
        "an interchange with the prompt's own pole",
        "vectors/methods/cdas.py",
        "(part.ends @ unit).flip(0).flatten()",
        "(part.ends @ unit).flatten()",
        TRAINED,
    ),
    Mutation(
        "a group's proximal step that leaves what is shorter than it",
        "vectors/methods/lin_eas.py",
        "found: Tensor = soft * kept.clamp_min(0)",
        "found: Tensor = soft * kept.abs()",
        MAPS,
    ),
    Mutation(
        "energies of whole texts and not of their tokens",
        "vectors/methods/asc_learned.py",
        "high, low = told / part.lengths",
        "high, low = told",
        ENERGIES,
    ),
]
