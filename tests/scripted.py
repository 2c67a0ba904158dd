"""An agent whose replies are written down, in an engine and an environment as they are."""

import torch
from tiny import D_MODEL, llama

from trimtab.agent.turn import rows
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering


class Scripted:
    """Engine and environment as they are, a model whose replies are written down."""

    def __init__(self, native, replies, max_turns=5, context=100_000):
        self.model = llama(vocab_size=len(native.tokenizer), max_position_embeddings=context)
        self.fed = []
        self.native = native
        self.engine = Engine(
            self.model,
            native,
            EpisodeSettings(max_turns=max_turns, reply_tokens=400, temperature=1.0, coupling="gumbel"),
            dict.fromkeys(native.tools, 0.0),
        )
        waiting = [[*native.encode(reply), native.tokenizer.eos_token_id] for reply in replies]
        # one likely token a draw, in the order of the script
        script = iter([token for tokens in waiting for token in tokens])
        self.engine._chosen = self.wrap(self.engine._chosen, script)

    @staticmethod
    def wrap(chosen, script):
        def scripted(episodes, logits):
            forced = torch.full_like(logits, -1e9)
            forced[:, next(script)] = 0
            return chosen(episodes, forced)

        return scripted

    def run(self, scenario, edits=()):
        handle = self.model.register_forward_pre_hook(
            lambda module, words, named: self.fed.extend(named["input_ids"][0].tolist()), with_kwargs=True
        )
        try:
            return rows(self.engine.run([Arm("c", edits)], [scenario], 0, 0))
        finally:
            handle.remove()

    def touched(self, scenario, timing):
        """The tokens that a push of this timing would change, in order; the model goes on without it."""
        marks, edited = [], Steering.edited

        def seen(steering, site, stream):
            marks.extend((edited(steering, site, stream) != stream).any(-1)[0].tolist())
            return stream

        try:
            Steering.edited = seen
            self.run(scenario, added(1, torch.ones(D_MODEL), 1e6, timing))
        finally:
            Steering.edited = edited
        return [token for token, mark in zip(self.fed, marks, strict=True) if mark]
