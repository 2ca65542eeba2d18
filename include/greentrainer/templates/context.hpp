#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/templates/value.hpp"

namespace greentrainer::templates {

/// What a template may take for one text, and where it stands: templates are untrusted. One object goes through all of
/// a rendering. All limits are DataErrors that name file and line.
class Context {
 public:
  /// `source`: the template's file. `input`: bytes of the conversation. Both limits are linear in it.
  Context(std::string_view source, std::size_t input, std::time_t now)
      : source_(source),
        now_(now),
        steps_left_(fewest_steps + std::uint64_t{input} * steps_per_byte),
        most_bytes_(fewest_bytes + input * times) {}

  std::time_t now() const { return now_; }
  void at_line(std::size_t line) { line_ = line; }
  std::size_t line() const { return line_; }

  /// `construct`: the filter, test, method or statement.
  [[noreturn]] void fail(std::string_view construct, std::string_view detail) const {
    throw DataError("chat_template", text(source_, ", line ", line_, ", ", construct), detail);
  }

  /// A step is the evaluation of a node, or 16 bytes.
  void spend(std::uint64_t steps) {
    if (steps > steps_left_)
      fail("rendering", "expected fewer steps for a conversation of this size, got more; does the template loop?");
    steps_left_ -= steps;
  }

  /// To be called before a text, or a list of items, of that size is made.
  void make(std::size_t bytes) {
    if (bytes > most_bytes_)
      fail("rendering", greentrainer::text("expected at most ", most_bytes_, " bytes of text, got ", bytes));
    spend(bytes / bytes_per_step + 1);
  }

  Value text_value(std::string bytes, bool markup = false) {
    make(bytes.size());
    return Value(std::move(bytes), markup);
  }

  Value sequence(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::list) {
    make(items.size() * sizeof(Value));
    std::size_t depth = 0;
    for (const Value& item : items) depth = std::max(depth, depth_of(item));
    return std::make_shared<const Sequence>(Sequence{kind, std::move(items), checked_depth(depth + 1)});
  }

  Value dict(std::vector<std::pair<Value, Value>> entries) {
    make(entries.size() * 2 * sizeof(Value));
    std::size_t depth = 0;
    for (const auto& [key, value] : entries) depth = std::max({depth, depth_of(key), depth_of(value)});
    return std::make_shared<const Dict>(Dict{std::move(entries), checked_depth(depth + 1)});
  }

  /// Counts evaluations that are in each other: the machine's stack is finite.
  class Depth {
   public:
    explicit Depth(Context& context) : context_(context) {
      if (++context_.depth_ > deepest)
        context_.fail("rendering", "expected less recursion, got more; does a macro call itself without an end?");
    }
    ~Depth() { --context_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Context& context_;
  };

 private:
  static constexpr std::uint64_t fewest_steps = std::uint64_t{1} << 24, steps_per_byte = 64;
  static constexpr std::size_t fewest_bytes = std::size_t{1} << 22, times = 16, bytes_per_step = 16;
  static constexpr std::size_t deepest = 1000, deepest_value = 200;

  static std::size_t depth_of(const Value& value) {
    if (const Sequence* items = value.sequence()) return items->depth;
    if (const Dict* entries = value.dict()) return entries->depth;
    if (const Function* function = value.function()) return function->self ? 1 + depth_of(*function->self) : 0;
    return 0;
  }
  std::size_t checked_depth(std::size_t depth) const {
    if (depth > deepest_value)
      fail("value", greentrainer::text("expected lists nested at most ", deepest_value, " deep, got more"));
    return depth;
  }

  std::string source_;
  std::time_t now_;
  std::uint64_t steps_left_;
  std::size_t most_bytes_;
  std::size_t line_ = 1;
  std::size_t depth_ = 0;
};

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;

  /// The arguments by the names of the parameters, undefined where they are not given: as a Python function binds them.
  std::vector<Value> bind(const Context& context, std::string_view construct,
                          std::initializer_list<std::string_view> names) const {
    std::vector<Value> result(names.size());
    std::vector<bool> given(names.size());
    if (positional.size() > names.size())
      context.fail(construct, text("expected at most ", names.size(), " arguments, got ", positional.size()));
    for (std::size_t i = 0; i < positional.size(); ++i) {
      result[i] = positional[i];
      given[i] = true;
    }
    for (const auto& [name, value] : keyword) {
      const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
      if (at == names.size() || given[at])
        context.fail(construct, text("expected no argument \"", name, "\", or it once, got it"));
      result[at] = value;
      given[at] = true;
    }
    return result;
  }
};

}  // namespace greentrainer::templates
