"""Conversations of a data set on the hub, from Parquet files that stand in for its snapshot."""

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from trimtab.errors import TrimtabError
from trimtab.prompts import sources

RECIPE = {"dataset": "owner/talks", "revision": "0" * 40, "files": "data/train-*.parquet", "column": "messages"}


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """Two files of two conversations, and what was asked of the hub."""
    asked = []

    def download(name, **words):
        asked.append((name, words))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (tmp_path / "data").mkdir()
    for part in range(2):
        talks = [
            [{"role": "user", "content": f"Question {part}{at}? "}, {"role": "assistant", "content": "Answer."}]
            for at in range(2)
        ]
        pq.write_table(pa.table({"messages": talks, "other": [1, 2]}), tmp_path / "data" / f"train-{part}.parquet")
    return asked


def found(recipe, tmp_path, seed=1):
    return list(sources.documents("hub_talks", recipe, tmp_path, tmp_path, seed))


def test_conversations_are_text_with_roles_and_their_own_names(snapshot, tmp_path):
    documents = found(RECIPE, tmp_path)
    assert {one.id: one.text for one in documents} == {
        f"train-{part}.parquet/{at}": f"User: Question {part}{at}?\nAssistant: Answer."
        for part in range(2)
        for at in range(2)
    }
    wanted = {"repo_type": "dataset", "revision": "0" * 40, "allow_patterns": ["data/train-*.parquet"]}
    assert snapshot == [("owner/talks", wanted)]


def test_the_order_of_files_is_the_seeds(snapshot, tmp_path):
    assert found(RECIPE, tmp_path) == found(RECIPE, tmp_path)
    assert len({found(RECIPE, tmp_path, seed)[0].id for seed in range(10)}) == 2


def test_a_column_that_is_not_there_is_told(snapshot, tmp_path):
    with pytest.raises(TrimtabError, match=r"sources\.hub_talks\.column: turns is none of messages, other"):
        found({**RECIPE, "column": "turns"}, tmp_path)


def test_a_snapshot_that_cannot_be_had_is_one_line(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise LocalEntryNotFoundError("no connection\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(TrimtabError) as raised:
        found(RECIPE, tmp_path)
    assert str(raised.value) == (
        f"corpus.yaml, sources.hub_talks: owner/talks can't be had at {'0' * 40} (no connection)"
    )
