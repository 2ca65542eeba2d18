#include "command.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace greentrainer::program {

namespace {

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr std::size_t longest = 200;  // longer ones are no slips of the pen, and take a table of their product
  if (a.size() > longest || b.size() > longest) return a == b ? 0 : std::max(a.size(), b.size());
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (std::size_t i = 0; i < parts.size(); ++i)
    all += (i == 0 ? "" : i + 1 == parts.size() ? " or " : ", ") + parts[i];
  return all;
}

template <class Number>
bool parse_whole_text(const std::string& text, Number& value) {
  const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void bad_usage(const std::string& where, const std::string& what) { throw UsageError(where, what); }

std::string shown_error(const ConfigError& error, const Command* command) {
  std::string name(error.subject() == "flops_ratio" ? "rho" : error.subject());
  std::replace(name.begin(), name.end(), '_', '-');
  if (command == nullptr || command->find(name) == nullptr || command->find(name)->positional) return error.what();
  return text("[", error.where(), "] --", name, ": ", error.detail());
}

std::string suggestion(std::string_view name, const std::vector<std::string>& candidates) {
  for (const auto& [former, present] : {std::pair<std::string_view, std::string_view>{"products", "precision"}}) {
    for (const std::string& candidate : candidates) {
      if (name.ends_with(former) && candidate.ends_with(present) && name.size() - former.size() <= 2)
        return greentrainer::text("; it is called ", candidate, " now");
    }
  }
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::size_t distance = edit_distance(name, candidate);
    if (name.size() >= 3 && candidate.starts_with(name)) distance = std::min<std::size_t>(distance, 1);
    if (distance < least) {
      least = distance;
      nearest = &candidate;
    }
  }
  return nearest != nullptr ? "; did you mean " + *nearest + "?" : "; there are " + joined(candidates);
}

void Command::text(const std::string& name, std::string& target, const std::string& placeholder,
                   const std::string& help) {
  option({name, placeholder, help, false, [&target](const auto& values) { target = values.back(); }});
}

void Command::choice(const std::string& name, std::string& target, std::vector<std::string> choices,
                     const std::string& help) {
  std::string placeholder;
  for (const std::string& c : choices) placeholder += (placeholder.empty() ? "" : "|") + c;
  option({name, placeholder, help, false, [this_name = name_, name, &target, choices](const auto& values) {
            if (std::find(choices.begin(), choices.end(), values.back()) == choices.end()) {
              const std::string near = suggestion(values.back(), choices);
              bad_usage(this_name, greentrainer::text("--", name, ": expected ", joined(choices), ", got ",
                                                      values.back(), near.starts_with("; did") ? near : ""));
            }
            target = values.back();
          }});
  options_.back().choices = std::move(choices);
}

void Command::list(const std::string& name, std::vector<std::string>& target, const std::string& placeholder,
                   const std::string& help) {
  option({name, placeholder, help, true, [this_name = name_, name, &target](const auto& values) {
            target.clear();
            for (const std::string& value : values) {
              for (std::size_t first = 0; first <= value.size();) {
                const std::size_t end = std::min(value.find(',', first), value.size());
                if (end > first) target.push_back(value.substr(first, end - first));
                first = end + 1;
              }
            }
            if (target.empty())
              bad_usage(this_name, greentrainer::text("--", name, ": expected at least one entry, got none"));
          }});
}

void Command::whole(const std::string& name, Extent& target, Extent least, const std::string& help, Extent most) {
  option({name, "N", help, false, [this_name = name_, name, &target, least, most](const auto& values) {
            Extent value = 0;
            if (!parse_whole_text(values.back(), value) || value < least || value > most) {
              bad_usage(this_name, greentrainer::text("--", name, ": expected a whole number from ", least, " to ",
                                                      most, ", got ", values.back()));
            }
            target = value;
          }});
}

void Command::number(const std::string& name, double& target, double least, bool exclusive, const std::string& help,
                     double most) {
  option({name, "X", help, false, [this_name = name_, name, &target, least, exclusive, most](const auto& values) {
            double value = 0;
            if (!parse_whole_text(values.back(), value) || !std::isfinite(value) || value < least ||
                (exclusive && value == least) || value > most) {
              const std::string range =
                  greentrainer::text(exclusive ? "more than " : "at least ", least,
                                     std::isfinite(most) ? greentrainer::text(" and at most ", most) : "");
              bad_usage(this_name,
                        greentrainer::text("--", name, ": expected a number of ", range, ", got ", values.back()));
            }
            target = value;
          }});
}

void Command::on(const std::string& name, bool& target, const std::string& help) {
  option({name, "", help, false, [this_name = name_, name, &target](const auto& values) {
            if (values.back() != "true" && values.back() != "false") {
              bad_usage(this_name, greentrainer::text("--", name, ": expected true or false, got ", values.back()));
            }
            target = values.back() == "true";
          }});
}

void Command::positional(const std::string& name, std::string& target, const std::string& help) {
  text(name, target, "PATH", help);
  options_.back().positional = true;
}

const Command::Option* Command::find(std::string_view name) const {
  const auto found = std::find_if(options_.begin(), options_.end(), [&](const Option& o) { return o.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

Command::Option* Command::find(std::string_view name) { return const_cast<Option*>(std::as_const(*this).find(name)); }

void Command::require(std::string_view name) const {
  if (given(name)) return;
  bad_usage(name_, greentrainer::text(find(name)->positional ? "" : "--", name,
                                      ": expected a value, got none; see greentrainer ", name_, " --help"));
}

std::string_view Command::either(std::string_view one, std::string_view other) const {
  if (given(one) && source(one) == source(other))
    bad_usage(name_, greentrainer::text("--", one, ": expected one of --", one, " and --", other, ", got both"));
  if (!given(one) && !given(other)) return "";
  return source(one) > source(other) ? one : other;
}

void Command::refuse(std::string_view name, std::string_view by, std::string_view reason) const {
  if (!given(name) || (source(name) == Source::file && source(by) == Source::command_line)) return;
  bad_usage(name_, greentrainer::text(
                       "--", name, ": expected not to be given with ", reason, ", which does not use it; ",
                       given(by) ? "leave one of the two out" : greentrainer::text("leave it out, or give --", by)));
}

}  // namespace greentrainer::program
