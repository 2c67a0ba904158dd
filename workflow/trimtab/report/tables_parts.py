"""Tables of what steering is made of (SAEs, probes, doses) and of what the page was made from (checks, files)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from trimtab.artifacts.trail import Link
from trimtab.report import words
from trimtab.report.run import Run
from trimtab.report.table import Table, absent, p, table, text, value


def saes(run: Run) -> Table:
    quality = run.tables["quality"]
    frame = quality.assign(cost=quality["ce_sae"] / quality["ce_clean"] - 1)
    return table(
        "saes",
        f"Quality of {words.count(frame['layer'].nunique(), 'sparse autoencoder')} on held-out data. Loss "
        "added: rise of the cross-entropy, as a share of it, with the reconstruction in the layer's place; KL: how far "
        "that moves the next token, in nats, the unit in which methods are compared at equal dose. Dead: latents that "
        "never fire, on as many rows as stand beside it; few rows make rare latents look dead.",
        frame,
        {
            "Layer": ("layer", lambda row: str(row["layer"])),
            "Data": text("evaluation_set"),
            "Explained variance": value("explained_variance", 3),
            "Loss recovered": value("loss_recovered", 3),
            "Loss added": ("cost", lambda row: words.percent(row["cost"])),
            "KL": value("kl_sae", 3),
            "Active latents": value("l0", 1),
            "Rows": ("n_tokens", lambda row: words.number(row["n_tokens"], 0)),
            "Dead": value("dead_share", 3),
            "Training rows": ("train_rows", lambda row: words.number(row["train_rows"], 0)),
            "Dead on these": value("train_dead_share", 3),
            "Dense": value("dense_share", 3),
            "Gates": ("passes_gates", lambda row: "pass" if row["passes_gates"] else "fail"),
        },
    )


def probes(run: Run) -> Table:
    """R² of each trait's chosen probe under every way of scoring it."""
    scores = run.tables["scores"]
    chosen = scores[scores["chosen"].astype(bool)]
    wide = chosen.pivot(index="trait", columns=["features", "split"], values="r2").reindex(chosen["trait"].unique())
    wide.columns = wide.columns.map("_".join)
    kinds = ("sae", "sae_logistic", "raw", "raw_logistic", "words", "untrained")
    wanted = [f"{kind}_nested_with_layer" for kind in kinds]
    wanted += ["sae_test", "sae_shuffled", "sae_domains", "sae_sub_behaviours", "sae_study"]
    frame = wide.reindex(columns=wanted).reset_index()
    headline = chosen[(chosen["features"] == "sae") & (chosen["split"] == "nested_with_layer")]
    about = headline[["trait", "r2_p", "layer_support"]]
    frame = frame.merge(about, on="trait", how="left", validate="one_to_one")
    frame.insert(
        1, "layer", frame["trait"].map(run.probe_scores[run.probe_scores["chosen"]].set_index("trait")["layer"])
    )
    return table(
        "probes",
        "R² of each trait's probe, out of templates. Nested: penalty and layer both chosen inside the folds; ridge "
        "on SAE latents, the same by logistic regression, and both on the raw stream. Words: ridge on the prompts' "
        "words, no activation read. Untrained: latents of a random dictionary. Test: templates that nothing was "
        "fitted or chosen on. Shuffled: labels whose poles are swapped by whole templates; p: share of such labelings "
        "that reach Nested. Layer again: share of bootstrap samples of templates that choose the same layer (of layers "
        "that are equally good it still is about two in three). Other domains, other sub-behaviours: rows of a "
        "kind that the fit has not seen. Study's rule: one split of rows, penalty and layer chosen on its test "
        "part; the two prompts of a pair may be on both sides of it, so its R² is too high. Intervals and "
        "calibration: probes/scores.csv.",
        frame,
        {
            "Trait": text("trait", words.trait),
            "Layer": ("layer", lambda row: words.number(row["layer"], 0)),
            "Nested": value("sae_nested_with_layer"),
            "Logistic": value("sae_logistic_nested_with_layer"),
            "Raw stream": value("raw_nested_with_layer"),
            "Raw, logistic": value("raw_logistic_nested_with_layer"),
            "Words": value("words_nested_with_layer"),
            "Untrained": value("untrained_nested_with_layer"),
            "p": p("r2_p"),
            "Layer again": value("layer_support"),
            "Test": value("sae_test"),
            "Shuffled": value("sae_shuffled"),
            "Other domains": value("sae_domains"),
            "Other sub-behaviours": value("sae_sub_behaviours"),
            "Study's rule": value("sae_study"),
        },
    )


