#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer {

// The fields of what is saved of a run are listed once, in functions `fields(archive, value)` that call
// archive(name, member) for each. An archive writes them, or reads them back from a file that nobody vouches for.

/// Writes fields as a JSON object, as Json::dump would, but piece by piece: a run may have made very many steps.
/// Numbers read back as they were, to the bit. What the fields are of must live until it is written.
class StateWriter {
 public:
  template <class T>
  void operator()(const char* name, T& value) {
    members_[name] = [&value](const TextSink& sink) { write(sink, value); };
  }
  /// A list of records as one list for each of their fields.
  template <class T>
  void columns(const char* name, std::vector<T>& records) {
    members_[name] = [&records](const TextSink& sink) { write_columns(sink, records); };
  }

  void write(const TextSink& sink) const {
    write_object(sink, members_, [&](const auto& member) { member(sink); });
  }

  template <class T>
  static void write(const TextSink& sink, const T& value) {
    sink(text_of(json_of(value)));
  }
  template <class T>
  static void write(const TextSink& sink, const std::vector<T>& list) {
    write_list(sink, list.size(), [&](std::size_t i) { return json_of(list[i]); });
  }
  template <class T>
  requires requires(StateWriter& archive, T& value) { fields(archive, value); }
  static void write(const TextSink& sink, const T& value) {
    StateWriter archive;
    fields(archive, const_cast<T&>(value));  // a writer reads alone
    archive.write(sink);
  }
  template <class T>
  requires requires(StateWriter& archive, T& value) { fields(archive, value); }
  static void write(const TextSink& sink, const std::vector<T>& list) {
    sink("[");
    for (const T& item : list) {
      if (&item != list.data()) sink(",");
      write(sink, item);
    }
    sink("]");
  }

 private:
  static Json json_of(double number) {
    if (std::isfinite(number)) return number;
    return std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf";  // JSON has no such numbers
  }
  static Json json_of(bool value) { return value; }
  static Json json_of(std::int64_t number) { return number; }
  static Json json_of(std::size_t number) { return number; }
  static Json json_of(const std::string& value) { return value; }
  template <class T>
  static Json json_of(const std::optional<T>& value) {
    return value ? json_of(*value) : Json();
  }
  template <class T>
  static Json json_of(const std::map<std::string, T>& map) {
    Json json = Json::object();
    for (const auto& [key, value] : map) json[key] = json_of(value);
    return json;
  }
  static std::string text_of(const Json& json) { return json.dump(-1, ' ', true, Json::error_handler_t::replace); }

  /// An object by its members, and what writes the value of one.
  template <class Member, class Write>
  static void write_object(const TextSink& sink, const std::map<std::string, Member>& members, const Write& write) {
    sink("{");
    bool is_first = true;
    for (const auto& [name, member] : members) {
      sink((std::exchange(is_first, false) ? "\"" : ",\"") + name + "\":");
      write(member);
    }
    sink("}");
  }
  /// A list of so many values, some at a time.
  template <class Value>
  static void write_list(const TextSink& sink, std::size_t count, const Value& value) {
    constexpr std::size_t piece = 1024;
    sink("[");
    for (std::size_t first = 0; first < count; first += piece) {
      Json items = Json::array();
      for (std::size_t i = first; i < std::min(count, first + piece); ++i) items.push_back(value(i));
      const std::string in_brackets = text_of(items);
      if (first > 0) sink(",");
      sink(std::string_view(in_brackets).substr(1, in_brackets.size() - 2));
    }
    sink("]");
  }
  template <class T>
  static void write_columns(const TextSink& sink, std::vector<T>& records) {
    std::map<std::string, std::size_t> names;  // of fields, and which they are
    const auto note = [&names](const char* field, auto&) { names.emplace(field, names.size()); };
    if (!records.empty()) fields(note, records.front());
    write_object(sink, names, [&](std::size_t which) {
      write_list(sink, records.size(), [&](std::size_t i) {
        Json found;
        std::size_t field = 0;
        const auto pick = [&](const char*, auto& value) {
          if (field++ == which) found = json_of(value);
        };
        fields(pick, records[i]);
        return found;
      });
    });
  }

