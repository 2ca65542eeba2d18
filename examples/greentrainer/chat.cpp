// greentrainer chat: a conversation with a model, a line of standard input after the other.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "generation.hpp"
#include "greentrainer/data/chat_encoder.hpp"
#include "greentrainer/data/prompt_encoder.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer chat --model smollm2-135m\n"
    "  greentrainer chat --model tuned --system 'You answer in one sentence.' --temperature 0.7 --top-p 0.9\n"
    "  printf 'Who are you?\\n/reset\\nAnd now?\\n' | greentrainer chat --model tuned\n"
    "Each line is a message; the answer is printed as it is made, and the model sees what was said before. /reset "
    "begins anew,\n"
    "  /exit ends, as does the end of the input. Of a conversation that outgrows the model's positions the oldest "
    "exchanges go, which is said.";

struct Options {
  std::string model, system, config;
  BackendChoice backend;
  GenerationChoice generation;
};

/// Prints a text as its tokens come: as much as later tokens leave as it is.
class StreamedText {
 public:
  explicit StreamedText(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  void add(Index id) {
    ids_.push_back(id);
    constexpr std::string_view unfinished = "\xEF\xBF\xBD";  // U+FFFD: bytes of a character whose others may follow
    std::string now = tokenizer_->decode(ids_);
    if (now.ends_with(unfinished) || !now.starts_with(text_)) return;
    print(std::move(now));
  }

  /// Prints what is left, and a line's end. Returns the whole.
  const std::string& finish() {
    std::string now = tokenizer_->decode(ids_);
    if (now.starts_with(text_)) print(std::move(now));
    std::cout << std::endl;
    return text_;
  }

 private:
  void print(std::string now) {
    std::cout << std::string_view(now).substr(text_.size()) << std::flush;
    text_ = std::move(now);
  }

  const Tokenizer* tokenizer_;
  std::vector<Index> ids_;
  std::string text_;  // what has been printed
};

/// What was said, and the model that answers.
template <Backend B>
class Chat {
 public:
  Chat(PretrainedModel<B>& model, const Options& options)
      : model_(&model), encoder_(encoder_of(model, options.model)), options_(options.generation.options) {
    seed_ = static_cast<std::uint64_t>(options.generation.seed);
    options_.eos_ids = eos_ids_of(model);
    if (!options.system.empty()) system_ = message("system", options.system);
    reset();
    add_ends_of_turns();
  }

  void reset() {
    conversation_ = {};
    if (!system_.is_null()) conversation_.messages.push_back(system_);
  }

  /// Prints the answer. Throws DataError for a message that the model cannot take, which is then forgotten.
  void say_and_answer(const std::string& said) {
    const Conversation before = conversation_;
    conversation_.messages.push_back(message("user", said));
    try {
      const std::vector<std::vector<Index>> prompts = {fitting_prompt()};
      options_.seed = seed_++;  // an answer's draws are its own
      StreamedText text(model_->tokenizer());
      Generator<B>(*model_, options_)(prompts, {}, [&](std::size_t, Index id) { text.add(id); });
      conversation_.messages.push_back(message("assistant", text.finish()));
    } catch (const DataError&) {
      conversation_ = before;
      throw;
    }
  }

 private:
  static OrderedJson message(const char* role, const std::string& content) {
    return {{"role", role}, {"content", content}};
  }

  static ChatEncoder encoder_of(const PretrainedModel<B>& model, const std::string& name) {
    if (model.facts().target_shift)
      throw ConfigError("chat", name, "expected a model that only decodes, got an encoder-decoder model");
    try {
      return ChatEncoder(model.tokenizer());
    } catch (const DataError&) {
      throw ConfigError("chat", name,
                        "expected a model with a chat template (chat_template.jinja, or chat_template in "
                        "tokenizer_config.json), got none; take a model that was trained on conversations, put its "
                        "template into the folder, or use generate");
    }
  }

  /// The tokens that the template ends an answer with.
  void add_ends_of_turns() {
    try {
      Conversation sample;
      sample.messages = {message("user", "a"), message("assistant", "b")};
      const ChatExample example = encoder_.example(sample, model_->facts().max_positions, Truncation::turns);
      for (const Index end : example.end_of_turn_ids) {
        if (!is_end(end, options_)) options_.eos_ids.push_back(end);
      }
    } catch (const DataError&) {
      // A template that does not say where an answer ends: the model's own ends are all there are.
    }
  }

  std::vector<Index> prompt() const {
    return PromptEncoder(model_->tokenizer(), 0, Truncation::turns).prompt(encoder_.prompt(conversation_), 0).ids;
  }

  /// The conversation as ids, without the oldest exchanges where the model has too few positions for it and an answer.
  std::vector<Index> fitting_prompt() {
    const Extent positions = model_->facts().max_positions, room = positions - options_.max_new_tokens + 1;
    std::vector<Index> ids = prompt();
    std::size_t dropped = 0;
    while (static_cast<Extent>(ids.size()) > room) {
      const auto begins = conversation_.exchanges();
      if (begins.size() < 2) {
        throw DataError("chat", "message",
                        text("expected at most ", std::max<Extent>(room, 0), " tokens, the model's ", positions,
                             " positions less ", options_.max_new_tokens, " for the answer, got ", ids.size(),
                             "; say less, or allow a shorter answer (--max-new-tokens)"));
      }
      conversation_ = conversation_.part(begins[0], begins[1], conversation_.messages.size());
      ids = prompt();
      ++dropped;
    }
    if (dropped > 0) {
      say(text("note: the conversation has outgrown the model's ", positions, " positions; its oldest ",
               dropped == 1 ? std::string("exchange is") : text(dropped, " exchanges are"), " forgotten"));
    }
    return ids;
  }

  PretrainedModel<B>* model_;
  ChatEncoder encoder_;
  GenerateOptions options_;
  std::uint64_t seed_ = 0;
  OrderedJson system_ = nullptr;
  Conversation conversation_;
};

template <Backend B>
int chat_on(B& backend, const Options& options) {
  auto model = load_model_or_adapter(std::filesystem::path(options.model), backend);
  Chat<B> chat(model, options);
  say_settings_not_followed(model);
  say_if_not_native();
  const bool at_terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  const auto next_line = [&](std::string& line) {
    if (at_terminal) std::cout << "> " << std::flush;
    return static_cast<bool>(std::getline(std::cin, line));
  };
  for (std::string line; next_line(line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line == "/exit") break;
    if (line == "/reset") chat.reset();
    if (line.empty() || line == "/reset") continue;
    try {
      chat.say_and_answer(line);
    } catch (const DataError& error) {
      if (!at_terminal) throw;
      say(error.what());  // what was said before stays
    }
    if (!std::cout) break;  // nobody reads any more
  }
  if (at_terminal) std::cout << std::endl;
  return 0;
}

void check(const Command& command, Options& options) {
  command.require("model");
  check_generation(command, options.generation);
  check_backend(command, options.backend);
}

int run(const Options& options) {
  return with_backend(options.backend, [&](auto& backend) { return chat_on(backend, options); });
}

}  // namespace

Command make_chat_command() {
  const auto options = std::make_shared<Options>();
  options->generation.options.max_new_tokens = 256;
  Command command("chat", "A conversation with a model, line by line", examples);
  command.text(
      "model", options->model, "DIR",
      "Model folder in Hugging Face form (safetensors), a GGUF file, or an adapter's folder, as peft saves it");
  command.text("system", options->system, "TEXT", "What the model is told in front of the conversation");
  declare_sampling(command, options->generation);
  declare_backend(command, options->backend);
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
