"""Rule fetch: bring the model here where it lies in a network, and say where it is; all else comes by `make`."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.model import source
from trimtab.model.folder import gguf_file
from trimtab.model.names import GGUF
from trimtab.settings.model import SourceSettings


def main(*, settings: SourceSettings) -> None:
    """Print the model's place and size; a hub id is downloaded to the hub's cache, which all nodes must see."""
    name, revision = settings.source, settings.revision
    place = gguf_file(name) if GGUF.fullmatch(name) else source.resolve(name, revision, Path(), "")
    files = [path for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    print(f"{name}: {place}, {sum(path.stat().st_size for path in files) / 1e9:.2f} GB in {len(files)} files")


if __name__ == "__main__":
    script(main)
