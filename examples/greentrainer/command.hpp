#pragma once

#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer::program {

/// A subcommand: its options are declared once, and read from the command line, from a configuration file, and by
/// --help. Values are parsed by the setters, which throw UsageError.
class Command {
 public:
  enum class Source { nowhere, file, command_line };

  struct Option {
    std::string name;         ///< without dashes
    std::string placeholder;  ///< what the value is, in --help; empty: a switch
    std::string help;
    bool list = false;
    std::function<void(const std::vector<std::string>&)> set;
    Source source = Source::nowhere;
    bool positional = false;                ///< stands by itself, without a name in front
    std::vector<std::string> choices = {};  ///< all values that there are; empty: any

    bool is_switch() const { return placeholder.empty(); }
  };

  Command(std::string name, std::string summary, std::string examples)
      : name_(std::move(name)), summary_(std::move(summary)), examples_(std::move(examples)) {}

  void text(const std::string& name, std::string& target, const std::string& placeholder, const std::string& help);
  /// One of `choices`.
  void choice(const std::string& name, std::string& target, std::vector<std::string> choices, const std::string& help);
  /// Separated by commas, or the option several times.
  void list(const std::string& name, std::vector<std::string>& target, const std::string& placeholder,
            const std::string& help);
  void whole(const std::string& name, Extent& target, Extent least, const std::string& help,
             Extent most = std::numeric_limits<Index>::max());
  /// In (least, most] if `exclusive`, in [least, most] otherwise.
  void number(const std::string& name, double& target, double least, bool exclusive, const std::string& help,
              double most = std::numeric_limits<double>::infinity());
  void on(const std::string& name, bool& target, const std::string& help);
  /// A word of the command line that is no option.
  void positional(const std::string& name, std::string& target, const std::string& help);
  void option(Option option) { options_.push_back(std::move(option)); }

  const std::string& name() const { return name_; }
  const std::string& summary() const { return summary_; }
  const std::string& examples() const { return examples_; }
  std::vector<Option>& options() { return options_; }
  const std::vector<Option>& options() const { return options_; }
  const Option* find(std::string_view name) const;
  Option* find(std::string_view name);

  Source source(std::string_view name) const { return find(name)->source; }
  bool given(std::string_view name) const { return source(name) != Source::nowhere; }
  /// Throws UsageError if the option was given nowhere.
  void require(std::string_view name) const;
  /// Throws UsageError if `name` was given although `reason` (such as "--method full") does not use it. A value from
  /// the file gives way to a choice made on the command line by option `by`.
  void refuse(std::string_view name, std::string_view by, std::string_view reason) const;

  /// Which of two options that exclude each other holds: one on the command line before one in the file; empty where
  /// neither was given. Throws UsageError where both were in the same place.
  std::string_view either(std::string_view one, std::string_view other) const;

  /// Throws UsageError for options that do not go together or are missing. Called before `run`, and for options that
  /// stand in a file.
  std::function<void(const Command&)> check;
  /// What the subcommand does; returns the exit status.
  std::function<int(const Command&)> run;

 private:
  std::string name_, summary_, examples_;
  std::vector<Option> options_;
};

/// Throws UsageError as all the program's are: "[where] --name: expected X, got Y; see ...".
[[noreturn]] void bad_usage(const std::string& where, const std::string& what);

/// The text of an error as the program's users know its subject: a field of the library's options is shown as the
/// option of `command` that sets it, such as --max-tokens for max_tokens. `command` may be null.
std::string shown_error(const ConfigError& error, const Command* command);

/// "; did you mean X?" with the candidate nearest to `name`, or the list of them if none is near.
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace greentrainer::program
