// greentrainer compare: whether another backend computes what the CPU does, kernel by kernel and tensor by tensor.

#include <iostream>
#include <memory>
#include <sstream>

#include "backend_comparison.hpp"
#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/io/json.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer compare --model opt-125m --data validation.jsonl\n"
    "  greentrainer compare --model opt-125m --data validation.jsonl --precision bfloat16 --json\n"
    "Every kernel of two training steps runs on both backends with the CPU's operands; then both make loss, logits and "
    "gradients by themselves.\n"
    "Exit status 1 if a difference is larger than rounding explains.";

struct Options {
  std::string model, data, config;
  BackendChoice backend{.name = "cuda"};
  Extent batch_size = 4;
  DataChoice choice;
  bool json = false;
};

std::string scientific(double value) {
  std::ostringstream out;
  out.precision(2);
  out << std::scientific << value;
  return out.str();
}

OrderedJson json_of(const BackendComparison& comparison) {
  OrderedJson json = {{"reference", comparison.reference},
                      {"other", comparison.other},
                      {"agrees", comparison.agrees()},
                      {"kernels", OrderedJson::array()},
                      {"tensors", OrderedJson::array()}};
  for (const auto& [kernel, d] : comparison.kernels) {
    json["kernels"].push_back({{"name", kernel},
                               {"calls", d.calls},
                               {"absolute", d.absolute},
                               {"relative", d.relative},
                               {"share_of_tolerance", d.excess},
                               {"agrees", d.excess <= 1},
                               {"where", d.where}});
  }
  for (const TensorDifference& d : comparison.tensors) {
    json["tensors"].push_back({{"name", d.name},
                               {"absolute", d.absolute},
                               {"element", d.where},
                               {"relative", d.relative},
                               {"tolerance", d.tolerance},
                               {"agrees", d.agrees()}});
  }
  return json;
}

void print(const BackendComparison& comparison) {
  std::cout << "reference: " << comparison.reference << "\nother: " << comparison.other << "\n\n";
  std::vector<std::vector<std::string>> rows = {
      {"kernel", "calls", "largest difference", "relative", "of tolerance", ""}};
  for (const auto& [kernel, d] : comparison.kernels) {
    rows.push_back({kernel, text(d.calls), scientific(d.absolute), scientific(d.relative),
                    fixed(100 * d.excess, 1) + " %", d.excess <= 1 ? "" : "!"});
  }
  print_table(rows);
  for (const auto& [kernel, d] : comparison.kernels) {
    if (d.excess > 1) std::cout << kernel << ": " << d.where << "\n";
  }
  rows = {{"tensor", "largest difference", "at element", "relative", "tolerance", ""}};
  for (const TensorDifference& d : comparison.tensors) {
    rows.push_back({d.name, scientific(d.absolute), text(d.where), scientific(d.relative), scientific(d.tolerance),
                    d.agrees() ? "" : "!"});
  }
  std::cout << "\n";
  print_table(rows);
  std::cout << (comparison.agrees() ? "They agree: no difference is larger than rounding explains.\n"
                                    : "They do not agree: see the lines marked !\n");
}

void check(const Command& command, const Options& options) {
  command.require("model");
  command.require("data");
  check_backend_name(command, options.backend.name);
  if (options.backend.name == "eigen")
    bad_usage("compare", "--backend: expected another backend than the CPU's, got eigen");
}

int run(const Options& options) {
  return with_cuda(options.backend, [&](auto& other) {
    EigenBackend<float> reference;
    const auto model = load_pretrained(std::filesystem::path(options.model), reference);
    Dataset data =
        load_data(options.data, model.has_tokenizer() ? &model.tokenizer() : nullptr, model.facts(), options.choice);
    if (data.examples.size() > static_cast<std::size_t>(options.batch_size))
      data.examples.resize(static_cast<std::size_t>(options.batch_size));
    const BackendComparison comparison =
        compare_backends(reference, other, options.model, data.examples, tolerance_of(options.backend.precision));
    if (options.json)
      print_json(json_of(comparison));
    else
      print(comparison);
    return comparison.agrees() ? 0 : 1;
  });
}

}  // namespace

Command make_compare_command() {
  const auto options = std::make_shared<Options>();
  Command command("compare", "Whether another backend computes what the CPU does", examples);
  command.text("model", options->model, "DIR", "Model folder in Hugging Face form (safetensors), or a GGUF file");
  command.text("data", options->data, "FILE", "Data, JSON lines; the first --batch-size rows are used");
  command.whole("batch-size", options->batch_size, 1, "Rows (4)", 1 << 16);
  declare_data(command, options->choice);
  declare_target_tokens(command, options->choice);
  declare_packing(command, options->choice);
  command.text("backend", options->backend.name, "NAME", "What is compared with the CPU: cuda, an NVIDIA GPU (cuda)");
  declare_device(command, options->backend);
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
