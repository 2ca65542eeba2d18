#pragma once

// reader: data/dataset_forms.hpp data/forms data/json_rows.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/data/dataset_forms.hpp"

namespace greentrainer::fuzz {

/// A data set's own form: the first byte says which, the file is what follows.
inline void dataset_forms(std::string_view input) {
  static const InputFolder folder;
  if (input.empty()) return;
  const auto& forms = greentrainer::dataset_forms;
  const auto form = static_cast<std::size_t>(static_cast<unsigned char>(input.front())) % forms.size();
  read_dataset(folder.write("rows", input.substr(1)), forms[form].name, {});
}

}  // namespace greentrainer::fuzz
