"""Real transformers of each family at toy size, built from their config classes."""

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen3_5MoeForCausalLM,
    Qwen3_5MoeTextConfig,
)

VOCABULARY, LAYERS, D_MODEL = 97, 4, 32
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}


def llama(**changes: object) -> PreTrainedModel:
    return _build(LlamaForCausalLM, LlamaConfig(**{**SHAPE, **changes}))


def gpt2() -> PreTrainedModel:
    return _build(
        GPT2LMHeadModel, GPT2Config(vocab_size=VOCABULARY, n_embd=D_MODEL, n_layer=LAYERS, n_head=4, n_positions=256)
    )


def gemma3() -> PreTrainedModel:
    return _build(Gemma3ForCausalLM, Gemma3TextConfig(**SHAPE, sliding_window=8))


def mixtral() -> PreTrainedModel:
    # as many experts as layers: the stack of layers must not be mistaken for theirs
    return _build(MixtralForCausalLM, MixtralConfig(**SHAPE, num_local_experts=LAYERS, num_experts_per_tok=2))


def qwen3_5_moe() -> PreTrainedModel:
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 0],
        "mrope_interleaved": True,
    }
    return _build(
        Qwen3_5MoeForCausalLM,
        Qwen3_5MoeTextConfig(
            **SHAPE,
            full_attention_interval=4,
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            rope_parameters=rope,
        ),
    )


FAMILIES = {"llama": llama, "gpt2": gpt2, "gemma3": gemma3, "mixtral": mixtral, "qwen3_5_moe": qwen3_5_moe}


def _build(kind: type[PreTrainedModel], config: object) -> PreTrainedModel:
    torch.manual_seed(0)
    return kind(config).eval().requires_grad_(False)