  std::map<std::string, std::function<void(const TextSink&)>> members_;  // in the order of JSON objects
};

/// Reads fields of a JSON object. Throws LoadError naming file and field for one that is not there, or not what it
/// should be; whole numbers are never negative.
class StateReader {
 public:
  StateReader(const Json& json, std::string source) : json_(&json), source_(std::move(source)) {
    if (!json.is_object()) fail("an object", json);
  }

  template <class T>
  void operator()(const char* name, T& value) {
    read(find(name), source_of(name), value);
  }
  template <class T>
  void columns(const char* name, std::vector<T>& records) {
    const StateReader lists(find(name), source_of(name));
    records.clear();
    if (lists.json_->empty()) return;
    const std::size_t count = lists.json_->begin()->size();
    for (const Json& list : *lists.json_) {
      if (!list.is_array() || list.size() != count) lists.fail("lists of one length", list);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto take = [&lists, i](const char* field, auto& value) {
        read(lists.find(field)[i], lists.source_of(field), value);
      };
      fields(take, records.emplace_back());
    }
  }

 private:
  const Json& find(const char* name) const {
    const auto found = json_->find(name);
    if (found == json_->end())
      throw LoadError("load", source_of(name), "expected it, got nothing; is the file damaged?");
    return *found;
  }
  std::string source_of(const char* name) const {
    if (source_.ends_with('"')) return text(source_.substr(0, source_.size() - 1), '.', name, '"');
    return text(source_, ", field \"", name, '"');
  }

  [[noreturn]] void fail(const char* expected, const Json& got) const { fail(source_, expected, got); }
  [[noreturn]] static void fail(const std::string& source, const char* expected, const Json& got) {
    throw LoadError(
        "load", source,
        text("expected ", expected, ", got ", got.dump(-1, ' ', true).substr(0, 60), "; is the file damaged?"));
  }

  static void read(const Json& json, const std::string& source, double& number) {
    if (json.is_number()) {
      number = json.get<double>();
    } else if (json == "nan") {
      number = std::numeric_limits<double>::quiet_NaN();
    } else if (json == "inf" || json == "-inf") {
      number = json == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
    } else {
      fail(source, "a number", json);
    }
  }
  static void read(const Json& json, const std::string& source, bool& value) {
    if (!json.is_boolean()) fail(source, "true or false", json);
    value = json.get<bool>();
  }
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) static void read(const Json& json,
                                                                               const std::string& source, T& number) {
    if (!json.is_number_unsigned() || !std::in_range<std::int64_t>(json.get<std::uint64_t>()))
      fail(source, "a whole number from 0 to 2^63 - 1", json);
    number = static_cast<T>(json.get<std::uint64_t>());
  }
  static void read(const Json& json, const std::string& source, std::string& value) {
    if (!json.is_string()) fail(source, "a text", json);
    value = json.get<std::string>();
  }
  template <class T>
  static void read(const Json& json, const std::string& source, std::optional<T>& value) {
    value.reset();
    if (!json.is_null()) read(json, source, value.emplace());
  }
  template <class T>
  static void read(const Json& json, const std::string& source, std::vector<T>& list) {
    if (!json.is_array()) fail(source, "a list", json);
    list.clear();
    for (const Json& item : json) read(item, source, list.emplace_back());
  }
  template <class T>
  static void read(const Json& json, const std::string& source, std::map<std::string, T>& map) {
    if (!json.is_object()) fail(source, "an object", json);
    map.clear();
    for (const auto& [key, item] : json.items()) read(item, source, map[key]);
  }
  template <class T>
  requires std::is_class_v<T> && requires(StateReader& archive, T& value) { fields(archive, value); }
  static void read(const Json& json, const std::string& source, T& value) {
    StateReader archive(json, source);
    fields(archive, value);
  }

  const Json* json_;
  std::string source_;
};

