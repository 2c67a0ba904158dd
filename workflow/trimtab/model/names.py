"""How `model.source` of the config names a model: for the config's check, and for the stage that loads it.

Apart from both, so that a change of the check reruns no model.
"""

import re

PACKAGED = re.compile(r"package:[A-Za-z_]\w*/[^/]+\.gguf")
GGUF = re.compile(rf"{PACKAGED.pattern}|(?!package:).+\.gguf")
"""A file of this kind, inside a package or anywhere on this machine, which is unpacked."""
ORGANISM = "organism"
"""A model that the workflow trains itself."""
