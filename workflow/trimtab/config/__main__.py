"""Write the files that are made from the models of the settings: config.yaml, the JSON schema and docs/config.md."""

from trimtab.jobs.entry import commands

from trimtab.config.generated import files


def write() -> None:
    """Write config.yaml, workflow/schemas/config.schema.json and docs/config.md."""
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    commands(write=write)
