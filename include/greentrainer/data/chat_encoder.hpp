#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/conversation.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/truncation.hpp"
#include "greentrainer/templates/chat_template.hpp"
#include "greentrainer/templates/python_text.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// An example made of a conversation.
struct ChatExample {
  std::optional<Example> example;  ///< nothing where the last answer does not fit
  bool truncated = false;
  Extent turns_dropped = 0;                 ///< messages that went whole
  std::vector<Index> end_of_turn_ids = {};  ///< special tokens that answers end with
};

/// Conversations as a model's chat template writes them, with loss on what the assistant says: where the template marks
/// it ({% generation %}), the tokens that transformers' assistant mask has; elsewhere what stands behind the text of
/// the messages before and the header of an answer, up to the end of the turn.
class ChatEncoder {
 public:
  /// The tokenizer must outlive this. Throws LoadError for a template that cannot be read, DataError for a model that
  /// has none.
  explicit ChatEncoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
    for (const auto& [name, source, jinja] : tokenizer.chat_templates())
      templates_.emplace_back(name, ChatTemplate(source, jinja));
    if (templates_.empty() && tokenizer.id("<|im_start|>"))
      templates_.emplace_back("default", ChatTemplate("ChatML", chatml));
    if (templates_.empty()) {
      throw DataError("data", "messages",
                      "expected a model with a chat template (chat_template.jinja), or with ChatML's tokens "
                      "(<|im_start|>), got neither; give prompt and completion instead");
    }
  }

  /// Whether the template of such a row reads a field of it or of its messages.
  bool reads(const Conversation& conversation, std::string_view field) const {
    return template_of(conversation).names(field);
  }

  /// A conversation as an example, cut to `max_tokens`. By turns: what stands behind the last answer goes first, since
  /// nothing learns from it, then exchanges from the front, and the template writes what is left; never what the system
  /// says in front, nor a question whose answer stays. Throws DataError for a conversation that the template refuses,
  /// and where something would have to be cut and may not.
  ChatExample example(const Conversation& conversation, Extent max_tokens, Truncation truncation) const {
    Encoded whole = encoded(conversation);
    ChatExample result;
    const auto fits = [&](const Encoded& candidate) {
      return static_cast<Extent>(candidate.example.input_ids.size()) <= max_tokens;
    };
    result.truncated = !fits(whole);
    if (result.truncated && truncation == Truncation::turns) {
      std::size_t end = conversation.messages.size();
      while (end > 0 && !conversation.is_answer(end - 1)) --end;
      const auto begins = conversation.start(end).exchanges();
      if (end == 0 || begins.empty()) return result;
      const auto without = [&](std::size_t exchanges) {
        return encoded(conversation.part(begins.front(), begins[exchanges], end));
      };
      std::size_t fewest = 0, most = begins.size() - 1;  // exchanges that go: the fewest that leave what fits
      while (fewest < most) {
        const std::size_t middle = fewest + (most - fewest) / 2;
        if (fits(without(middle)))
          most = middle;
        else
          fewest = middle + 1;
      }
      whole = without(fewest);
      if (!fits(whole)) return result;
      result.turns_dropped = static_cast<Extent>(conversation.messages.size() - end + begins[fewest] - begins.front());
    }
    cut_end(whole.example, max_tokens, truncation, "messages");
    result.end_of_turn_ids = std::move(whole.ends);
    if (!whole.example.input_ids.empty()) result.example = std::move(whole.example);
    return result;
  }

  /// A conversation as a prompt for its last answer, or, where somebody else has the last word, for the answer to that.
  /// Where it is too long, exchanges go from the front; what the system says in front, and the last question, never.
  DatasetRow prompt(const Conversation& conversation) const {
    const std::size_t last = conversation.messages.size() - 1;
    const bool answered = conversation.is_answer(last);
    DatasetRow row;
    row.is_rendered = true;
    const OrderedJson& answer = conversation.messages[last];
    if (answered && answer.contains("content") && answer["content"].is_string())
      row.references = {answer["content"].get<std::string>()};
    const Conversation asked = conversation.start(answered ? last : last + 1);
    row.prompt.push_back({.text = rendered(asked, true).text, .is_cut = false});
    const auto begins = asked.exchanges();
    for (std::size_t i = 1; i < begins.size(); ++i)
      row.shorter.push_back(rendered(asked.part(begins.front(), begins[i], asked.messages.size()), true).text);
    return row;
  }

 private:
  static constexpr std::string_view chatml =
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' "
      "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

  struct Encoded {
    Example example;
    std::vector<Index> ends;
  };

  /// As transformers chooses among several: one for tools where there are any, else the default.
  const ChatTemplate& template_of(const Conversation& conversation) const {
    const auto named = [&](std::string_view name) {
      return std::find_if(templates_.begin(), templates_.end(), [&](const auto& entry) { return entry.first == name; });
    };
    auto found = conversation.tools.is_null() ? templates_.end() : named("tool_use");
    if (found == templates_.end()) found = named("default");
    if (found == templates_.end()) {
      throw DataError("data", "messages",
                      text("expected a chat template that is the default, got ", templates_.size(), " others, as \"",
                           templates_.front().first, '"'));
    }
    return found->second;
  }

  RenderedChat rendered(const Conversation& conversation, bool add_generation_prompt) const {
    ChatInput input{.messages = conversation.messages,
                    .tools = conversation.tools,
                    .documents = conversation.documents,
                    .add_generation_prompt = add_generation_prompt};
    for (const auto& [name, content] : tokenizer_->special_tokens()) input.variables.emplace_back(name, content);
    input.variables.insert(input.variables.end(), conversation.variables.begin(), conversation.variables.end());
    return template_of(conversation).render(input);
  }

  Encoded encoded(const Conversation& conversation) const {
    const RenderedChat chat = rendered(conversation, false);
    const EncodedText tokens = tokenizer_->encode_with_offsets(chat.text);
    const bool marked = template_of(conversation).has_generation();
    const std::vector<ByteRange> answers = marked ? chat.generated : answers_of(conversation, chat.text, tokens);
    Encoded result;
    result.example.input_ids = tokens.ids;
    result.example.labels.assign(tokens.ids.size(), ignore_label);
    std::size_t first = 0;  // tokens come in the text's order, and so do answers
    for (const ByteRange& answer : answers) {
      while (first < tokens.ids.size() && tokens.offsets[first].end <= answer.begin) ++first;
      std::size_t last = first;
      while (last < tokens.ids.size() && tokens.offsets[last].begin < answer.end) ++last;
      if (!marked) last = behind_end_of_turn(chat.text, tokens, first, last);
      for (std::size_t t = first; t < last; ++t) result.example.labels[t] = tokens.ids[t];
      if (last > first && tokenizer_->is_special(tokens.ids[last - 1])) {
        const Index end = tokens.ids[last - 1];
        if (std::find(result.ends.begin(), result.ends.end(), end) == result.ends.end()) result.ends.push_back(end);
      }
    }
    return result;
  }

  /// The tokens [first, last) without blanks behind a special token: the line break behind a turn's end belongs to what
  /// comes next.
  std::size_t behind_end_of_turn(std::string_view text, const EncodedText& tokens, std::size_t first,
                                 std::size_t last) const {
    std::size_t end = last;
    while (end > first && is_blank(text, tokens, end - 1)) --end;
    return end > first && tokenizer_->is_special(tokens.ids[end - 1]) ? end : last;
  }

  /// The ranges of a text that the assistant's messages are, by the texts of the messages before each, and up to it.
  std::vector<ByteRange> answers_of(const Conversation& conversation, std::string_view whole,
                                    const EncodedText& tokens) const {
    std::vector<ByteRange> answers;
    for (std::size_t i = 0; i < conversation.messages.size(); ++i) {
      if (!conversation.is_answer(i)) continue;
      const std::size_t begin = begin_of_answer(conversation, i, whole);
      const std::size_t end = end_of_answer(conversation, i, whole, tokens, begin);
      if (end < begin || (!answers.empty() && begin < answers.back().end)) refuse(i);
      answers.push_back({begin, end});
    }
    return answers;
  }

  /// Behind the header of an answer; or, where the template writes another header before an answer that it knows, as
  /// where reasoning is to be opened, behind what the two have in common.
  std::size_t begin_of_answer(const Conversation& conversation, std::size_t message, std::string_view whole) const {
    const Conversation before = conversation.start(message);
    const std::string asked = rendered(before, true).text;
    auto same = static_cast<std::size_t>(std::mismatch(asked.begin(), asked.end(), whole.begin(), whole.end()).first -
                                         asked.begin());
    if (same == asked.size()) return same;
    while (same > 0 && same < whole.size() && templates::python::is_continuation(whole[same])) --same;
    const std::string said = rendered(before, false).text;
    if (!whole.starts_with(said) || same < said.size()) refuse(message);
    return same;
  }

  /// Where the text of all messages up to this one ends. Later messages may change that text: the last turn may end
  /// with another token than the others, or with one more; or, as where reasoning is left out of earlier answers, only
  /// the special token that ends a turn is the same.
  std::size_t end_of_answer(const Conversation& conversation, std::size_t message, std::string_view whole,
                            const EncodedText& tokens, std::size_t begin) const {
    if (message + 1 == conversation.messages.size()) return whole.size();
    const std::string said = rendered(conversation.start(message + 1), false).text;
    if (whole.starts_with(said)) return said.size();
    const EncodedText alone = tokenizer_->encode_with_offsets(said);
    if (const auto end = end_in_common(alone, said, tokens, whole, begin)) return *end;
    const std::size_t last = before_blanks(said, alone, alone.ids.size());
    if (last == 0 || !tokenizer_->is_special(alone.ids[last - 1])) refuse(message);
    for (std::size_t t = 0; t < tokens.ids.size(); ++t) {
      if (tokens.offsets[t].begin >= begin && tokens.ids[t] == alone.ids[last - 1]) return tokens.offsets[t].end;
    }
    refuse(message);
  }

  /// The number of tokens up to `end` without blanks at their end.
  std::size_t before_blanks(std::string_view text, const EncodedText& tokens, std::size_t end) const {
    while (end > 0 && is_blank(text, tokens, end - 1)) --end;
    return end;
  }
  bool is_blank(std::string_view text, const EncodedText& tokens, std::size_t t) const {
    const auto [begin, end] = tokens.offsets[t];
    return !tokenizer_->is_special(tokens.ids[t]) &&
           templates::python::strip(text.substr(begin, end - begin), {}, true, true).empty();
  }

  /// Where an answer ends whose text alone goes on with nothing but special tokens and blanks behind what it has in
  /// common with the whole: behind the special token in common, else behind the whole's next one.
  std::optional<std::size_t> end_in_common(const EncodedText& alone, std::string_view said, const EncodedText& tokens,
                                           std::string_view whole, std::size_t begin) const {
    const auto differs = std::mismatch(alone.ids.begin(), alone.ids.end(), tokens.ids.begin(), tokens.ids.end()).first;
    const auto same = static_cast<std::size_t>(differs - alone.ids.begin());
    for (std::size_t t = same; t < alone.ids.size(); ++t) {
      if (!tokenizer_->is_special(alone.ids[t]) && !is_blank(said, alone, t)) return std::nullopt;
    }
    const std::size_t last = before_blanks(whole, tokens, same);
    if (last > 0 && tokenizer_->is_special(tokens.ids[last - 1]) && tokens.offsets[last - 1].begin >= begin)
      return tokens.offsets[same - 1].end;
    if (same == tokens.ids.size() || !tokenizer_->is_special(tokens.ids[same])) return std::nullopt;
    return tokens.offsets[same].end;
  }

  [[noreturn]] static void refuse(std::size_t message) {
    throw DataError("data", "messages",
                    text("expected a chat template that writes the messages before number ", message + 1,
                         " alike with and without what follows, or one with {% generation %}, got another; what the "
                         "assistant says cannot be told apart"));
  }

  const Tokenizer* tokenizer_;
  std::vector<std::pair<std::string, ChatTemplate>> templates_;
};

}  // namespace greentrainer
