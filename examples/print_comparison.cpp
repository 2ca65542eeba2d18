// Prints the reports of `greentrainer finetune --json` side by side: print_comparison full.json green.json ...

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "greentrainer/core/error.hpp"

namespace gt = greentrainer;
using nlohmann::json;

namespace {

struct Report {
  std::string name;
  json values;
};

Report read_report(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw gt::LoadError("print_comparison", path.string(), "cannot be read");
  try {
    return {path.stem().string(), json::parse(in)};
  } catch (const json::exception& error) {
    throw gt::LoadError("print_comparison", path.string(),
                        gt::text("expected a report of `greentrainer finetune --json`, got ", error.what()));
  }
}

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

/// 1234567890, "FLOPs" -> "1.23 GFLOPs".
std::string with_prefix(double value, const std::string& unit) {
  const std::vector<std::string> prefixes = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t i = 0;
  for (; value >= 1000 && i + 1 < prefixes.size(); ++i) value /= 1000;
  return fixed(value, i == 0 ? 0 : 2) + " " + prefixes[i] + unit;
}

struct Row {
  std::string label;
  std::function<std::string(const json&)> text;
};

const std::vector<Row> rows = {
    {"loss before", [](const json& r) { return fixed(r.at("loss_before").get<double>(), 4); }},
    {"loss after", [](const json& r) { return fixed(r.at("loss_after").get<double>(), 4); }},
    {"steps", [](const json& r) { return r.at("steps").dump(); }},
    {"FLOPs, training", [](const json& r) { return with_prefix(r.at("flops").at("train").get<double>(), "FLOPs"); }},
    {"FLOPs, importance",
     [](const json& r) { return with_prefix(r.at("flops").at("importance").get<double>(), "FLOPs"); }},
    {"ratio to full training", [](const json& r) { return fixed(r.at("ratio").get<double>(), 3); }},
    {"ratio, all in", [](const json& r) { return fixed(r.at("ratio_all_in").get<double>(), 3); }},
    {"time, forward + backward",
     [](const json& r) {
       return fixed(r.at("seconds").at("forward").get<double>() + r.at("seconds").at("backward").get<double>(), 2) +
              " s";
     }},
    {"time, total", [](const json& r) { return fixed(r.at("seconds").at("total").get<double>(), 2) + " s"; }},
    {"peak memory", [](const json& r) { return with_prefix(r.at("peak_memory_bytes").get<double>(), "B"); }},
    {"selections made", [](const json& r) { return std::to_string(r.at("selections").size()); }},
    {"tensors, last selection",
     [](const json& r) {
       return r.at("selections").empty() ? std::string("-")
                                         : std::to_string(r.at("selections").back().at("names").size());
     }},
};

void print(const std::vector<Report>& reports) {
  std::vector<std::vector<std::string>> columns(reports.size() + 1);
  columns[0] = {""};
  for (const Row& row : rows) columns[0].push_back(row.label);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    columns[i + 1] = {reports[i].name};
    for (const Row& row : rows) {
      try {
        columns[i + 1].push_back(row.text(reports[i].values));
      } catch (const json::exception& error) {
        throw gt::LoadError("print_comparison", gt::text(reports[i].name, ", ", row.label), error.what());
      }
    }
  }
  for (std::size_t line = 0; line < columns[0].size(); ++line) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      std::size_t width = 0;
      for (const std::string& cell : columns[i]) width = std::max(width, cell.size());
      std::cout << (i == 0 ? "" : "   ") << (i == 0 ? std::left : std::right) << std::setw(static_cast<int>(width))
                << columns[i][line];
    }
    std::cout << "\n";
  }
}

/// The names of a selection that is not everything, as many to a line as fit.
void print_selection(const Report& report, std::size_t all) {
  const json& selections = report.values.at("selections");
  if (selections.empty() || selections.back().at("names").size() == all) return;
  std::cout << "\n" << report.name << ", last selection:\n";
  std::size_t column = 0;
  for (const json& entry : selections.back().at("names")) {
    const auto name = entry.get<std::string>();
    if (column > 0 && column + name.size() + 2 > 120) {
      std::cout << "\n";
      column = 0;
    }
    std::cout << "  " << name;
    column += name.size() + 2;
  }
  std::cout << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: print_comparison REPORT.json...\n";
    return 2;
  }
  try {
    std::vector<Report> reports;
    for (int i = 1; i < argc; ++i) reports.push_back(read_report(argv[i]));
    print(reports);
    std::size_t all = 0;
    for (const Report& report : reports) {
      for (const json& selection : report.values.at("selections")) all = std::max(all, selection.at("names").size());
    }
    for (const Report& report : reports) print_selection(report, all);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
