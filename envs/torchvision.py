"""What `make .venv-vllm/.ready` adds to the end of torchvision/extension.py, so that it can be imported.

vLLM's classes of Qwen3.5 import torchvision, for pictures. PyPI has it built for CUDA, and beside a torch for the
processor its operators don't load; on import it describes two of them all the same. These are declared here and have no
kernel, which whoever calls one is told. A build whose operators load is left alone.
"""

import torch
from torchvision.extension import _has_ops

if not _has_ops():
    _declared = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _declared.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
