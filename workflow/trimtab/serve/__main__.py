"""A steered model behind an OpenAI-compatible address: `python -m trimtab.serve MODEL --vectors FOLDER_OR_FILES`."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.jobs import stopping
from trimtab.rollouts.loaded import Loaded
from trimtab.serve.named import read_vectors
from trimtab.serve.server import LOOPBACK, Server
from trimtab.serve.writer import Writer


def serve(
    model: Path,
    *,
    vectors: list[Path],
    name: str | None = None,
    tokens: int = 1024,
    port: int = 8000,
    host: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> None:
    """Serve a model until Ctrl-C.

    MODEL is a run's model/manifest.json or a folder with a model. --vectors: files of a run's vectors/, or folders of
    them; none for the model alone.
    --name: of the model in requests, its folder's if not given; --tokens: of an answer, at most; --port: 0 takes a free
    one; --host: another address than loopback, where anyone who reaches this machine uses the model, without a key and
    in plain text; --dtype, --device: for a folder.
    """
    if tokens < 1:
        raise TrimtabError(f"--tokens {tokens}: expected 1 or more")
    loaded = Loaded.of(model, dtype, device)
    writer = Writer(loaded, loaded.name if name is None else name, read_vectors(vectors, loaded), tokens)
    stopping.end_in_one_line()
    with Server(LOOPBACK[0] if host is None else host, port, writer) as server:
        if not server.is_loopback:
            print(f"--host {host}: anyone who reaches this address uses the model; no key is asked, nothing encrypted")
        print(f"{writer.name}, with {len(writer.vectors)} vectors, is served at {server.address}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    script(serve)