def gaps(run: Run) -> Table:
    """How far each trait's probe on SAE latents moves on pairs that differ in the trait, in style, in words alone."""
    found = run.tables["gaps"]
    own = found[found["features"] == "sae"]
    wide = own.pivot(index="trait", columns="pairs", values=["mean", "standardised"]).reindex(own["trait"].unique())
    wide.columns = ["_".join(column) for column in wide.columns]
    return table(
        "gaps",
        "What moves the probes: mean output on the high pole minus the low one, and that over its spread from pair to "
        "pair. Test pairs differ in the trait, in wordings that no fit has seen; style pairs in formality, length or "
        "tone; lexical pairs mention the poles' words and mean nothing by them. A probe of the trait moves on the "
        "first alone.",
        wide.reset_index(),
        {
            "Trait": text("trait", words.trait),
            **{
                f"{title}{suffix}": value(f"{figure}_{pairs}")
                for pairs, title in (("test", "Test"), ("style", "Style"), ("lexical", "Lexical"))
                for figure, suffix in (("mean", ""), ("standardised", ", / spread"))
            },
        },
    )


def strengths(run: Run) -> Table:
    frame = run.tables["doses"]
    # of the vectors that rollouts apply; the others' are in vectors/doses.csv
    frame = frame[frame["method"].isin({condition.vector_name for condition in run.applied})]
    return table(
        "strengths",
        "What lengths come to: the vector added at all tokens at a share of the residual norm, the L2 length that this "
        "is, and the mean KL divergence of the next-token distribution from the unsteered one on calibration prompts "
        "(nats).",
        frame,
        {
            "Vector": text("method", words.method),
            "Trait": ("trait", lambda row: words.trait(row["trait"]) if row["trait"] else words.DASH),
            "Layer": ("layer", lambda row: str(row["layer"])),
            "Share of the norm": ("dose", lambda row: words.number(row["dose"])),
            "L2 length": value("length"),
            "KL": value("kl", 3),
        },
    )


def preflight(run: Run) -> Table:
    return table(
        "preflight",
        "Checks of the model before anything was measured.",
        run.checks,
        {
            "Check": text("name"),
            "Figure": ("figure", lambda row: words.DASH if absent(row["figure"]) else f"{row['figure']:.3g}"),
            "Tolerance": (
                "tolerance",
                lambda row: words.DASH if absent(row["tolerance"]) else f"{row['tolerance']:.3g}",
            ),
            "Result": ("passed", lambda row: "pass" if row["passed"] else "fail"),
            "What it shows": text("detail"),
        },
    )


def artifacts(hashes: Mapping[str, str]) -> Table:
    frame = pd.DataFrame({"file": list(hashes), "sha256": list(hashes.values())})
    return table(
        "artifacts",
        "Files that this page was made from. Each holds, or has next to it, the hashes of the files that it was made "
        "from.",
        frame,
        {"File": text("file"), "SHA-256": text("sha256")},
    )


def links(found: Sequence[Link]) -> Table:
    # by number: the names of what hundreds of vectors were made from would be a quarter of the page
    number = {link.file: str(at) for at, link in enumerate(found, start=1)}
    frame = pd.DataFrame([vars(link) for link in found], columns=list(Link.__dataclass_fields__)).assign(
        number=[*number.values()],
        made_from=lambda rows: rows["made_from"].map(lambda names: " ".join(number.get(name, name) for name in names)),
        state=lambda rows: rows["state"].map(STATES.get),
    )
    return table(
        "trail",
        "Everything that the tables of statistics were made from, nearest first: each file by the hash that the file "
        "made from it recorded, whether it still is what it was, and the commit whose code made it. What each file "
        "was made from itself is in the CSV, by the numbers of its rows.",
        frame,
        {
            "File": text("file"),
            "SHA-256": text("sha256"),
            "Now": text("state"),
            "Commit": text("commit", lambda name: name[:12]),
            "Made from": (
                "made_from",
                lambda row: words.count(len(row["made_from"].split()), "file") if row["made_from"] else words.DASH,
            ),
        },
    )


STATES = {"same": "the same", "changed": "CHANGED since", "absent": "absent", "not checked": "large, not read again"}
