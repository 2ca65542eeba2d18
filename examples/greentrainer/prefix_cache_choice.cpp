#include "prefix_cache_choice.hpp"

#include "option_values.hpp"

namespace greentrainer::program {

void PrefixCacheChoice::declare(Command& command) {
  command.choice("prefix-cache", mode, {"off", "memory", "disk"},
                 "Keep the values at the upper end of the frozen part of the model for each example, in memory or in a "
                 "file, instead of running that part again (off)");
  command.text("prefix-cache-limit", limit, "BYTES",
               "Of that cache; examples that do not fit are computed each time (4GiB)");
  command.choice("prefix-cache-type", type, {"float32", "bfloat16"},
                 "Of the values in that cache: float32 changes no result, bfloat16 takes half the bytes (float32)");
}

void PrefixCacheChoice::declare_folder(Command& command) {
  command.text("prefix-cache-folder", folder, "DIR",
               "disk: where the file lies, without a name; it is gone when the run ends (the folder that --output is "
               "in)");
}

void PrefixCacheChoice::check(const Command& command) const {
  if (mode == "off") {
    for (const char* name : {"prefix-cache-limit", "prefix-cache-type"})
      command.refuse(name, "prefix-cache", "--prefix-cache off");
  }
  if (mode != "disk" && command.find("prefix-cache-folder") != nullptr)
    command.refuse("prefix-cache-folder", "prefix-cache", "--prefix-cache " + mode);
  parse_bytes("--prefix-cache-limit", limit, command.name());
}

void PrefixCacheChoice::set(FitOptions& options, const std::string& otherwise) const {
  options.prefix_cache = mode == "off"      ? PrefixCacheMode::off
                         : mode == "memory" ? PrefixCacheMode::memory
                                            : PrefixCacheMode::disk;
  options.prefix_cache_limit = parse_bytes("--prefix-cache-limit", limit);
  options.prefix_cache_type = parse_dtype(type);
  options.prefix_cache_folder = folder.empty() ? otherwise : folder;
}

}  // namespace greentrainer::program
