#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace greentrainer::templates {

class Value;

/// A string. `markup`: what `safe` or `escape` made, which escapes the strings that are added to it.
struct Text {
  std::string bytes;  ///< UTF-8
  bool markup = false;
};

/// What can be looped over. All are immutable, but for a generator, which gives its items once.
struct Sequence {
  enum class Kind { list, tuple, range, view, generator };
  Kind kind = Kind::list;
  std::vector<Value> items;
  std::size_t depth = 1;  ///< of what is in it, so that nothing that walks it recurses without a bound
  mutable bool consumed = false;
};

/// Keeps the order of its keys.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::size_t depth = 1;

  /// Null where there is none.
  const Value* find(std::string_view key) const;
};

struct Namespace;
struct Loop;
struct MacroNode;
struct Scope;

/// What can be called: a macro with the scope it was defined in, a method of a value, or a function by name.
struct Function {
  enum class Kind { macro, caller, method, global };
  Kind kind = Kind::global;
  std::string name;
  std::shared_ptr<const Value> self = nullptr;
  const MacroNode* macro = nullptr;
  Scope* scope = nullptr;
};

struct Undefined {
  bool operator==(const Undefined&) const = default;
};
struct None {
  bool operator==(const None&) const = default;
};

/// A value of a template, with Python's meaning. What can refer to itself (namespaces, loops, scopes) belongs to the
/// renderer, and values point to it.
class Value {
 public:
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
                            std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                            std::shared_ptr<const Function>, Namespace*, Loop*>;

  Value() = default;
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string bytes, bool markup = false) : data_(std::make_shared<const Text>(Text{std::move(bytes), markup})) {}
  Value(std::string_view bytes) : Value(std::string(bytes)) {}
  Value(const char* bytes) : Value(std::string(bytes)) {}
  Value(std::shared_ptr<const Sequence> sequence) : data_(std::move(sequence)) {}
  Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<const Function> function) : data_(std::move(function)) {}
  Value(Namespace* space) : data_(space) {}
  Value(Loop* loop) : data_(loop) {}

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  const Text* text() const { return shared<Text>(); }
  const Sequence* sequence() const { return shared<Sequence>(); }
  const Dict* dict() const { return shared<Dict>(); }
  const Function* function() const { return shared<Function>(); }

  /// Whether it is a whole number; Python's booleans are.
  bool is_integer() const { return get<std::int64_t>() != nullptr || get<bool>() != nullptr; }
  bool is_number() const { return is_integer() || get<double>() != nullptr; }
  std::int64_t integer() const { return get<bool>() != nullptr ? (*get<bool>() ? 1 : 0) : *get<std::int64_t>(); }
  double number() const { return get<double>() != nullptr ? *get<double>() : static_cast<double>(integer()); }

  const Data& data() const { return data_; }

  /// Python's name of its type, for errors.
  const char* type_name() const {
    static constexpr const char* names[] = {"undefined", "None",     "bool",      "int",  "float",  "str",   "",
                                            "dict",      "function", "namespace", "loop", "cycler", "joiner"};
    if (const Sequence* items = sequence()) {
      static constexpr const char* kinds[] = {"list", "tuple", "range", "view of a dict", "generator"};
      return kinds[static_cast<std::size_t>(items->kind)];
    }
    return names[data_.index()];
  }

 private:
  template <class T>
  const T* shared() const {
    const auto* pointer = get<std::shared_ptr<const T>>();
    return pointer == nullptr ? nullptr : pointer->get();
  }

  Data data_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;

  Value* find(std::string_view name) {
    for (auto& [key, value] : attributes) {
      if (key == name) return &value;
    }
    return nullptr;
  }
};

/// The `loop` of a for statement.
struct Loop {
  std::vector<Value> items;
  std::size_t index = 0;  ///< from 0
  std::size_t depth = 0;
  const void* statement = nullptr;  ///< the for statement, where it is recursive
  Scope* scope = nullptr;           ///< the scope around it
  std::vector<Value> changed = {};
  bool has_changed_before = false;
};

inline const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (const Text* text = name.text(); text != nullptr && text->bytes == key) return &value;
  }
  return nullptr;
}

inline bool is_true(const Value& value) {
  return std::visit(
      [](const auto& data) {
        using T = std::decay_t<decltype(data)>;
        if constexpr (std::is_same_v<T, Undefined> || std::is_same_v<T, None>)
          return false;
        else if constexpr (std::is_arithmetic_v<T>)
          return data != T{};
        else if constexpr (std::is_same_v<T, std::shared_ptr<const Text>>)
          return !data->bytes.empty();
        else if constexpr (std::is_same_v<T, std::shared_ptr<const Sequence>>)
          return data->kind == Sequence::Kind::generator || !data->items.empty();
        else if constexpr (std::is_same_v<T, std::shared_ptr<const Dict>>)
          return !data->entries.empty();
        else
          return true;
      },
      value.data());
}

}  // namespace greentrainer::templates
