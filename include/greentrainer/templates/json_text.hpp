#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/context.hpp"
#include "greentrainer/templates/operations.hpp"
#include "greentrainer/templates/python_text.hpp"

namespace greentrainer::templates {

/// Python's json.dumps with the arguments that transformers' `tojson` has.
class JsonText {
 public:
  struct Options {
    bool ascii = false;
    bool sorted = false;
    std::optional<std::string> indent = {};
    std::string item_separator = ", ";
    std::string key_separator = ": ";
  };

  JsonText(Context& context, Options options) : context_(context), options_(std::move(options)) {}

  /// Throws DataError for what JSON has not.
  std::string of(const Value& value) {
    append(value, "\n");
    return std::move(out_);
  }

 private:
  void append(const Value& value, const std::string& line) {
    context_.spend(1);
    const Sequence* items = value.sequence();
    if (const Text* text = value.text()) {
      context_.make(text->bytes.size());
      out_ += python::json_quoted(text->bytes, options_.ascii);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (const bool* flag = value.get<bool>()) {
      out_ += *flag ? "true" : "false";
    } else if (value.is_number()) {
      out_ += number(value);
    } else if (const Dict* dict = value.dict()) {
      append_dict(*dict, line);
    } else if (items != nullptr && items->kind <= Sequence::Kind::tuple) {
      list('[', ']', items->items.size(), line,
           [&](std::size_t i, const std::string& inner) { append(items->items[i], inner); });
    } else {
      context_.fail("filter tojson", greentrainer::text("expected a value that JSON has, got ", value.type_name()));
    }
    context_.make(out_.size() / 64);
  }

  std::string number(const Value& value) const {
    if (value.is_integer()) return std::to_string(value.integer());
    std::string text = python::float_text(value.number());
    if (text == "nan") return "NaN";
    if (text.ends_with("inf")) return text.front() == '-' ? "-Infinity" : "Infinity";
    return text;
  }

  void append_dict(const Dict& dict, const std::string& line) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (options_.sorted) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto* a, const auto* b) { return compare(context_, a->first, b->first) < 0; });
    }
    list('{', '}', entries.size(), line, [&](std::size_t i, const std::string& inner) {
      out_ += python::json_quoted(key(entries[i]->first), options_.ascii);
      out_ += options_.key_separator;
      append(entries[i]->second, inner);
    });
  }

  std::string key(const Value& value) const {
    if (const Text* text = value.text()) return text->bytes;
    if (value.is_none()) return "null";
    if (const bool* flag = value.get<bool>()) return *flag ? "true" : "false";
    if (value.is_number()) return number(value);
    context_.fail("filter tojson", greentrainer::text("expected a key that JSON has, got ", value.type_name()));
  }

  template <class Item>
  void list(char open, char close, std::size_t size, const std::string& line, Item item) {
    out_ += open;
    const std::string inner = options_.indent && size > 0 ? line + *options_.indent : "";
    for (std::size_t i = 0; i < size; ++i) {
      if (i > 0) out_ += options_.item_separator;
      context_.make(inner.size());
      out_ += inner;
      item(i, inner);
    }
    if (options_.indent && size > 0) out_ += line;
    out_ += close;
  }

  Context& context_;
  Options options_;
  std::string out_;
};

}  // namespace greentrainer::templates
