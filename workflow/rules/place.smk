# Where this workflow lies: its jobs need scripts, library and resources, whoever gave Snakemake the rules.

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import HostingProviderFile, LocalGitFile


def git(folder, *words):
    """What a git command says of the repository in a folder, whatever repository the shell speaks of."""
    own = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_")
    }
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    if done.returncode:
        raise WorkflowError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def checked_out(source):
    """The folder of a fetched source, as of `github(...)` in somebody's `module`, in a checkout beside the results.

    Snakemake fetches the rules alone, out of a clone of the whole repository. The checkout is of the same commit; its
    path stays when another commit is asked for, so that this reruns what the commit changes.
    """
    if isinstance(source, HostingProviderFile):
        clone, name = source.hosted_repo.repo_clone, f"{source.host}/{source.repo}"
    elif isinstance(source, LocalGitFile):
        clone, name = Path(source.repo_path).resolve(), Path(source.repo_path).name
    else:
        raise WorkflowError(
            f"{source.get_path_or_uri(secret_free=True)}: its jobs need the whole repository, and Snakemake fetches "
            "rules alone from there; name it by github(...), gitlab(...) or git+file://, or give a clone's path"
        )
    commit = git(clone, "rev-parse", f"{source.ref}^{{commit}}")
    folder = Path(".snakemake", "trimtab", "fetched", name)
    if not folder.is_dir() or git(folder, "rev-parse", "HEAD") != commit:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            new = Path(aside, "new")
            git(".", "clone", "--quiet", "--no-checkout", str(clone), str(new))
            git(new, "checkout", "--quiet", "--detach", commit)
            if folder.is_dir():
                folder.rename(Path(aside, "old"))
            try:
                new.rename(folder)
            except OSError:
                # another process was first
                if not folder.is_dir():
                    raise
    return folder / source.path


# not the main Snakefile's folder, which is another where this workflow is a module of it
RULES = workflow.current_basedir
LIBRARY = (Path(RULES) if isinstance(RULES, os.PathLike) else checked_out(RULES)).parent
CHECKOUT = LIBRARY.parent
HERE = LIBRARY.resolve()
if vars(workflow).setdefault("trimtab", HERE) != HERE:
    raise WorkflowError(
        f"{LIBRARY}: this workflow is a module twice, of two places; one Snakemake takes one version of it"
    )
# what an installed one gave to Snakemake (its logger) may be of another version
loaded = sys.modules.get("trimtab")
if loaded and not Path(loaded.__file__).resolve().is_relative_to(HERE):
    for name in [each for each in sys.modules if each.partition(".")[0] == "trimtab"]:
        del sys.modules[name]
# scripts and rules find the library in this checkout, installed or not
sys.path.insert(0, str(HERE))
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    # text is UTF-8 whatever the shell's locale
    PYTHONUTF8="1",
)

from trimtab.artifacts import strict_yaml
from trimtab.errors import TrimtabError

# what Snakemake can't read of it, it would show in a trace of its own
try:
    strict_yaml.keys(CHECKOUT / "config.yaml", "config.yaml")
except TrimtabError as error:
    raise WorkflowError(str(error)) from None
