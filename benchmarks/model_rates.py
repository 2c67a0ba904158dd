"""What a job pays before its own work begins, and how fast the bare model is, in a process of its own.

Written as JSON to stdout: seconds of processor for a script's imports and for loading; then rates of the loaded model
in one thread, by its processor time.
"""

from trimtab.jobs.entry import script as entry

import json
import runpy
import time
from pathlib import Path
from typing import Any

import torch

ROWS, LENGTH = 4, 256
PRODUCTS = 20


def main(program: Path, manifest: Path, scenarios: Path, agent: Path, points: Path, *, rounds: int) -> None:
    runpy.run_path(str(program), run_name="job")
    imported = time.process_time()
    from trimtab.model.source import from_manifest

    _, model, tokenizer = from_manifest(manifest)
    loaded = time.process_time()
    found = {"imports": imported, "load": loaded - imported}
    if rounds:
        found |= rates(model, rounds) | {"decision_tokens": decision_tokens(tokenizer, scenarios, agent, points)}
    print(json.dumps(found))


@torch.inference_mode()
def rates(model: Any, rounds: int) -> dict[str, Any]:
    """Tokens a second of whole passes, operations a token, and operations a second of one of the model's products."""
    shape = model.config
    ids = torch.randint(0, shape.vocab_size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    product = model.model.layers[0].mlp.gate_proj
    rows = torch.randn(ROWS * LENGTH, shape.hidden_size).to(model.dtype)
    tokens, operations = [], []
    for at in range(rounds + 1):
        start = time.process_time()
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
        between = time.process_time()
        for _ in range(PRODUCTS):
            product(rows)
        end = time.process_time()
        # the first makes what is made once
        if at:
            tokens.append(ids.numel() / (between - start))
            operations.append(PRODUCTS * 2 * len(rows) * shape.hidden_size * shape.intermediate_size / (end - between))
    heads = shape.num_attention_heads + shape.num_key_value_heads
    width = heads * shape.head_dim + 3 * shape.intermediate_size // 2
    return {
        "forward": tokens,
        "product": operations,
        # of a token's products in all layers; attention between tokens and the head are left out
        "operations": 2 * 2 * shape.num_hidden_layers * shape.hidden_size * width,
    }


def decision_tokens(tokenizer: Any, scenarios: Path, agent: Path, points: Path) -> float:
    """Tokens of a decision's conversation after the header that all share, on average."""
    from trimtab.agent import protocols
    from trimtab.agent.points import Decisions
    from trimtab.agent.scenario import read_scenarios
    from trimtab.vectors.decisions import situations

    protocol = protocols.read(agent, tokenizer)
    read = situations(Decisions.read(points).points, read_scenarios(scenarios))
    prompts = [protocol.prompt(each.messages) for each in read]
    return sum(len(part.tokens) for prompt in prompts for part in prompt[1:]) / len(prompts)


if __name__ == "__main__":
    entry(main)
