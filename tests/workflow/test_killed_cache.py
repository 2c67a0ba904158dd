"""The rule's own program, killed on the way, ends with the artifact that the workflow made in one go."""

import json
import os
import subprocess
import sys
import time

from trimtab.artifacts.files import sha256


def test_a_corpus_shard_killed_twice_is_the_shard_of_the_workflow(finished, tmp_path):
    out, part = tmp_path / "000.h5", tmp_path / ".000.h5.part"
    results = finished.results.relative_to(finished.folder)
    command = [sys.executable, "workflow/scripts/activations_corpus.py"]
    command += [results / "model/manifest.json", results / "prompts/corpus.jsonl", "workflow/resources/few_shot.yaml"]
    command += [out, "--shard", "0", "--shards", "2", "--max-tokens", "128", "--layers", "0", "2"]
    command += ["--settings", json.dumps({"chunk_rows": 256, "token_budget": 2048}, sort_keys=True)]
    command += ["--engine", json.dumps({"engine": "transformers"}), "--checks"]
    environment = {**os.environ, "PYTHONPATH": "workflow", "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        with subprocess.Popen(command, cwd=finished.folder, env=environment, stderr=subprocess.DEVNULL) as process:
            while not part.exists() and process.poll() is None:
                time.sleep(0.002)
            time.sleep(0.05)
            process.kill()
    assert part.exists() != out.exists()
    subprocess.run(command, cwd=finished.folder, env=environment, check=True)
    assert sha256(out) == sha256(finished.results / "activations/corpus/000.h5")
    assert os.listdir(tmp_path) == ["000.h5"]
