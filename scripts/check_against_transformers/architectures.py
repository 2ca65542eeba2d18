"""Small random models of the decoder-only architectures, in which every field that changes the mathematics counts."""

import models
import transformers

VOCABULARY = 80


def sizes(rng):
    heads = rng.choice([2, 4])
    return dict(
        vocab_size=VOCABULARY,
        hidden_size=heads * rng.choice([4, 8]),
        intermediate_size=rng.choice([12, 20]),
        num_hidden_layers=rng.choice([1, 2, 3]),
        num_attention_heads=heads,
        num_key_value_heads=rng.choice([heads, heads // 2, 1]),
        max_position_embeddings=64,
        tie_word_embeddings=rng.random() < 0.5,
        pad_token_id=rng.choice([None, 7]),
        bos_token_id=1,
        eos_token_id=2,
    )


def rotary(rng, **changes):
    """Contexts grow from 8 positions, so that the texts go beyond."""
    kind = rng.choice(["default", "linear", "dynamic", "llama3", "yarn"])
    made = {"rope_type": kind, "rope_theta": rng.choice([10000.0, 500.0, 1e6])}
    if kind != "default":
        made["factor"] = rng.choice([2.0, 8.0])
    if kind in ("llama3", "yarn"):
        made["original_max_position_embeddings"] = 8
    if kind == "llama3":
        made |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if kind == "yarn":
        made |= rng.choice([{}, {"beta_fast": 4.0, "beta_slow": 0.5}, {"attention_factor": 1.3}])
        made |= rng.choice([{}, {"truncate": False}, {"mscale": 1.2, "mscale_all_dim": 0.7}])
    return made | changes


def layer_types(rng, layers):
    return [rng.choice(["sliding_attention", "full_attention"]) for _ in range(layers)]


def made(name, config):
    config_class = getattr(transformers, f"{name}Config", None)
    model_class = getattr(transformers, f"{name}ForCausalLM", None)
    if name == "Gemma3":
        config_class = transformers.Gemma3TextConfig
    if name == "GPT2":
        model_class = transformers.GPT2LMHeadModel
    return model_class(config_class(**config))


def llama_like(name, **more):
    """An architecture with Llama's names of sizes; a callable makes a value from the generator and the sizes."""

    def build(rng):
        config = sizes(rng) | {"rope_parameters": rotary(rng)}
        for key, value in more.items():
            config[key] = value(rng, config) if callable(value) else value
        return made(name, {key: value for key, value in config.items() if value is not Ellipsis})

    return build


def either(*values):
    return lambda rng, config: rng.choice(values)


def partial_rotary(rng, config):
    """Half of a head's columns, or all: dynamic scaling is not defined for two columns."""
    parameters = rotary(rng)
    share = 1.0 if parameters["rope_type"] == "dynamic" else rng.choice([0.5, 1.0])
    return parameters | {"partial_rotary_factor": share}


def per_layer_rotary(rng, config):
    return {
        "full_attention": rotary(rng) | {"truncate": True},
        "sliding_attention": {"rope_type": "default", "rope_theta": rng.choice([10000.0, 300.0])},
    }


def without_truncate(make):
    """Fields that only yarn has are refused beside other kinds."""

    def build(rng, config):
        parameters = make(rng, config)
        for section in parameters.values():
            if section["rope_type"] != "yarn":
                section.pop("truncate", None)
        return parameters

    return build


def types_of_layers(rng, config):
    return layer_types(rng, config["num_hidden_layers"])


def gpt(name, **more):
    def build(rng):
        s = sizes(rng)
        config = dict(
            vocab_size=VOCABULARY,
            n_embd=s["hidden_size"],
            n_layer=s["num_hidden_layers"],
            n_head=s["num_attention_heads"],
            n_positions=64,
            n_inner=rng.choice([None, s["intermediate_size"]]),
            activation_function=rng.choice(["gelu_new", "gelu", "relu"]),
            tie_word_embeddings=s["tie_word_embeddings"],
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=2,
        )
        return made(name, config | {key: value(rng, s) for key, value in more.items()})

    return build


def falcon(rng):
    s = sizes(rng)
    kind = rng.choice(
        [
            {"new_decoder_architecture": True, "num_kv_heads": s["num_key_value_heads"]},
            {"new_decoder_architecture": True, "num_kv_heads": 1, "num_ln_in_parallel_attn": 1},
            {"multi_query": True},
            {"multi_query": False},
            {"multi_query": True, "parallel_attn": False},
        ]
    )
    config = dict(
        vocab_size=VOCABULARY,
        hidden_size=s["hidden_size"],
        num_hidden_layers=s["num_hidden_layers"],
        num_attention_heads=s["num_attention_heads"],
        ffn_hidden_size=rng.choice([None, s["intermediate_size"]]),
        bias=rng.random() < 0.5,
        max_position_embeddings=64,
        tie_word_embeddings=s["tie_word_embeddings"],
        rope_parameters=rotary(rng),
        bos_token_id=1,
        eos_token_id=2,
    )
    return made("Falcon", config | kind)


def gpt_neo(rng):
    s = sizes(rng)
    config = dict(
        vocab_size=VOCABULARY,
        hidden_size=s["hidden_size"],
        num_layers=s["num_hidden_layers"],
        num_heads=s["num_attention_heads"],
        attention_types=[[[rng.choice(["global", "local"])], 1] for _ in range(s["num_hidden_layers"])],
        window_size=5,
        intermediate_size=rng.choice([None, s["intermediate_size"]]),
        max_position_embeddings=64,
        tie_word_embeddings=s["tie_word_embeddings"],
        bos_token_id=1,
        eos_token_id=2,
    )
    return made("GPTNeo", config)


def longrope(rng, config):
    """Factors for sequences of up to 8 tokens, and for longer ones."""
    share = rng.choice([0.5, 1.0])
    pairs = int(config["hidden_size"] // config["num_attention_heads"] * share) // 2
    parameters = {
        "rope_type": "longrope",
        "rope_theta": rng.choice([10000.0, 500.0]),
        "partial_rotary_factor": share,
        "short_factor": [rng.uniform(1.0, 1.5) for _ in range(pairs)],
        "long_factor": [rng.uniform(1.0, 20.0) for _ in range(pairs)],
    }
    return parameters | rng.choice([{}, {"attention_factor": 1.3}, {"factor": 4.0}])


def with_images(name, make_text, vision, **more):
    """A model that reads images too, around a text part."""

    def build(rng):
        config_class = getattr(transformers, f"{name}Config")
        text = sizes(rng)
        tied = text.pop("tie_word_embeddings")
        config = config_class(
            text_config=text | make_text(rng, text), vision_config=vision(text), tie_word_embeddings=tied, **more
        )
        return getattr(transformers, f"{name}ForConditionalGeneration")(config)

    return build


def small_tower(model_type):
    return lambda text: dict(
        model_type=model_type,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )


def qwen_tower(text):
    return dict(
        depth=1,
        hidden_size=8,
        intermediate_size=12,
        num_heads=2,
        out_hidden_size=text["hidden_size"],
        fullatt_block_indexes=[0],
    )


def qwen2_tower(text):
    return dict(depth=1, embed_dim=8, hidden_size=text["hidden_size"], num_heads=2, mlp_ratio=2)


def gemma3_text(rng, text):
    layers = text["num_hidden_layers"]
    return dict(
        head_dim=rng.choice([6, 8]),
        pad_token_id=rng.choice([0, 7]),
        query_pre_attn_scalar=rng.choice([16, 10]),
        sliding_window=5,
        layer_types=layer_types(rng, layers),
        rope_parameters=without_truncate(per_layer_rotary)(rng, text),
    )


def mistral_text(rng, text):
    return dict(
        model_type="mistral",
        head_dim=rng.choice([6, 8]),
        sliding_window=rng.choice([5, None]),
        rope_parameters=rotary(rng),
    )


def llava_text(rng, text):
    kind = rng.choice(["llama", "mistral", "qwen2"])
    own = {"llama": {"attention_bias": True}, "mistral": {"sliding_window": 5}, "qwen2": {}}[kind]
    return dict(model_type=kind, rope_parameters=rotary(rng)) | own


def internvl_text(rng, text):
    kind = rng.choice(["qwen2", "qwen3", "llama"])
    return dict(model_type=kind, rope_parameters=rotary(rng)) | ({"head_dim": 8} if kind == "qwen3" else {})


def clip_tower(text):
    return small_tower("clip_vision_model")(text) | {"projection_dim": 8}


def internvl_tower(text):
    return small_tower("internvl_vision")(text) | {"image_size": [8, 8], "patch_size": [4, 4]}


def qwen_text(rng, text):
    pairs = text["hidden_size"] // text["num_attention_heads"] // 2
    parameters = {"rope_type": "default", "rope_theta": rng.choice([10000.0, 500.0])}
    return dict(
        use_sliding_window=rng.choice([True, False]),
        sliding_window=5,
        max_window_layers=1,
        rope_parameters=parameters | {"mrope_section": [pairs - 2, 1, 1]},
    )


def qwen3_text(rng, text):
    parameters = {"rope_type": "default", "rope_theta": rng.choice([10000.0, 500.0])}
    return dict(
        head_dim=8,
        attention_bias=rng.choice([True, False]),
        rope_parameters=parameters | {"mrope_section": [2, 1, 1]},
    )


def qwen3_tower(text):
    return qwen_tower(text) | {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}


WINDOW = either(5, None)
# Fewer tokens than experts: some get none.
EXPERTS = dict(
    num_experts=either(4, 16),
    num_experts_per_tok=either(1, 2, 3),
    moe_intermediate_size=either(6, 10),
    norm_topk_prob=either(True, False),
    decoder_sparse_step=either(1, 2),
)
ARCHITECTURES = {
    "llama3": llama_like(
        "Llama", attention_bias=either(True, False), mlp_bias=either(True, False), head_dim=either(6, None)
    ),
    "qwen2": llama_like("Qwen2", use_sliding_window=either(True, False), sliding_window=5, max_window_layers=1),
    "qwen3": llama_like("Qwen3", head_dim=either(6, 8), attention_bias=either(True, False), sliding_window=5),
    "mistral": llama_like("Mistral", head_dim=either(6, None), sliding_window=WINDOW),
    "ministral": llama_like("Ministral", head_dim=either(6, 8), sliding_window=5, layer_types=types_of_layers),
    "smollm3": llama_like(
        "SmolLM3",
        attention_bias=either(True, False),
        mlp_bias=either(True, False),
        num_hidden_layers=3,
        no_rope_layers=either(None, [1, 0, 1]),
        no_rope_layer_interval=2,
        use_sliding_window=either(True, False),
        sliding_window=5,
    ),
    "olmo2": llama_like("Olmo2", attention_bias=either(True, False)),
    "olmo3": llama_like(
        "Olmo3",
        sliding_window=5,
        layer_types=types_of_layers,
        rope_parameters=without_truncate(per_layer_rotary),
    ),
    "stablelm": llama_like(
        "StableLm",
        use_qkv_bias=either(True, False),
        use_parallel_residual=either(True, False),
        rope_parameters=partial_rotary,
    ),
    "granite": llama_like(
        "Granite",
        attention_bias=either(True, False),
        embedding_multiplier=6.0,
        logits_scaling=3.0,
        residual_multiplier=0.4,
        attention_multiplier=either(0.2, 1.0),
    ),
    "phi": llama_like(
        "Phi", tie_word_embeddings=False, rope_parameters=partial_rotary, hidden_act=either("gelu_new", "gelu")
    ),
    "phi3": llama_like(
        "Phi3",
        rope_parameters=lambda rng, config: {
            "rope_type": "default",
            "rope_theta": rng.choice([10000.0, 500.0]),
            "partial_rotary_factor": rng.choice([0.5, 1.0]),
        },
        sliding_window=WINDOW,
    ),
    "phi3_longrope": llama_like(
        "Phi3", original_max_position_embeddings=8, rope_parameters=longrope, sliding_window=WINDOW
    ),
    "gemma": llama_like("Gemma", head_dim=either(6, 8), tie_word_embeddings=True, pad_token_id=either(0, 7)),
    "gemma3": llama_like(
        "Gemma3",
        head_dim=either(6, 8),
        tie_word_embeddings=True,
        pad_token_id=either(0, 7),
        query_pre_attn_scalar=either(16, 10),
        sliding_window=5,
        layer_types=types_of_layers,
        rope_parameters=without_truncate(per_layer_rotary),
    ),
    "gemma2": llama_like(
        "Gemma2",
        head_dim=either(6, 8),
        tie_word_embeddings=True,
        pad_token_id=either(0, 7),
        query_pre_attn_scalar=either(16, 10),
        attention_bias=either(True, False),
        sliding_window=5,
        layer_types=types_of_layers,
        attn_logit_softcapping=either(0.3, 2.0, None),
        final_logit_softcapping=either(2.0, 6.0, None),
    ),
    "vaultgemma": llama_like(
        "VaultGemma",
        head_dim=either(6, 8),
        tie_word_embeddings=True,
        pad_token_id=either(0, 7),
        query_pre_attn_scalar=either(16, 10),
        attention_bias=either(True, False),
        sliding_window=5,
        layer_types=types_of_layers,
        attn_logit_softcapping=either(0.3, 2.0, None),
        final_logit_softcapping=either(2.0, 6.0, None),
    ),
    "starcoder2": llama_like("Starcoder2", use_bias=either(True, False), sliding_window=WINDOW),
    "cohere": llama_like("Cohere", attention_bias=either(True, False), logit_scale=0.3),
    "cohere2": llama_like("Cohere2", sliding_window=5, layer_types=types_of_layers, logit_scale=0.3),
    "glm": llama_like("Glm", head_dim=8, rope_parameters=partial_rotary, attention_bias=either(True, False)),
    "glm4": llama_like("Glm4", head_dim=8, rope_parameters=partial_rotary, attention_bias=either(True, False)),
    "exaone4": llama_like(
        "Exaone4",
        sliding_window=WINDOW,
        layer_types=lambda rng, config: (
            types_of_layers(rng, config)
            if config["sliding_window"]
            else ["full_attention"] * config["num_hidden_layers"]
        ),
    ),
    "helium": llama_like(
        "Helium",
        head_dim=lambda rng, config: config["hidden_size"] // config["num_attention_heads"],
        attention_bias=either(True, False),
    ),
    "ernie4_5": llama_like("Ernie4_5", head_dim=either(6, 8), use_bias=either(True, False)),
    "seed_oss": llama_like(
        "SeedOss", head_dim=either(6, 8), attention_bias=either(True, False), attention_out_bias=either(True, False)
    ),
    "cwm": llama_like(
        "Cwm", head_dim=either(6, 8), mlp_bias=either(True, False), sliding_window=5, layer_types=types_of_layers
    ),
    "arcee": llama_like(
        "Arcee", head_dim=either(6, None), attention_bias=either(True, False), mlp_bias=either(True, False)
    ),
    "jais2": llama_like(
        "Jais2", head_dim=either(6, None), attention_bias=either(True, False), mlp_bias=either(True, False)
    ),
    "hunyuan_v1_dense": llama_like(
        "HunYuanDenseV1", head_dim=either(6, 8), attention_bias=either(True, False), pad_token_id=either(0, 7)
    ),
    "mixtral": llama_like(
        "Mixtral",
        head_dim=either(6, None),
        sliding_window=WINDOW,
        num_local_experts=either(4, 8),
        num_experts_per_tok=either(1, 2, 3),
    ),
    "qwen2_moe": llama_like(
        "Qwen2Moe",
        qkv_bias=either(True, False),
        use_sliding_window=either(True, False),
        sliding_window=5,
        max_window_layers=2,
        **EXPERTS,
        shared_expert_intermediate_size=either(10, 16),
    ),
    "qwen3_moe": llama_like(
        "Qwen3Moe",
        head_dim=either(6, 8),
        attention_bias=either(True, False),
        use_sliding_window=either(True, False),
        sliding_window=5,
        **EXPERTS,
    ),
    "olmoe": llama_like(
        "Olmoe",
        attention_bias=either(True, False),
        num_experts=either(4, 8),
        num_experts_per_tok=either(1, 2, 3),
        norm_topk_prob=either(True, False),
    ),
    "gpt_oss": llama_like(
        "GptOss",
        head_dim=either(6, 8),
        attention_bias=either(True, False),
        sliding_window=5,
        layer_types=types_of_layers,
        num_local_experts=either(4, 16),
        num_experts_per_tok=either(1, 2, 3),
        swiglu_limit=either(0.1, 7.0),
        swiglu_alpha=either(1.702, 0.5),
    ),
    "gpt2": gpt("GPT2"),
    "gptj": gpt("GPTJ", rotary_dim=lambda rng, s: rng.choice([2, 4])),
    "gpt_neox": llama_like(
        "GPTNeoX",
        num_key_value_heads=...,
        rope_parameters=partial_rotary,
        use_parallel_residual=either(True, False),
        attention_bias=either(True, False),
        hidden_act=either("gelu", "gelu_new"),
    ),
    "falcon": falcon,
    "gpt_bigcode": gpt("GPTBigCode", multi_query=lambda rng, s: rng.random() < 0.7),
    "gpt_neo": gpt_neo,
    "hyperclovax": llama_like(
        "HyperCLOVAX",
        head_dim=either(6, None),
        attention_bias=either(True, False),
        use_post_norm=either(True, False),
        embedding_multiplier=6.0,
        logits_scaling=0.3,
        residual_multiplier=0.4,
        attention_multiplier=either(0.2, 1.0),
    ),
    "gemma3_images": with_images("Gemma3", gemma3_text, small_tower("siglip_vision_model"), mm_tokens_per_image=4),
    "mistral3": with_images("Mistral3", mistral_text, small_tower("pixtral")),
    "qwen2_5_vl": with_images("Qwen2_5_VL", qwen_text, qwen_tower, image_token_id=70),
    "qwen3_vl": with_images("Qwen3VL", qwen3_text, qwen3_tower, image_token_id=70),
}
# Not among the golden models of architectures: tests/golden/models has them, or they are another's twin.
OTHERS = {
    "opt": lambda rng: models.opt(
        rng,
        tie_word_embeddings=rng.random() < 0.7,
        **rng.choice([{}, {"do_layer_norm_before": False, "word_embed_proj_dim": 12}]),
    ),
    "bloom": models.bloom,
    "llava": with_images("Llava", llava_text, clip_tower, image_token_index=70),
    "internvl": with_images("InternVL", internvl_text, internvl_tower, image_token_id=70),
    "qwen2_vl": with_images("Qwen2VL", qwen_text, qwen2_tower, image_token_id=70),
    "t5": models.t5,
}
