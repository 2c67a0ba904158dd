"""Settings of the language model that judges some rollouts."""

from typing import Annotated

from trimtab.settings.base import Positive, Settings, Text, default


class JudgeSettings(Settings):
    """A language model that answers yes-or-no questions about some of the rollouts, in addition to what is counted:
    rollouts/judge.parquet, and how far the two agree in judge_agreement.csv."""

    url: (
        Annotated[
            str, Text("https?://[^\\s@?#]+", "an address that begins with http:// or https:// and holds no password")
        ]
        | None
    ) = default(None)
    """An OpenAI-compatible endpoint, such as http://localhost:8000/v1, or null for no judge. A key that it wants is in
    the environment variable TRIMTAB_JUDGE_KEY: the config is shown in reports and logs."""

    model: str = default("")
    """The judge's name at its endpoint."""

    rollouts: Positive = default(200)
    """Rollouts that are judged, drawn at random."""
