"""The one self-contained HTML page: artifacts in, text out, nothing loaded from anywhere.

The template (`workflow/report/page.html.j2`) holds layout, style and the small script; this module gathers what it
shows. Escaping is on for all of it, and text of the model reaches the page only as escaped text or inside JSON that the
script inserts as text. A content security policy in the page forbids every request.
"""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trimtab import files
from trimtab.errors import TrimtabError
from trimtab.provenance import commit, versions
from trimtab.report import tables_effects, tables_parts, words
from trimtab.report.abstract import abstract
from trimtab.report.figures import PLOTS
from trimtab.report.limitations import limitations
from trimtab.report.run import Run, each
from trimtab.report.transcripts import transcripts

SCALE = 1.25
"""Figures on the page, by their size in print."""
TEMPLATES = Path(__file__).parents[2] / "report"


def render(run: Run, figures: Path) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    hashes = {str(path.relative_to(run.root)): files.sha256(path) for path in run.inputs()}
    shown = [
        tables_effects.declared(run),
        tables_effects.controls(run),
        tables_effects.doses(run),
        tables_effects.spectrum(run),
        tables_effects.study(run),
        tables_parts.saes(run),
        tables_parts.probes(run),
        tables_parts.strengths(run),
        tables_parts.preflight(run),
        tables_parts.artifacts(hashes),
    ]
    return environment.get_template("page.html.j2").render(
        title=run.config["report"]["title"],
        experiment=run.config["experiment"],
        model=words.model(run.records["manifest"]["model"]),
        manifest=run.records["manifest"],
        abstract=abstract(run),
        limitations=limitations(run),
        methods=methods(run),
        figures={name: inline_svg(figures / f"{name}.svg", name, plot.caption) for name, plot in PLOTS.items()},
        plots=PLOTS,
        tables={one.name: one for one in shown},
        transcripts=transcripts(run),
        settings=run.config,
        commit=commit(),
        short_commit=commit().partition("+")[0][:12] if not commit().startswith("unknown") else "unknown",
        versions=versions(),
        summary=run.records["summary"],
        words=words,
    )


def inline_svg(path: Path, name: str, description: str) -> Markup:
    """A figure's SVG element, its ids made the figure's own, with a text for readers who don't see it.

    Raises:
        TrimtabError: the figure has not been drawn.
    """
    if not path.exists():
        raise TrimtabError(f"{path}: not there; draw the figures first (rule report_figures)")
    svg = re.sub(r"^.*?(?=<svg)", "", path.read_text(), flags=re.DOTALL)
    # matplotlib names parts alike in every figure, and ids of one page must differ
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # a page is read from farther away than a paper
    svg = re.sub(
        r'width="([\d.]+)pt" height="[\d.]+pt"', lambda m: f'width="{SCALE * float(m[1]):.1f}pt"', svg, count=1
    )
    label = Markup("<svg role='img' aria-label='{}'").format(description)
    # safe: drawn by us from numbers and our own labels
    return Markup(label + Markup(svg.removeprefix("<svg")))


def methods(run: Run) -> list[tuple[str, str]]:
    """What was done, stage by stage, with the settings it was done with."""
    c = run.config
    manifest, summary = run.records["manifest"], run.records["summary"]
    chosen = run.probe_scores[run.probe_scores["chosen"].astype(bool)]
    picked = [f"{words.trait(row.trait)} {row.layer} (R² {words.number(row.r2)})" for row in each(chosen)]
    protocol = (
        "its chat template"
        if manifest["chat_template"] and c["rollouts"]["protocol"] != "few_shot"
        else "few-shot text"
    )
    gates = run.tables["quality"]
    return [
        (
            "Model",
            f"{manifest['model']}, {manifest['architecture']}, {manifest['layers']} layers, d_model "
            f"{manifest['d_model']}, {manifest['dtype']}, prompted by {protocol}. The residual stream is read and "
            "steered after a decoder layer.",
        ),
        (
            "Dictionaries",
            f"A top-k sparse autoencoder at each of layers {words.listed([str(layer) for layer in c['layers']])}: "
            f"{c['saes']['latents']:,} latents, {c['saes']['k']} active, {c['saes']['tokens']:,} training tokens. "
            f"Explained variance {words.number(gates['explained_variance'].min())} to "
            f"{words.number(gates['explained_variance'].max())}, loss recovered "
            f"{words.number(gates['loss_recovered'].min())} to {words.number(gates['loss_recovered'].max())} on "
            "held-out data.",
        ),
        (
            "Probes",
            "Ridge regression on standardised SAE latents, trait by trait, on contrast prompts of kind "
            f"“{c['probes']['contrast']}”; penalties {words.listed([f'{p:g}' for p in c['probes']['penalties']])} and "
            f"layer picked inside nested cross-validation with {c['probes']['folds']} folds that keep templates "
            f"together. Chosen layers: {words.listed(picked)}.",
        ),
        (
            "Vectors",
            "The probe's weights decoded through the dictionary to one direction of unit length. Controls: difference "
            "of the poles' means, a probe on the raw residual stream, random directions of the same length, the "
            "vector turned round, hooks with dose 0, and asking for the trait in the prompt.",
        ),
        (
            "Dose",
            "A dose is a share of the mean residual norm at the layer (about the mean activation); the absolute "
            "length and the KL divergence it causes are tabulated below."
            if c["rollouts"]["unit"] == "residual_share"
            else "A dose is the absolute L2 length of the push; the KL divergence it causes is tabulated below.",
        ),
        (
            "Timing",
            "“All tokens”: prompt, tool replies and the agent's own text are steered. “Given text only” (prefill): "
            "prompt and tool replies. “Own text only” (decode): the tokens that the agent writes itself.",
        ),
        (
            "Rollouts",
            f"{summary['n_scenarios']} scenarios, at most {c['rollouts']['max_turns']} turns, five tools with canned "
            f"replies, temperature {c['rollouts']['temperature']:g}, {words.count(summary['n_seeds'], 'seed')}. "
            "Sampling noise is shared by all conditions of a scenario, so that conditions are compared pair by pair.",
        ),
        (
            "Statistics",
            f"Differences are averaged over seeds within a scenario. Intervals ({100 * c['statistics']['level']:g} "
            f"%): bootstrap of scenarios, {c['statistics']['draws']:,} draws, bias-corrected and accelerated "
            "(percentile where that is undefined, as the table says). p: two-sided sign-flip permutation of "
            "scenarios, exact up to 14 that differ. Holm over the declared tests, Benjamini-Hochberg over the rest. "
            "“No effect of interest” is claimed only where two one-sided t tests exclude d = "
            f"{run.plan.smallest_effect:g}. Cohen's d is over the pooled SD of single rollouts.",
        ),
    ]


def write_page(run: Run, figures: Path, page: Path) -> None:
    """Render to `page`."""
    text: Any = render(run, figures)
    with files.whole(page) as temporary:
        temporary.write_text(text)
