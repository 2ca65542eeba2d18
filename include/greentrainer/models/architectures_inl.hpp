#pragma once

#include "greentrainer/models/arcee.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/bloom.hpp"
#include "greentrainer/models/cohere.hpp"
#include "greentrainer/models/cohere2.hpp"
#include "greentrainer/models/cwm.hpp"
#include "greentrainer/models/ernie4_5.hpp"
#include "greentrainer/models/exaone4.hpp"
#include "greentrainer/models/falcon.hpp"
#include "greentrainer/models/gemma.hpp"
#include "greentrainer/models/gemma2.hpp"
#include "greentrainer/models/gemma3.hpp"
#include "greentrainer/models/gemma3_text.hpp"
#include "greentrainer/models/glm.hpp"
#include "greentrainer/models/glm4.hpp"
#include "greentrainer/models/gpt2.hpp"
#include "greentrainer/models/gpt_bigcode.hpp"
#include "greentrainer/models/gpt_neo.hpp"
#include "greentrainer/models/gpt_neox.hpp"
#include "greentrainer/models/gpt_oss.hpp"
#include "greentrainer/models/gptj.hpp"
#include "greentrainer/models/granite.hpp"
#include "greentrainer/models/helium.hpp"
#include "greentrainer/models/hunyuan_v1_dense.hpp"
#include "greentrainer/models/hyperclovax.hpp"
#include "greentrainer/models/internvl.hpp"
#include "greentrainer/models/jais2.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/llava.hpp"
#include "greentrainer/models/ministral.hpp"
#include "greentrainer/models/mistral.hpp"
#include "greentrainer/models/mistral3.hpp"
#include "greentrainer/models/mixtral.hpp"
#include "greentrainer/models/olmo2.hpp"
#include "greentrainer/models/olmo3.hpp"
#include "greentrainer/models/olmoe.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/models/phi.hpp"
#include "greentrainer/models/phi3.hpp"
#include "greentrainer/models/qwen2.hpp"
#include "greentrainer/models/qwen2_5_vl.hpp"
#include "greentrainer/models/qwen2_moe.hpp"
#include "greentrainer/models/qwen2_vl.hpp"
#include "greentrainer/models/qwen3.hpp"
#include "greentrainer/models/qwen3_moe.hpp"
#include "greentrainer/models/qwen3_vl.hpp"
#include "greentrainer/models/seed_oss.hpp"
#include "greentrainer/models/smollm3.hpp"
#include "greentrainer/models/stablelm.hpp"
#include "greentrainer/models/starcoder2.hpp"
#include "greentrainer/models/t5.hpp"
#include "greentrainer/models/vaultgemma.hpp"

namespace greentrainer {

namespace detail {

using Families = Architectures<Arcee, Bloom, Cohere, Cohere2, Cwm, Ernie45, Exaone4, Falcon, Gemma, Gemma2, Gemma3,
                               Gemma3Text, Glm, Glm4, Gpt2, GptBigCode, GptJ, GptNeo, GptNeoX, GptOss, Granite, Helium,
                               HunYuanDense, HyperClovaX, InternVl, Jais2, Llama, Llava, Ministral, Mistral, Mistral3,
                               Mixtral, Olmo2, Olmo3, Olmoe, Opt, Phi, Phi3, Qwen2, Qwen25Vl, Qwen2Moe, Qwen2Vl, Qwen3,
                               Qwen3Moe, Qwen3Vl, SeedOss, SmolLm3, StableLm, StarCoder2, T5, VaultGemma>;

}  // namespace detail

GREENTRAINER_INLINE std::optional<KnownArchitectures::Description> KnownArchitectures::describe(
    const ConfigReader& config, const std::string& type) {
  std::optional<Description> described;
  detail::Families::try_visit(config, type, [&](const auto& description) { described.emplace(description); });
  return described;
}

GREENTRAINER_INLINE std::string KnownArchitectures::names() { return detail::Families::names(); }

}  // namespace greentrainer
