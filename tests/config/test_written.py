"""What YAML and Snakemake would bend without a word is told with its line; an error names the file of its key."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from trimtab.config.__main__ import check_files
from trimtab.config.check import check
from trimtab.config.written import merged, read, settle, take_groups, take_layers, take_paths, take_words
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import VARIABLE, Origins
from trimtab.vectors.methods import known

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config.yaml"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("saes: {k: 4}\nlayers: [0]\nsaes: {latents: 32}", "line 3: saes stands a second time (first in line 1)"),
        ("saes:\n  k: 4\n  k: 5", "line 3: saes.k stands a second time (first in line 2)"),
        ('saes: {overrides: {2: {k: 5}, "2": {k: 6}}}', "line 1: saes.overrides.2 stands a second time"),
        ("rollouts: {grid: [{doses: [1], doses: [2]}]}", "rollouts.grid[0].doses stands a second time"),
        ("seed: 010", "line 1: seed: YAML reads 010 as 8; write 8"),
        ("seed: 1:30", "line 1: seed: YAML reads 1:30 as 90; write 90"),
        ("seed: 0x10", "line 1: seed: YAML reads 0x10 as 16; write 16"),
        ("layers: [1, 0b11]", "line 1: layers[1]: YAML reads 0b11 as 3; write 3"),
        ("saes: {learning_rate: 1:30.5}", "line 1: saes.learning_rate: YAML reads 1:30.5 as 90.5; write 90.5"),
        ("saes: {overrides: {010: {k: 4}}}", "line 1: the key saes.overrides.010: YAML reads 010 as 8; write 8"),
        ("saes: {overrides: {1:30: {k: 4}}}", "line 1: the key saes.overrides.1:30: YAML reads 1:30 as 90; write 90"),
        ("seed: 1\nlayers: &all [0, *all]", "line 2: layers[1]: holds itself, by an anchor and its alias"),
        ("saes: &s {overrides: {2: *s}}", "line 1: saes.overrides.2: holds itself"),
        ("report: {no: 1}", "line 1: the key report.no: YAML reads no as false; write it in quotes"),
        ("~: 1", "line 1: the key ~: YAML reads ~ as null; write it in quotes"),
        ("saes: {k: 4", "mine.yaml: not YAML: "),
    ],
)
def test_what_yaml_would_bend_is_told_with_its_line(text, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text)
    with pytest.raises(TrimtabError) as raised:
        read(DEFAULT, [Path("mine.yaml")], {})
    (told,) = str(raised.value).splitlines()
    assert told.startswith("mine.yaml")
    assert line in told


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("report: {title: café}".encode("latin-1"), "can't be read as UTF-8 text ('utf-8' codec can't decode byte 0xe"),
        ("report: {title: x}".encode("utf-16"), "can't be read as UTF-8 text ('utf-8' codec can't decode byte 0xff"),
        (b'report: {title: "a\0b"}', "not YAML: unacceptable character"),
        (b"report: {title: a\7b}", "not YAML: "),
        (b"report:\n\ttitle: x", "not YAML: while scanning for the next token found character"),
        (b'report: {title: "x}', "not YAML: while scanning a quoted scalar"),
        (b"report: *base", "not YAML: found undefined alias"),
        (b"seed: 1\n---\nseed: 2", "not YAML: expected a single document"),
        (b"report: !!python/object:os.system {}", "not YAML: could not determine a constructor"),
        (b"? [a, b]\n: x", "not YAML: while constructing a mapping"),
        (b"layers: " + b"[" * 5000 + b"]" * 5000, "its lists and mappings are nested too deeply to be read"),
        (b"report: {title: 2026-02-30}", "line 1: report.title: YAML reads 2026-02-30 as a date; write it in quotes"),
        (b"", "holds nothing; expected keys, as config.yaml has them"),
        (b"# seed: 1\n", "holds nothing; expected keys"),
        (b"- seed\n- 1\n", 'holds ["seed", 1]; expected keys'),
        (b"seed", 'holds "seed"; expected keys'),
    ],
)
def test_a_file_that_is_no_config_is_told_in_one_line(content, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_bytes(content)
    with pytest.raises(TrimtabError) as raised:
        read(DEFAULT, [Path("mine.yaml")], {})
    (told,) = str(raised.value).splitlines()
    assert told.startswith(f"mine.yaml: {line}") or told.startswith(f"mine.yaml, {line}")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfseed: 1\n", b"seed: 1\r\nreport:\r\n  title: caf\xc3\xa9\r\n"])
def test_marks_and_line_ends_of_other_systems_are_read(content, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert read(DEFAULT, [path], {}).of("seed: 1") == str(path)
    assert merged([path])["seed"] == 1


def test_files_are_checked_without_snakemake(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("seed: 3\nsaes: {k: 5000}\n")
    Path("mine.yaml").write_text("saes: {latents: 8192}\n")
    with pytest.raises(TrimtabError, match=r"^base.yaml, saes.k: 5000 is not below saes.latents"):
        check_files([Path("base.yaml")])
    check_files([Path("base.yaml"), Path("mine.yaml")])
    assert capsys.readouterr().out == "base.yaml, mine.yaml: in order\n"
    with pytest.raises(TrimtabError, match=r"^nowhere.yaml: no such file$"):
        check_files([Path("nowhere.yaml")])


def test_files_are_merged_as_snakemake_merges_them(tmp_path):
    texts = [
        "a: &s {b: {c: 1, d: [1, 2]}, e: 2}\ns: *s\nf: {g: 1}\nh: 3",
        "a: {b: {c: 5, d: [3]}}\nf: null\nh: {i: {}}",
        "a: {e: {j: 1}, b: {}}\nf: {k: 2}\nh: {i: {l: 1}, m: [{n: 1}]}",
    ]
    paths = [tmp_path / f"{at}.yaml" for at in range(len(texts))]
    theirs = {}
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
        update_config(theirs, load_configfile(path))
    assert merged(paths) == theirs
    assert theirs["s"]["b"]["c"] == 1


def test_a_file_that_merges_a_section_of_its_own_is_in_order(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("x: &base {k: 4, latents: 32}\nsaes: {<<: *base, k: 5}\nseed: 1_000\nmodel: {source: '010'}")
    assert read(DEFAULT, [path], {}).of("saes.k: wrong") == str(path)


def test_json_is_read_as_snakemake_reads_it(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"saes": {"k": 4}}')
    assert read(DEFAULT, [path], {}).of("saes.k: wrong") == str(path)


def test_an_error_names_the_last_file_that_gives_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("saes: {k: 4, latents: 32}\nrollouts: {grid: [{doses: [1]}]}")
    Path("b.yaml").write_text("saes: {k: 5}")
    origins = read(DEFAULT, [Path("a.yaml"), Path("b.yaml")], {"vectors": {"random_draws": "3"}})
    assert origins.of("saes.k: 5 is wrong") == "b.yaml"
    assert origins.of("saes.latents: 32") == "a.yaml"
    assert origins.of("rollouts.grid[0].doses[0]: 1") == "a.yaml"
    assert origins.of("vectors.random_draws: 3") == "--config"
    assert origins.of("prompts.scenarios: 51 is not between 1 and 50") == "config.yaml"
    # a missing key is told of the section that lacks it
    assert origins.of("saes.overrides.7.k: missing") == "config.yaml"


def test_a_job_tells_the_file_too(monkeypatch):
    environment: dict[str, str] = {}
    Origins({"prompts.corpus": "mine.yaml", "seed": "config.yaml"}).leave(environment)
    monkeypatch.setenv(VARIABLE, environment[VARIABLE])
    told = Origins.found().told("config.yaml, prompts.corpus.tokens: 9\nconfig.yaml, seed: 3\nfolder/x: a")
    assert told == "mine.yaml, prompts.corpus.tokens: 9\nconfig.yaml, seed: 3\nfolder/x: a"


@pytest.mark.parametrize(
    "words",
    [
        ["saes={k: 4, overrides: {18: {k: 5, latents: 300}}}"],
        ['saes={"k": 4}'],
        ["layers=[0, 2]", "seed=7"],
        ["rollouts={study: {doses: [0.2, 0.5], decode_dose: null}, controls: {zero: false}}"],
        ["rollouts={grid: [{timings: [decode_12], doses: [-1.5]}]}", "experiment=small"],
        ["rollouts={grid: [{doses: [0.4, -0.4], also: [mean_difference.deference.0.4]}, {layers: [[4]]}]}"],
        # texts that are no YAML by themselves, or would be other YAML
        ['report={title: "Trimtab: steering [1", transcripts: 2}'],
        ['rollouts={gates: {after: {kind: trigger, texts: [". ", "\\n\\n", "a: b", "{x", "- "]}}}'],
    ],
)
def test_words_of_the_command_line_mean_what_they_mean_in_a_file(words):
    """Parsed and merged by Snakemake, and compared with its merge of the same words as a file."""
    parsed = parse_config(words)
    config = yaml.safe_load(DEFAULT.read_text())
    config["saes"]["overrides"] = {18: {"batch": 64}}
    as_file = copy.deepcopy(config)
    update_config(config, copy.deepcopy(parsed))
    take_words(config, parsed)
    update_config(as_file, yaml.safe_load("\n".join(word.replace("=", ": ", 1) for word in words)))
    assert config == as_file


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("saes={k: 010}", "--config, saes.k: YAML reads 010 as 8; write 8"),
        ("layers=[0, 0x10]", "--config, layers[1]: YAML reads 0x10 as 16; write 16"),
        ("saes={overrides: {010: {k: 4}}}", "--config, saes.overrides.010: YAML reads 010 as 8; write 8"),
        ("rollouts={grid: [{doses: [1:30.5]}]}", "--config, rollouts.grid[0].doses[0]: YAML reads 1:30.5 as 90.5"),
    ],
)
def test_numbers_of_the_command_line_are_not_bent_either(words, line):
    parsed = parse_config([words])
    config = yaml.safe_load(DEFAULT.read_text())
    update_config(config, copy.deepcopy(parsed))
    with pytest.raises(TrimtabError) as raised:
        take_words(config, parsed)
    assert str(raised.value).startswith(line)


def test_a_layers_number_is_one_key_whichever_file_it_is_in():
    """JSON has texts as keys, YAML has numbers: Snakemake merges files that it parsed with either."""
    config = {"saes": {"k": 8, "overrides": {2: {"k": 4, "latents": 64}}}}
    update_config(config, json.loads('{"saes": {"overrides": {"2": {"k": 9}, "18": {"k": 3}}}}'))
    take_layers(config)
    assert config == {"saes": {"k": 8, "overrides": {2: {"k": 9, "latents": 64}, 18: {"k": 3}}}}


@pytest.mark.parametrize(
    "config", [{}, {"saes": None}, {"saes": {"overrides": [2]}}, {"saes": {"overrides": {"x": 1}}}]
)
def test_what_are_no_overrides_is_left_to_the_check(config):
    before = copy.deepcopy(config)
    take_layers(config)
    assert config == before


def test_one_number_has_one_spelling():
    assert repr(settle({"a": [1.0, 1, 0.5, True, "1.0"], "b": (2.0,)})) == "{'a': [1, 1, 0.5, True, '1.0'], 'b': [2]}"


def test_the_default_is_in_order():
    origins = read(DEFAULT, [], {})
    config = yaml.safe_load(DEFAULT.read_text())
    assert check(settle(config), origins) == check(config, origins)


def test_paths_of_the_checkouts_files_count_from_there_and_all_others_from_here(tmp_path, monkeypatch):
    checkout, here = tmp_path / "a {checkout}", tmp_path / "here"
    for folder in (checkout / "own", checkout / "tiny", here):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    config = {"resources": "own", "model": {"source": "tiny"}, "saes": {"pretrained": "tiny/{layer}"}}
    config["vectors"] = {"imported": "tiny/{trait}.gguf", "twin": "tiny"}
    origins = Origins({"model.source": str(checkout / "presets/one.yaml"), "saes.pretrained": "mine.yaml"})
    take_paths(config, origins, checkout)
    assert config == {
        "resources": str(checkout / "own"),
        "model": {"source": str(checkout / "tiny")},
        "saes": {"pretrained": "tiny/{layer}"},
        "vectors": {"imported": str(checkout / "tiny/{trait}.gguf"), "twin": str(checkout / "tiny")},
    }
    # no paths: a hub id, a package's file
    named = {"resources": "/abs", "model": {"source": "owner/name"}, "saes": {"pretrained": None}}
    before = copy.deepcopy(named)
    take_paths(named, Origins(), checkout)
    assert named == before


def test_in_the_checkout_itself_paths_stay_as_they_are_written(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    config = {"resources": "own"}
    take_paths(config, Origins(), tmp_path)
    assert config == {"resources": "own"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("./own/", "own"),
        ("own//x", "own/x"),
        ("own", "own"),
        ("./none/", "./none/"),
        ("", ""),
        ("a/../own", "a/../own"),
        ("{here}/own/x/", "own/x"),
        ("{here}", "."),
        ("/", "/"),
    ],
)
def test_a_path_has_one_spelling(written, meant, tmp_path, monkeypatch):
    """Otherwise a slash that a shell completes would make everything anew. What is not there may be no path."""
    (tmp_path / "own/x").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    written = written.replace("{here}", str(tmp_path))
    config = {"model": {"source": written}, "saes": {"pretrained": f"{tmp_path}/own/./{{layer}}/"}}
    take_paths(config, Origins(), tmp_path)
    assert config == {"model": {"source": meant}, "saes": {"pretrained": "own/{layer}"}}


@pytest.mark.parametrize("given", ["[sae_probe, probes, random]", "all", "[all, imported]", "[raptor, raptor]"])
def test_groups_of_methods_are_their_methods_each_once(given):
    config = {"vectors": {"methods": yaml.safe_load(given)}}
    take_groups(config)
    found = config["vectors"]["methods"]
    expected = {
        "[sae_probe, probes, random]": [
            *("sae_probe", "best_latent", "lda", "logistic_probe", "raptor", "raw_probe", "sae_probe_top", "random")
        ],
        "all": [name for name in known() if name != "imported"],
        "[all, imported]": [*(name for name in known() if name != "imported"), "imported"],
        # a slip, which the check names
        "[raptor, raptor]": ["raptor", "raptor"],
    }
    assert found == expected[given]


@pytest.mark.parametrize("config", [{}, {"vectors": None}, {"vectors": {"methods": 3}}, {"vectors": {"methods": [3]}}])
def test_what_is_no_list_of_methods_is_left_to_the_check(config):
    before = copy.deepcopy(config)
    take_groups(config)
    assert config == before
