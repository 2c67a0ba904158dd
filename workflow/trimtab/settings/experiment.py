"""The whole config: one section a stage."""

from typing import Annotated

from pydantic import Field

from trimtab.settings.activations import Activations
from trimtab.settings.base import Count, Settings, Some, Text, default
from trimtab.settings.engine import VLLM
from trimtab.settings.evaluations import Evaluations
from trimtab.settings.model import Model, Organism
from trimtab.settings.probes import Probes
from trimtab.settings.prompts import Prompts
from trimtab.settings.report import Report
from trimtab.settings.rollouts import Rollouts
from trimtab.settings.saes import Saes
from trimtab.settings.statistics import Statistics
from trimtab.settings.vectors import Vectors

Folder = Annotated[
    str,
    Text("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a folder name of at most 100 letters, digits, '.', '-' and '_'"),
]

Image = Annotated[str, Text(r"\S+", "a file or an address without spaces")]


class Experiment(Settings):
    """A Trimtab experiment."""

    experiment: Folder = default("smollm2")
    """Results go to results/<experiment>."""

    seed: Count = default(20260316)
    """Every random draw derives from it. The name of the artifact that it is drawn for counts too."""

    resources: Annotated[str, Field(min_length=1)] = default("workflow/resources")
    """Folder of the traits, tasks, scenarios and corpus. The few-shot examples are there too. Relative paths in the
    checkout's own files count from the checkout, all others from the folder that Snakemake works in."""

    container: Image | None = default(None)
    """Image in which jobs run under `snakemake --sdm apptainer`, a file or an address such as docker://mine/trimtab:1.
    It needs Python with the packages of envs/lock.txt and envs/data.txt. null: jobs run where Snakemake does."""

    model: Model

    organism: Organism | None = default(None)
    """The model that is trained here, for model.source organism. workflow/presets/organism.yaml has one."""

    layers: Some[Count] = default([4, 5, 10, 11, 16, 17, 18, 25, 26])
    """Decoder layers whose output is captured, counted from 0. The default is the study's nine of forty, at the same
    relative depth of thirty."""

    prompts: Prompts
    activations: Activations
    saes: Saes
    probes: Probes
    vectors: Vectors
    rollouts: Rollouts
    evaluations: Evaluations
    statistics: Statistics
    report: Report

    @property
    def on_vllm(self) -> list[str]:
        """Keys by which a part of the experiment runs on vLLM."""
        engines = {"rollouts.engine": self.rollouts.engine, "activations.engine": self.activations.engine}
        return [key for key, engine in engines.items() if engine == VLLM]
