#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "greentrainer/core/types.hpp"
#include "greentrainer/tokenizers/component.hpp"

namespace greentrainer {

/// What a post-processor puts around a sequence: the rest of it does not matter here, since data forms join sequences
/// by themselves.
struct SequenceEnds {
  struct Special {
    std::string token;
    Index id = 0;
  };
  std::optional<Special> bos;
  std::optional<Special> eos;
};

namespace detail {

inline Index special_token_id(const Component& component, const Json& json) {
  if (json.is_number_unsigned() && json.get<std::uint64_t>() <= 0x7fffffffU)
    return static_cast<Index>(json.get<std::uint64_t>());
  component.fail(text("expected the id of a special token, got ", json.dump(-1, ' ', true).substr(0, 40)));
}

/// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...], "special_tokens": {"<s>": {"ids": [1],
/// ...}}, ...}
inline SequenceEnds template_ends(const Component& component) {
  SequenceEnds ends;
  bool behind = false;  // whether the text itself came already
  for (const auto& part : component.list_of("single")) {
    const Json* token = part.find("SpecialToken");
    if (token == nullptr) {
      if (Component(part.at("Sequence"), part.source() + ".Sequence").text_of("id") != "A" || behind)
        part.fail("expected sequence A once, got another");
      behind = true;
      continue;
    }
    auto name = Component(*token, part.source() + ".SpecialToken").text_of("id");
    const Component specials(component.at("special_tokens"), component.source() + ".special_tokens");
    const Component special(specials.at(name), text(specials.source(), '.', name));
    const Json& ids = special.at("ids");
    if (!ids.is_array() || ids.size() != 1) special.fail("expected one id in \"ids\", got another number");
    auto& end = behind ? ends.eos : ends.bos;
    if (end)
      part.fail("expected at most one special token on each side of the sequence, got more; it is not supported");
    end = {std::move(name), special_token_id(special, ids[0])};
  }
  if (!behind) component.fail("expected sequence A in \"single\", got none");
  return ends;
}

/// {"cls": ["<s>", 0], "sep": ["</s>", 2], ...}
inline SequenceEnds bert_ends(const Component& component) {
  const auto special = [&](std::string_view key) -> SequenceEnds::Special {
    const Json& pair = component.at(key);
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string())
      component.fail(text("expected [token, id] as \"", key, "\", got something else"));
    return {pair[0].get<std::string>(), special_token_id(component, pair[1])};
  };
  return {special("cls"), special("sep")};
}

}  // namespace detail

/// The ends that the "post_processor" of tokenizer.json puts. Throws LoadError for a type that is not supported.
inline SequenceEnds sequence_ends(const Component& component) {
  const auto type = component.type();
  if (type == "ByteLevel") return {};  // trims offsets, which nobody asks for
  if (type == "TemplateProcessing") return detail::template_ends(component);
  if (type == "RobertaProcessing" || type == "BertProcessing") return detail::bert_ends(component);
  if (type == "Sequence") {
    SequenceEnds ends;
    for (const auto& part : component.list_of("processors")) {
      const auto next = sequence_ends(part);
      if ((next.bos && ends.bos) || (next.eos && ends.eos))
        part.fail("expected at most one special token on each side of the sequence, got more; it is not supported");
      if (next.bos) ends.bos = next.bos;
      if (next.eos) ends.eos = next.eos;
    }
    return ends;
  }
  component.fail_unknown_type("TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, Sequence");
}

}  // namespace greentrainer
