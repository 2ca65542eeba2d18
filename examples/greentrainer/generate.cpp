// greentrainer generate: what a model says to a prompt, or to those of a file.

#include <iostream>
#include <memory>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "generation.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer generate --model smollm2-135m --prompt 'The capital of France is'\n"
    "  greentrainer generate --model tuned --data test.jsonl --dataset scitldr --beams 4 --repetition-penalty 2.5 "
    "--early-stopping --json\n"
    "  greentrainer generate --model tuned --prompt 'Once upon a time' --temperature 0.8 --top-p 0.95 --seed 1\n"
    "Options are those of transformers' generate, and so is the text: the most probable token each time, the best of "
    "several beams, or tokens that "
    "are\n"
    "  drawn. Encoder-decoder models read the prompt as their source. Data: JSON lines with \"prompt\" or "
    "\"messages\", or a data set's own form.";

struct Options {
  std::string model, prompt, data, config;
  BackendChoice backend;
  DataChoice choice;
  GenerationChoice generation;
  bool json = false;
};

template <Backend B>
int generate_on(B& backend, const Options& options) {
  const bool from_file = !options.data.empty();
  auto model = load_model_or_adapter(std::filesystem::path(options.model), backend);
  Prompts prompts;
  if (from_file)
    prompts = load_prompts(options.data, model.tokenizer(), model.facts(), options.choice,
                           options.generation.options.max_new_tokens);
  else
    prompts.ids = {prompt_ids(model, options.prompt)};
  say_if_not_native();
  const GeneratedTexts result = generate_texts(model, prompts.ids, options.generation);
  if (options.json) {
    OrderedJson json = {{"generations", OrderedJson::array()},
                        {"prompt_tokens", result.prompt_tokens},
                        {"new_tokens", result.new_tokens},
                        {"seconds", result.seconds},
                        {"tokens_per_second", result.tokens_per_second()}};
    if (from_file) {
      json["rows_truncated"] = prompts.rows_truncated;
      json["ignored_keys"] = prompts.ignored_keys;
    }
    for (std::size_t i = 0; i < result.texts.size(); ++i)
      json["generations"].push_back(result.json(i, prompts.ids, prompts.lines));
    print_json(json);
    return 0;
  }
  for (std::size_t i = 0; i < result.texts.size(); ++i) {
    if (from_file) std::cout << "line " << prompts.lines[i] << ": ";
    std::cout << result.texts[i] << "\n";
  }
  say(text(result.new_tokens, " tokens in ", fixed(result.seconds, 2), " s, ", fixed(result.tokens_per_second(), 1),
           " tokens/s"));
  return 0;
}

void check(const Command& command, Options& options) {
  command.require("model");
  const std::string_view chosen = command.either("prompt", "data");
  if (chosen.empty()) bad_usage("generate", "--prompt: expected one of --prompt and --data, got neither");
  if (chosen == "prompt") {
    options.data.clear();
    for (const char* name : {"dataset", "rows", "max-tokens", "truncation", "batch-size"})
      command.refuse(name, "prompt", "--prompt");
  }
  check_generation(command, options.generation);
  check_backend(command, options.backend);
}

int run(const Options& options) {
  return with_backend(options.backend, [&](auto& backend) { return generate_on(backend, options); });
}

}  // namespace

Command make_generate_command() {
  const auto options = std::make_shared<Options>();
  Command command("generate", "Text that a model goes on with", examples);
  command.text(
      "model", options->model, "DIR",
      "Model folder in Hugging Face form (safetensors), a GGUF file, or an adapter's folder, as peft saves it");
  command.text("prompt", options->prompt, "TEXT", "What the model goes on with");
  command.text("data", options->data, "FILE", "Prompts or conversations, JSON lines");
  declare_rows(command, "rows", options->choice.rows,
               "Rows of --data to use: the first so many, or those from FROM, counted from 0, to before TO (all)");
  declare_data(command, options->choice);
  command.whole("batch-size", options->generation.options.batch_size, 1, "Prompts at a time (8)", 1 << 16);
  declare_generation(command, options->generation);
  declare_backend(command, options->backend);
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
