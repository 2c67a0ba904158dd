"""Conversations of a data set on the hub, from Parquet files that stand in for its snapshot."""

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from trimtab.errors import TrimtabError
from trimtab.prompts import hub, sources, texts

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
    return list(sources.documents("hub_talks", recipe, tmp_path, tmp_path, tmp_path, seed))


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


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("  a plain text\n", "a plain text"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"role": "user", "content": "hi "}, {"role": "assistant", "content": None}], "User: hi"),
        ([{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image"}]}], "User: one"),
        ([{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}], "User: hi\nAssistant: ho"),
        ([{"from": "system", "value": "be"}, {"from": "tool", "value": "3"}], "System: be\nTool: 3"),
    ],
)
def test_what_a_row_says(row, text):
    assert texts.text_of(row, "a.parquet, row 0") == text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (7, "expected a text or a list of turns, found int 7"),
        ({"messages": "hi"}, "expected a text or a list of turns, found dict"),
        (["hi", "ho"], "expected turns of role and content, or of from and value, found str 'hi'"),
        ([{"speaker": "a", "text": "b"}], "expected turns of role and content"),
        ([{"role": "user", "content": 7}], "expected a text as a turn's content, found int 7"),
        ([{"role": None, "content": "a"}], "expected a name as role, found NoneType"),
        ([{"from": ["gpt"], "value": "a"}], "expected a name as from, found list"),
        ([{"role": "user", "content": [{"type": "text", "text": ["a"]}]}], "expected a text as a turn's content"),
    ],
)
def test_a_row_of_another_shape_is_told_in_one_line(row, said):
    with pytest.raises(TrimtabError, match=r"a\.parquet, row 0: ") as caught:
        texts.text_of(row, "a.parquet, row 0")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def plain_files(folder, monkeypatch):
    (folder / "data").mkdir()
    pq.write_table(pa.table({"text": ["one", None, "two"]}), folder / "data/a.parquet")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *words, **named: str(folder))
    return {"dataset": "owner/texts", "revision": "0" * 40, "files": "data/*.parquet", "column": "text"}


def test_plain_texts_are_documents_and_nulls_are_none(tmp_path, monkeypatch):
    recipe = plain_files(tmp_path, monkeypatch)
    assert list(hub.conversations("hub_texts", recipe, 1)) == [("a.parquet/0", "one"), ("a.parquet/2", "two")]


def test_a_pattern_without_files_is_an_error(tmp_path, monkeypatch):
    recipe = plain_files(tmp_path, monkeypatch) | {"files": "data/test-*.parquet"}
    with pytest.raises(TrimtabError, match=r"hub_texts\.files: 'data/test-\*\.parquet' matches no file of owner"):
        list(hub.conversations("hub_texts", recipe, 1))


def test_a_file_cut_off_is_named(tmp_path, monkeypatch):
    recipe, path = plain_files(tmp_path, monkeypatch), tmp_path / "data/a.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TrimtabError, match=r"a\.parquet: not a whole Parquet file") as caught:
        list(hub.conversations("hub_texts", recipe, 1))
    assert len(str(caught.value).splitlines()) == 1
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(TrimtabError, match=r"a\.parquet: a git-lfs pointer"):
        list(hub.conversations("hub_texts", recipe, 1))
