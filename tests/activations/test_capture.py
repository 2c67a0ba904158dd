"""Which rows a capture keeps, how prompts are batched, and what is refused before the model runs."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from material import DESCRIBED, LAYERS, SETTINGS, prompts, write
from tiny import ARCHITECTURES, llama

from trimtab.activations.reader import Cache
from trimtab.activations.reading import ModelRows
from trimtab.activations.shards import write_shard
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, batches, kept_rows, reads_cache
from trimtab.forward.memory import MOST, bytes_a_token, token_budget
from trimtab.settings.activations import CaptureSettings

TURNS = Prompt("talk", [9, 8, 7, 6, 5, 4, 3, 2])


@pytest.mark.slow
@pytest.mark.parametrize(("selection", "kept"), [("all", [1, 2, 3, 4, 5, 6, 7]), ("last", [7])])
def test_a_selection_names_its_tokens(tmp_path, selection, kept):
    assert list(TURNS.kept(selection)) == kept
    with Cache.open(write(tmp_path / "a.h5", llama(), [TURNS], selection)) as cache:
        whole = kept_rows(llama(), [Prompt("x", TURNS.tokens)], [1], "all")[1]
        torch.testing.assert_close(cache.rows(1), whole[[at - 1 for at in kept]])


def test_the_first_token_counts_where_a_context_stands_before_it():
    after = Prompt(TURNS.id, TURNS.tokens, (1, 2))
    assert list(after.kept("all")) == list(range(8))
    assert list(after.kept("last")) == [7]


@pytest.mark.parametrize(
    ("these", "selection", "complaint"),
    [
        ([], "all", "no prompts to capture"),
        ([Prompt("empty", [])], "all", "prompt empty: 0 tokens; expected at least 2"),
        ([Prompt("short", [1])], "all", "prompt short: 1 tokens; expected at least 2"),
        ([Prompt("long", [1] * 200, (1,) * 57)], "all", "prompt long: 257 tokens with its context; the model reads at"),
        ([Prompt("x", [1, 2]), Prompt("x", [3, 4])], "all", "prompt x: stands twice in one shard"),
        ([Prompt("x", [1, 2])], "first", "selection 'first': expected one of all, last$"),
    ],
)
def test_bad_prompts_are_told_before_anything_is_written(tmp_path, these, selection, complaint):
    with pytest.raises(TrimtabError, match=complaint):
        write(tmp_path / "a.h5", llama(), these, selection)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_prompt_that_fits_is_captured(tmp_path):
    write(tmp_path / "a.h5", llama(), [Prompt("long", [1] * 256)])


def test_an_unknown_layer_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(TrimtabError, match="layer 9 of LlamaForCausalLM: expected 0 to 3"):
        write_shard(tmp_path / "a.h5", ModelRows(llama()), prompts(), [1, 9], "all", DESCRIBED, SETTINGS, {})
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=50)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=30), st.integers(10, 100))
def test_batches_hold_every_prompt_once_within_the_budget(lengths, budget):
    these = [Prompt(f"p{i}", [1] * n) for i, n in enumerate(lengths)]
    planned = list(batches(these, budget))
    assert sorted(p.id for b in planned for p in b) == sorted(p.id for p in these)
    for batch in planned:
        assert len(batch) == 1 or len(batch) * max(len(p.tokens) for p in batch) <= budget


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_automatic_budget_follows_from_the_config_and_holds_one_prompt(family):
    model = ARCHITECTURES[family]()
    grant = CaptureSettings(token_budget="auto", memory_mb=1, chunk_rows=8)
    one = bytes_a_token(model, len(LAYERS), 10)
    budget = token_budget(grant, one, longest=10)
    assert budget * one <= 1e6 < (budget + 1) * one
    assert token_budget(grant, bytes_a_token(model, len(LAYERS), 10_000), longest=10_000) == 10_000
    assert token_budget(grant.model_copy(update={"memory_mb": 10**6}), one, longest=10) == MOST
    assert token_budget(CaptureSettings(token_budget=77, chunk_rows=8), one, longest=10) == 77
    with pytest.raises(TrimtabError, match="memory_mb: missing, and"):
        token_budget(CaptureSettings(token_budget="auto", chunk_rows=8), one, longest=10)


@pytest.mark.slow
def test_an_automatic_budget_gives_the_rows_of_any_other(tmp_path):
    auto = write(tmp_path / "a.h5", llama(), prompts(), token_budget="auto", memory_mb=1)
    with Cache.open(auto) as one, Cache.open(write(tmp_path / "b.h5", llama(), prompts())) as other:
        assert one.prompt_ids == other.prompt_ids
        torch.testing.assert_close(one.rows(1), other.rows(1))


def test_size_and_time_are_told_before_and_after(tmp_path, caplog):
    caplog.set_level("INFO")
    path = write(tmp_path / "a.h5", llama(), prompts())
    before, after = (record.getMessage() for record in caplog.records)
    # how many seconds depends on what else the machine does
    estimate = rf"{re.escape(str(path))}: 35 rows of 2 layers in 3 batches of 24 tokens; about 0\.0 MB and \d+ s for"
    assert re.match(estimate, before)
    assert after.startswith(f"{path}: took 0.0 MB and ")


@pytest.mark.slow
def test_a_model_without_a_key_value_cache_is_known():
    assert [name for name in ARCHITECTURES if not reads_cache(ARCHITECTURES[name]())] == ["mamba"]
