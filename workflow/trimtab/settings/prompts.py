"""Settings of the stage `prompts`."""

from typing import Annotated, Literal

from pydantic import Field

from trimtab.settings.base import Count, OpenShare, Positive, Settings, Some, default

ContrastKind = Literal["opening", "instruction"]
TemplatePart = Literal["composite", "sub_behaviours"]


class CorpusSettings(Settings):
    """What the corpus of the SAEs holds."""

    tokens: Positive = default(120000)
    """About how many tokens the SAE corpus holds. Transcripts are included."""

    held_out: OpenShare = default(0.1)
    """Share of the documents kept from SAE training. The quality figures are measured on them."""

    max_tokens: Annotated[int, Field(ge=2)] = default(384)
    """Longer documents are cut into pieces of this length; the first token of each isn't kept."""


class Corpus(CorpusSettings):
    """The text that SAEs are trained on."""

    shards: Annotated[int, Field(ge=1, le=1000)] = default(4)
    """Files the corpus cache is split into; the names of more than 1000 would not fit a command line. Each file is a
    job."""

    transcripts: Count = default(75)
    """Unsteered agent episodes in the corpus. Their tasks are not scenarios of the study."""


class ContrastSettings(Settings):
    """Pairs of prompts that differ in one trait."""

    kinds: Some[ContrastKind] = default(["opening", "instruction"])
    """Which part of a prompt differs between the poles. opening: only the start of the assistant's turn; instruction:
    only the system prompt, as in the study."""

    templates: Some[TemplatePart] = default(["composite", "sub_behaviours"])
    """Which templates. composite: those in which all sub-behaviours of a trait come together; sub_behaviours: those of
    one each. The study has both, ten and nine a trait, at four fills. Pairs without a trait have no such parts."""

    fills: Positive = default(4)
    """Tasks a domain for each template."""


class Prompts(Settings):
    """The texts that everything starts from."""

    corpus: Corpus
    contrast: ContrastSettings

    scenarios: Positive = default(50)
    """How many of workflow/resources/scenarios.yaml are used. They are taken in the file's order within each
    domain."""
