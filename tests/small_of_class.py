"""A model of every decoder-only class of the installed `transformers` at toy size, from the config class alone.

Sizes go under every name that some class calls them by; what a class can't be made with is said for it in `OWN`.
"""

from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WRAPPERS

LAYERS, WIDTH, VOCABULARY, WINDOW = 2, 32, 97, 5
LARGEST = 1_000_000
"""Parameters of a model that is still tried; what stays above has sizes under names of its own."""

SIZES: dict[str, Any] = {
    **dict.fromkeys(["num_hidden_layers", "n_layer", "n_layers", "num_layers"], LAYERS),
    **dict.fromkeys(["encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"], LAYERS),
    **dict.fromkeys(["encoder_attention_heads", "decoder_attention_heads"], 4),
    **dict.fromkeys(["num_encoder_attention_heads", "num_decoder_attention_heads"], 4),
    **dict.fromkeys(["encoder_ffn_dim", "decoder_ffn_dim"], 48),
    **dict.fromkeys(["hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "hidden_dim", "lru_width"], WIDTH),
    **dict.fromkeys(["embedding_size", "embedding_dim", "dim_model"], WIDTH),
    **dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "num_heads"], 4),
    **dict.fromkeys(["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "dim_ff"], 48),
    **dict.fromkeys(["max_position_embeddings", "n_positions", "max_seq_len"], 256),
    **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"], 4),
    **dict.fromkeys(["num_experts_per_tok", "moe_k", "moe_topk", "moe_top_k"], 2),
    **dict.fromkeys(["moe_intermediate_size", "shared_expert_intermediate_size"], 16),
    **dict.fromkeys(["linear_num_key_heads", "linear_num_value_heads"], 2),
    **dict.fromkeys(["linear_key_head_dim", "linear_value_head_dim"], 8),
    **dict.fromkeys(["n_group", "n_groups", "topk_group", "first_k_dense_replace", "n_shared_experts"], 1),
    "vocab_size": VOCABULARY,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "kv_channels": 8,
    "rotary_dim": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    **dict.fromkeys(["sliding_window", "attention_window_size", "window_size", "attention_chunk_size"], WINDOW),
    "expansion_ratio": 2,
    "mamba_d_ssm": 32,
    "mamba_n_heads": 4,
    "mamba_d_state": 8,
    "mamba_chunk_size": 8,
    "state_size": 4,
    "time_step_rank": 4,
    "is_decoder": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

MLA = {"num_key_value_heads": 4, "head_dim": 4}
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["deepseek_v3", "axk1", "youtu", "longcat_flash"], MLA),
    "ctrl": {"dff": 48},
    "gemma3n_text": {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
        "num_kv_shared_layers": 0,
        "sliding_window": 64,
        "layer_types": ["full_attention"] * LAYERS,
        "activation_sparsity_pattern": [0.0] * LAYERS,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "kimi_linear": {"linear_head_dim": 8, "linear_num_heads": 4, "num_experts_per_token": 2, "head_dim": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "nemotron_h": {
        "ssm_state_size": 8,
        "mamba_num_heads": 4,
        "mamba_head_dim": 8,
        "chunk_size": 8,
        "moe_shared_expert_intermediate_size": 16,
    },
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "reformer": {"axial_pos_embds": False},
    "xmod": {"default_language": "en_XX"},
    **dict.fromkeys(["qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text"], MROPE),
}

SEEING: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": ("gemma3_text", {"image_size": 28, "patch_size": 14}),
    "llava": ("llama", {"image_size": 28, "patch_size": 14, "projection_dim": 16}),
    "mistral3": ("mistral", {"image_size": 28, "patch_size": 14, "head_dim": 4}),
    "qwen2_5_vl": ("qwen2_5_vl_text", {"out_hidden_size": WIDTH, "fullatt_block_indexes": [0]}),
    "qwen2_vl": ("qwen2_vl_text", {"embed_dim": 16, "hidden_size": WIDTH, "mlp_ratio": 2}),
    "qwen3_vl": ("qwen3_vl_text", {"out_hidden_size": WIDTH, "deepstack_visual_indexes": [0]}),
    "qwen3_vl_moe": ("qwen3_vl_moe_text", {"out_hidden_size": WIDTH, "deepstack_visual_indexes": [0]}),
}
"""Wrappers with an encoder of pictures: their text side, and sizes of the encoder's own."""

EYE = {
    **dict.fromkeys(["num_hidden_layers", "depth"], LAYERS),
    **dict.fromkeys(["num_attention_heads", "num_heads"], 4),
    "hidden_size": 16,
    "intermediate_size": 24,
}
"""Sizes of an encoder, as deep as the language model beside it."""

NO_TOY = {
    "blt", "cohere_compass_text", "dbrx", "dots3_note", "dots3_note_text", "emu3", "fuyu", "gemma3n",
    "gemma4", "gemma4_assistant", "gemma4_text", "gemma4_unified", "gemma4_unified_assistant", "git", "got_ocr2",
    "llama4", "mllama", "moss_transcribe_diarize", "musicgen", "musicgen_melody", "phi4_multimodal", "qwen3_5",
    "qwen3_5_moe", "qwen4_exp", "qwen4_exp_text", "roc_bert", "zaya",
}  # fmt: skip
"""Classes that this makes no toy of."""


def small(kind: str, **changes: Any) -> PreTrainedModel:
    """A model of the class of config type `kind`, alike each time, with weights large enough that each layer tells.

    Raises:
        Exception: whatever the class raises at sizes that it doesn't go with.
    """
    config = small_config(kind, **changes)
    made = getattr(transformers, WRAPPERS[kind] if kind in SEEING else CLASSES[kind])
    with torch.device("meta"):
        if (parameters := made(config).num_parameters()) > LARGEST:
            raise ValueError(f"{kind}: {parameters} parameters")
    torch.manual_seed(0)
    model: PreTrainedModel = made(config).eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.normal_(0, 0.08)
    return model


def small_config(kind: str, **changes: Any) -> PreTrainedConfig:
    made = CONFIG_MAPPING[kind]
    default = made()
    if kind in SEEING:
        text, own = SEEING[kind]
        seen = default.vision_config
        eye = {name: size for name, size in EYE.items() if hasattr(seen, name)}
        vision = {**eye, **own, "model_type": seen.model_type}
        return made(text_config=small_config(text).to_dict(), vision_config=vision, **changes)
    names = {*getattr(made, "__dataclass_fields__", ()), *vars(default), *made.attribute_map}
    names -= {name for name in names if isinstance(getattr(made, made.attribute_map.get(name, name), None), property)}
    sizes = {name: size for name, size in SIZES.items() if name in names}
    if getattr(default, "num_key_value_heads", None) == getattr(default, "num_attention_heads", 0):
        sizes["num_key_value_heads"] = 4
    if (kinds := getattr(default, "layer_types", None)) and "layer_types" in names:
        sizes["layer_types"] = [kinds[0], kinds[-1]]
    return made(**{**sizes, **OWN.get(kind, {}), **changes})
