"""Inspect evaluates a steered model through its own client of OpenAI's, which knows nothing of Trimtab."""

import json

import pytest
from other_tools import beside_tools, needs_tools
from served_model import TOKENIZER, UNIT, model

from trimtab.rollouts.by_hand import ByHand
from trimtab.steering.edits import added

EVAL = """
import json, os, sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
address, logs, said, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
found = {}
for name in names:
    model = get_model(f"openai-api/trimtab/{name}", base_url=address, api_key="none")
    config = GenerateConfig(temperature=0, max_tokens=20, seed=1)
    # what the unsteered model says counts as right
    samples = [Sample(input=prompt, target=answer) for prompt, answer in said.items()]
    task = Task(dataset=samples, scorer=includes(ignore_case=False), config=config, name="same")
    (log,) = eval(task, model=model, log_dir=logs, display="none")
    found[name] = {
        "status": log.status,
        "error": None if log.error is None else log.error.message,
        "accuracy": log.results and log.results.scores[0].metrics["accuracy"].value,
        "completions": [sample.output.completion for sample in log.samples or []],
    }
print(json.dumps(found))
"""
PROMPTS = ["Hello", "What is next?", "Begin", "Once"]


def answers(edits):
    """By hand, in the same chat template."""
    return {
        prompt: "".join(piece.text for piece in ByHand(model(), TOKENIZER, [edits]).chat(prompt, 20))
        for prompt in PROMPTS
    }


@pytest.mark.slow
@needs_tools
def test_inspect_evaluates_a_steered_model(client, tmp_path):
    plain, steered = answers(()), answers(added(2, UNIT, 6.0))
    names = {"tiny": plain, "tiny:raptor.autonomy@0": plain, "tiny:raptor.autonomy@1.5": steered}
    done = beside_tools("-c", EVAL, client.address, tmp_path, json.dumps(plain), json.dumps(list(names)))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, said in names.items():
        told = found[name]
        assert told["status"] == "success", told["error"]
        assert told["completions"] == list(said.values())
        same = sum(plain[prompt] in said[prompt] for prompt in PROMPTS)
        assert told["accuracy"] == same / len(PROMPTS)
    assert found["tiny"]["accuracy"] > found["tiny:raptor.autonomy@1.5"]["accuracy"]
