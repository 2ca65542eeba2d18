// greentrainer export: a model's folder as a GGUF file, for llama.cpp and what is built on it.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_gguf.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer export --model tuned --output tuned.gguf\n"
    "  greentrainer export --model tuned --output tuned-q8_0.gguf --format q8_0\n"
    "What is written is what llama.cpp's converter writes: norms and biases in float32, all else in --format. What the "
    "file cannot\n"
    "  say is refused or named. An adapter is merged by finetune --adapter-output merged.";

struct Options {
  std::string model, output, format = "f16", name, config;
  bool overwrite = false, json = false;
};

const StorageFormat* format_of(const std::string& name) {
  std::string upper = name;
  std::ranges::transform(upper, upper.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return find_storage_format(upper);
}

/// A folder stays a folder, and only what was asked for is replaced.
void expect_place(const Options& options) {
  std::error_code error;
  const auto status = std::filesystem::status(options.output, error);
  if (!std::filesystem::exists(status)) return;
  if (!std::filesystem::is_regular_file(status)) {
    throw SaveError(
        "export", options.output,
        text("expected the name of a file, got ", std::filesystem::is_directory(status) ? "a folder" : "something else",
             "; choose another output"));
  }
  if (std::filesystem::equivalent(options.output, options.model, error))
    throw SaveError("export", options.output, "expected another file than the model itself; choose another output");
  if (!options.overwrite) {
    throw SaveError("export", options.output,
                    "expected nothing there, got a file; choose another output, or replace it (--overwrite)");
  }
}

int run(const Options& options) {
  expect_place(options);
  const SavedGguf saved =
      save_gguf(options.model, options.output, {.format = format_of(options.format), .name = options.name});
  for (const std::string& notice : saved.notices) say("note: " + notice);
  if (options.json) {
    print_json({{"output", options.output},
                {"format", options.format},
                {"architecture", saved.architecture},
                {"pre_tokenizer", saved.pre_tokenizer},
                {"tensors", saved.tensors},
                {"bytes", saved.bytes},
                {"notices", saved.notices}});
    return 0;
  }
  std::cout << options.output << ": architecture " << saved.architecture << ", " << saved.tensors << " tensors, "
            << bytes_text(saved.bytes) << " in " << options.format << "\n";
  return 0;
}

}  // namespace

Command make_export_command() {
  const auto options = std::make_shared<Options>();
  Command command("export", "A model as a GGUF file, which llama.cpp reads", examples);
  command.text("model", options->model, "DIR", "Model folder in Hugging Face form (safetensors), or a GGUF file");
  command.text("output", options->output, "FILE", "The file to write");
  command.choice("format", options->format, {"f32", "f16", "bf16", "q8_0"}, "Of the weights in the file (f16)");
  command.text("name", options->name, "TEXT", "What the file calls the model (the folder's name)");
  command.on("overwrite", options->overwrite, "Replace --output if it is there");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [](const Command& self) {
    self.require("model");
    self.require("output");
  };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
