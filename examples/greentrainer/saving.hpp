#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "console.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/pretrained/check_save.hpp"
#include "output.hpp"

namespace greentrainer::program {

/// Hands a text over, piece by piece.
using WriteText = std::function<void(const TextSink&)>;

/// What is saved of a run, and how.
struct SaveChoice {
  bool as_adapter = false;
  std::optional<DType> dtype = {};  ///< each tensor's own where it is not given
  std::vector<Index> ends = {};     ///< tokens that end turns of the conversations that were trained
};

/// Throws, before a long run, what saving would throw after it, as far as it can be known.
template <Backend B>
void check_saving(const PretrainedModel<B>& model, const OutputFolder& output, const SaveChoice& choice) {
  if (choice.as_adapter)
    check_save_adapter(model, output);
  else
    check_save(model, output, choice.dtype);
}

/// Writes the trained weights in float32 to the first of the second places that takes them, and beside them what else
/// can be written. Says in words how that went.
template <Backend B>
std::string rescue(const PretrainedModel<B>& model, const std::filesystem::path& target, const SaveChoice& choice,
                   const WriteText& metrics) {
  std::string tried;
  for (const std::filesystem::path& place : second_places(target)) {
    try {
      OutputFolder output(place);
      const SaveSize size = choice.as_adapter ? size_of_adapter(model) : size_of_weights(model, DType::float32);
      output.expect_room(size.bytes, size.largest_file);
      std::string missing;
      if (choice.as_adapter) {
        write_adapter(model, output);
      } else {
        write_weights(model, output, DType::float32);
        try {
          write_companions(model, output, DType::float32);
          write_generation_ends(model, output.path(), choice.ends);
        } catch (const Error& error) {
          missing = text(", without files that could not be copied (", error.what(), ')');
        }
      }
      atomic_write_pieces(output.path() / "metrics.jsonl", metrics);
      output.commit();
      return text("what was trained is not lost: it is in ", output.target().string(), ", in float32", missing);
    } catch (const std::exception& error) {
      tried += text(tried.empty() ? "" : "; ", place.string(), ": ", error.what());
    }
  }
  return text("other places were tried and failed: ", tried);
}

/// Saves a trained model with what hands over its metrics.jsonl. Whatever fails, the run is not lost: the weights are
/// then in a second place that the SaveError names, or it says why none was found.
template <Backend B>
void save_trained(const PretrainedModel<B>& model, OutputFolder& output, const SaveChoice& choice,
                  const WriteText& metrics) {
  try {
    atomic_write_pieces(output.path() / "metrics.jsonl", metrics);
    if (choice.as_adapter) {
      write_adapter(model, output);
    } else {
      write_pretrained(model, output, choice.dtype);
      write_generation_ends(model, output.path(), choice.ends);
    }
    output.commit();
  } catch (const std::exception& error) {
    throw SaveError("finetune", output.target().string(),
                    text("expected to save the trained model there, got: ", error.what(), "; ",
                         rescue(model, output.target(), choice, metrics)));
  }
  if (choice.as_adapter && !choice.ends.empty()) {
    say(text("note: turns end with token ", choice.ends.front(),
             "; an adapter's folder does not say so, its model's generation_config.json may (eos_token_id)"));
  }
}

}  // namespace greentrainer::program
