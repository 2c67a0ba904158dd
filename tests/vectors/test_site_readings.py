"""Rows of contrast prompts at any site: every token's row is that of its prompt alone, and is named rightly."""

import pytest
import torch
from tiny import llama

from trimtab.agent.calibration import conversations
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.forward.hooks import hooked
from trimtab.forward.sites import INPUT, Site
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts import resources
from trimtab.vectors import readings
from trimtab.vectors.readings import Declared, ModelReadings

FOLDER = resources.RESOURCES / "organism"
TASKS = conversations(resources.tasks(FOLDER / "tasks.yaml")["calibration"])[:2]
POLES = [
    [[*task, {"role": "assistant", "content": f"I am very {word}."}] for task, word in zip(TASKS, words, strict=True)]
    for words in (("bold", "keen and bold"), ("meek", "shy"))
]


@pytest.fixture(scope="module")
def protocol():
    texts = Texts.of(resources.load(FOLDER / "few_shot.yaml"))
    said = [message["content"] for pole in POLES for messages in pole for message in messages]
    names = [f" {name}" for name in texts.actions.values()]
    header = FewShotProtocol(texts, word_tokenizer(names)).header()
    return FewShotProtocol(texts, word_tokenizer([*names, header, "\n\nTask:", *(f" {text}" for text in said)]))


@pytest.mark.parametrize("site", [Site(1), Site(2, "mlp.down_proj", INPUT), Site(0, "self_attn")], ids=str)
def test_every_token_of_every_prompt_has_its_row_pole_and_place(protocol, site, monkeypatch):
    # packs of three of the four prompts
    monkeypatch.setattr(readings, "PACK", 3)
    model = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)
    told = ModelReadings(model, protocol, 1, POLES, TASKS, "", {}, Declared("deference", {}, [], lambda: model, [], {}))
    parts = [*told.tokens(site)]
    assert len(parts) == 2
    rows, pair, high, written, left = (torch.cat(field) for field in zip(*parts, strict=True))
    for pole, side in enumerate(told.at(site)):
        for number, messages in enumerate(POLES[pole]):
            header, *segments = protocol.prompt(messages)
            kept = []
            with torch.no_grad(), hooked(model, {site: kept.append}):
                model(torch.tensor([[*header.tokens, *(token for segment in segments for token in segment.tokens)]]))
            expected = kept[0][0, len(header.tokens) :]
            own = (pair == number) & (high == (pole == 0))
            torch.testing.assert_close(rows[own], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(side[number], expected[-1], rtol=1e-4, atol=1e-5)
            assert written[own].tolist() == [segment.written for segment in segments for _ in segment.tokens]
            assert left[own].tolist() == [*reversed(range(len(expected)))]
