"""The file that each key of the config was written in, so that an error names the file that its reader has to open.

Made when Snakemake starts (`trimtab.config.written`) and handed to jobs by the environment, since a job sees its slice
of the config alone. A job's errors say "config.yaml" for whichever file it was.
"""

import json
import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field

CONFIG = "config.yaml"
"""The default experiment's file, below all others."""

VARIABLE = "TRIMTAB_CONFIG_ORIGINS"


def blames_the_config(message: str) -> bool:
    """Whether a job's error is about a value of the config, so that the same job would always end in it."""
    return any(line.startswith(f"{CONFIG}, ") for line in message.split("\n"))


@dataclass
class Origins:
    """Files by key; a later file's keys replace those of an earlier one."""

    files: dict[str, str] = field(default_factory=dict)
    """Name of a file by dotted key. What stands nowhere is told of the default's file."""

    def of(self, line: str) -> str:
        """The file of a complaint, which begins with its key: the key's own, or that of the section around it."""
        key = line.split(": ", 1)[0]
        while key:
            if key in self.files:
                return self.files[key]
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return CONFIG

    def told(self, message: str) -> str:
        """A job's error with the right file in each line."""
        begin = f"{CONFIG}, "
        lines = message.split("\n")
        return "\n".join(
            f"{self.of(line.removeprefix(begin))}, {line.removeprefix(begin)}" if line.startswith(begin) else line
            for line in lines
        )

    def leave(self, environment: MutableMapping[str, str]) -> None:
        """For the jobs that are started from here."""
        environment[VARIABLE] = json.dumps(self.files)

    @classmethod
    def found(cls) -> "Origins":
        return cls(json.loads(os.environ.get(VARIABLE, "{}")))
