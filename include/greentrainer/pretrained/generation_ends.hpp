#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

namespace detail {

/// The ids that the files name; nothing where none names one. `vocabulary`: ids are below it.
std::optional<std::vector<Index>> eos_ids_in(const ModelFiles& files, Extent vocabulary);

/// Writes generation_config.json with these ids into a saved folder.
void write_eos_ids(const ModelFiles& files, const std::filesystem::path& saved, const std::vector<Index>& ids);

}  // namespace detail

/// The ids that end a text, as the model's folder says: `eos_token_id`, one or a list, of generation_config.json or
/// else of config.json; else the tokenizer's EOS. Empty if no file defines an EOS id. Throws LoadError or ConfigError
/// for a file that is damaged.
template <Backend B>
std::vector<Index> eos_ids_of(const PretrainedModel<B>& model) {
  if (auto ids = detail::eos_ids_in(model.files(), model.facts().vocabulary)) return std::move(*ids);
  if (model.has_tokenizer() && model.tokenizer().eos_id()) return {*model.tokenizer().eos_id()};
  return {};
}

/// Settings of generation_config.json that transformers' generate would follow and ours does not: how to search is the
/// caller's choice.
std::vector<std::string> generation_settings_not_followed(const ModelFiles& files);
template <Backend B>
std::vector<std::string> generation_settings_not_followed(const PretrainedModel<B>& model) {
  return generation_settings_not_followed(model.files());
}

/// Adds ids to those that end a text, in the generation_config.json of a saved folder: tokens that ended the turns of
/// the conversations trained on (Dataset::end_of_turn_ids), which the model was taught to stop with. Where the model
/// has no such file one is made, with what transformers takes from config.json instead. Does nothing where all of them
/// end texts already. Throws SaveError, and as eos_ids_of.
template <Backend B>
void write_generation_ends(const PretrainedModel<B>& model, const std::filesystem::path& saved,
                           std::span<const Index> ends) {
  std::vector<Index> ids = eos_ids_of(model);
  const std::size_t before = ids.size();
  for (const Index id : ends) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  if (ids.size() > before) detail::write_eos_ids(model.files(), saved, ids);
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/generation_ends_inl.hpp"
#endif