template <class Archive>
void fields(Archive& archive, StepRecord& r) {
  archive("step", r.step);
  archive("total_steps", r.total_steps);
  archive("loss", r.loss);
  archive("learning_rate", r.learning_rate);
  archive("gradient_norm", r.gradient_norm);
  archive("tokens", r.tokens);
  archive("labelled_tokens", r.labelled_tokens);
  archive("seconds", r.seconds);
  archive("flops", r.flops);
  archive("recomputed_flops", r.recomputed_flops);
  archive("full_flops", r.full_flops);
  archive("skipped", r.skipped);
  archive("joules", r.joules);
  archive("in_full", r.in_full);
}

template <class Archive>
void fields(Archive& archive, EvaluationRecord& r) {
  archive("step", r.step);
  archive("loss", r.loss);
  archive("metric", r.metric);
  archive("best", r.best);
}

template <class Archive>
void fields(Archive& archive, MemoryEstimate& m) {
  archive("weights", m.weights);
  archive("gradients", m.gradients);
  archive("optimizer", m.optimizer);
  archive("activations", m.activations);
  archive("workspace", m.workspace);
  archive("copies", m.copies);
  archive("cached", m.cached);
  archive("batch", m.batch);
  archive("scratch", m.scratch);
}

template <class Archive>
void fields(Archive& archive, SelectionRecord& r) {
  archive("step", r.step);
  archive("names", r.names);
  archive("importance", r.importance);
  archive("budget", r.budget);
  archive("cost", r.cost);
  archive("unit", r.unit);
  archive("optimal", r.optimal);
  archive("gap", r.gap);
  archive("recomputed", r.recomputed);
  archive("recomputation_optimal", r.recomputation_optimal);
  archive("memory", r.memory);
  archive("importance_memory", r.importance_memory);
  archive("recomputed_from", r.recomputed_from);
  archive("cached_below", r.cached_below);
  archive("not_cached", r.not_cached);
  archive("cached_bytes", r.cached_bytes);
}

/// What `start` does not know anew: a report's plan and what is evaluated follow from the options.
template <class Archive>
void fields(Archive& archive, TrainingReport& r) {
  archive("loss_before", r.loss_before);
  archive("steps", r.steps);
  archive("skipped", r.skipped);
  archive("tokens", r.tokens);
  archive("labelled_tokens", r.labelled_tokens);
  archive("flops_train", r.flops.train);
  archive("flops_importance", r.flops.importance);
  archive("flops_optimizer", r.flops.optimizer);
  archive("flops_evaluation", r.flops.evaluation);
  archive("flops_full", r.flops.full);
  archive("flops_recomputed", r.flops.recomputed);
  archive("flops_saved_by_cache", r.flops.saved_by_cache);
  archive("flops_refilled", r.flops.refilled);
  archive("seconds_importance", r.seconds.importance);
  archive("seconds_selection", r.seconds.selection);
  archive("seconds_forward", r.seconds.forward);
  archive("seconds_backward", r.seconds.backward);
  archive("seconds_optimizer", r.seconds.optimizer);
  archive("seconds_evaluation", r.seconds.evaluation);
  archive("seconds_steps", r.seconds.steps);
  archive("seconds_callbacks", r.seconds.callbacks);
  archive("seconds_total", r.seconds.total);
  archive("joules", r.joules);
  archive("memory_importance", r.memory.importance);
  archive("memory_training", r.memory.training);
  archive("memory_evaluation", r.memory.evaluation);
  archive("memory_best_weights", r.memory.best_weights);
  archive("selections", r.selections);
  archive.columns("history", r.history);
  archive.columns("evaluations", r.evaluations);
  archive("cached_bytes", r.cached_bytes);
  archive("warnings", r.warnings);
}

}  // namespace greentrainer
