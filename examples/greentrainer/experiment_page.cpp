// What people read of an experiment: Markdown and one HTML page, both drawn from the report's JSON.

#include <algorithm>
#include <cmath>
#include <map>

#include "console.hpp"
#include "experiment_report.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/report/heat_map.hpp"
#include "greentrainer/report/plot.hpp"

namespace greentrainer::program {

namespace {

using Row = std::vector<std::string>;

std::string number(const OrderedJson& row, const char* field, double unit, int digits) {
  if (!row.contains(field)) return "";
  return fixed(row.at(field).at("mean").get<double>() / unit, digits);
}

/// With three digits that say something.
std::string significant(double value) {
  const int before = value > 0 ? static_cast<int>(std::floor(std::log10(value))) : 0;
  return fixed(value, std::max(0, 2 - before));
}

std::string with_spread(const OrderedJson& value, int digits) {
  std::string out = fixed(value.at("mean").get<double>(), digits);
  if (!value.at("spread").is_null()) out += " ± " + fixed(value.at("spread").get<double>(), digits);
  return out;
}

/// Names of all scores, the one that methods are compared by first.
std::vector<std::string> score_names(const OrderedJson& report) {
  std::vector<std::string> names = {report.at("score").get<std::string>()};
  for (const auto& row : report.at("methods")) {
    for (const auto& [name, value] : row.at("scores").items()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// The table of methods, its head first.
std::vector<Row> method_table(const OrderedJson& report) {
  const std::vector<std::string> names = score_names(report);
  std::vector<Row> table = {{"method", "seeds"}};
  table[0].insert(table[0].end(), names.begin(), names.end());
  for (const char* head : {"FLOPs ratio", "TFLOPs", "seconds", "choosing, share of time", "peak MB"})
    table[0].push_back(head);
  for (const auto& row : report.at("methods")) {
    Row line = {row.at("method").get<std::string>(), text(row.at("seeds").get<int>())};
    for (const std::string& name : names)
      line.push_back(row.at("scores").contains(name) ? with_spread(row.at("scores").at(name), 4) : "");
    line.push_back(number(row, "ratio", 1, 4));
    line.push_back(row.contains("all_flops") ? significant(row.at("all_flops").at("mean").get<double>() * 1e-12) : "");
    line.push_back(
        row.contains("train_seconds")
            ? with_spread(row.at("train_seconds"), row.at("train_seconds").at("mean").get<double>() < 1 ? 4 : 1)
            : "");
    line.push_back(row.contains("choosing_share_of_seconds") ? number(row, "choosing_share_of_seconds", 0.01, 1) + "%"
                                                             : "");
    line.push_back(number(row, "peak_memory_bytes", 1e6, 0));
    table.push_back(std::move(line));
  }
  return table;
}

constexpr const char* legend =
    "Means over seeds ± sample standard deviation. FLOPs ratio: forward and backward, of full fine-tuning of the same "
    "batches. TFLOPs and seconds: "
    "training, importance, selection "
    "and optimizer; loading, evaluation and saving apart. 1 multiply-add = 2 FLOPs.";

/// Training loss over the seeds of the method at `place`: means over windows of steps, weighted by labelled tokens.
PlotSeries loss_curve(const OrderedJson& report, std::size_t place) {
  const auto method = report.at("methods")[place].at("method").get<std::string>();
  std::size_t steps = 0;
  std::map<std::size_t, std::pair<double, double>> windows;  // last step -> sum of losses, labelled tokens
  for (const auto& cell : report.at("cells")) {
    if (cell.at("method") == method && cell.contains("steps")) steps = std::max(steps, cell.at("steps").size());
  }
  const std::size_t window = std::max<std::size_t>(1, steps / 25);
  for (const auto& cell : report.at("cells")) {
    if (cell.at("method") != method || !cell.contains("steps")) continue;
    for (std::size_t i = 0; i < cell.at("steps").size(); ++i) {
      const auto& step = cell.at("steps")[i];
      auto& [sum, tokens] = windows[std::min(steps, (i / window + 1) * window)];
      const double labelled = step.at("labelled_tokens").get<double>();
      sum += step.at("loss").get<double>() * labelled;
      tokens += labelled;
    }
  }
  PlotSeries series{method, {}, place};
  for (const auto& [step, sums] : windows) {
    if (sums.second > 0) series.points.push_back({static_cast<double>(step), sums.first / sums.second});
  }
  return series;
}

/// A score of every method against one of its costs.
Plot score_against(const OrderedJson& report, const std::string& score, const char* field, double unit,
                   const std::string& label) {
  Plot plot{.title = score + " against " + label,
            .x_label = label,
            .y_label = score,
            .kind = Plot::Kind::points,
            .series = {}};
  for (std::size_t i = 0; i < report.at("methods").size(); ++i) {
    const auto& row = report.at("methods")[i];
    if (row.at("seeds").get<int>() == 0 || !row.at("scores").contains(score)) continue;
    const auto& value = row.at("scores").at(score);
    const double x = row.contains(field) ? row.at(field).at("mean").get<double>() / unit : 0;
    plot.series.push_back(
        {row.at("method").get<std::string>(),
         {{x, value.at("mean").get<double>(), value.at("spread").is_null() ? 0 : value.at("spread").get<double>()}},
         i});
  }
  return plot;
}

/// A score against all FLOPs of training, with the line of the frontier.
Plot frontier_plot(const OrderedJson& report, const OrderedJson& frontier) {
  const auto score = frontier.at("score").get<std::string>();
  Plot plot = score_against(report, score, "all_flops", 1e12, "TFLOPs");
  PlotSeries line{.name = "frontier", .points = {}, .colour = report.at("methods").size(), .joined = true};
  for (const ComparedMethod& m : frontier_of(report, score, frontier.at("lower_is_better").get<bool>()).line())
    line.points.push_back({.x = m.cost / 1e12, .y = m.score});
  if (line.points.size() > 1) plot.series.push_back(std::move(line));
  return plot;
}

/// "layers.2" before "layers.10".
bool in_reading_order(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      std::size_t end_a = i, end_b = j;
      while (end_a < a.size() && is_digit(a[end_a])) ++end_a;
      while (end_b < b.size() && is_digit(b[end_b])) ++end_b;
      if (end_a - i != end_b - j) return end_a - i < end_b - j;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i, ++j;
  }
  return a.size() - i < b.size() - j;
}

/// Tensors x selections of one run; empty where nothing was chosen by importance.
std::string selection_map(const OrderedJson& cell) {
  if (!cell.contains("finetune")) return "";
  const auto& selections = cell.at("finetune").at("selections");
  if (selections.empty() || selections.front().at("importance").empty()) return "";
  HeatMap map{.title = cell.at("method").get<std::string>() + ", seed " + cell.at("seed").dump(),
              .rows = {},
              .columns = {},
              .cells = {}};
  for (const auto& [name, importance] : selections.front().at("importance").items()) map.rows.push_back(name);
  std::sort(map.rows.begin(), map.rows.end(), in_reading_order);
  map.cells.assign(map.rows.size(), std::vector<HeatCell>(selections.size()));
  for (std::size_t c = 0; c < selections.size(); ++c) {
    const auto& selection = selections[c];
    map.columns.push_back("step " + selection.at("step").dump());
    std::map<std::string, double> importance;
    for (const auto& [name, value] : selection.at("importance").items())
      importance[name] = value.is_number() ? value.get<double>() : std::nan("");
    std::map<std::string, bool> chosen;
    for (const auto& name : selection.at("names")) chosen[name.get<std::string>()] = true;
    for (std::size_t r = 0; r < map.rows.size(); ++r)
      map.cells[r][c] = {importance[map.rows[r]], chosen.contains(map.rows[r])};
  }
  return map.svg();
}

/// A cell of a Markdown table.
std::string in_table(const std::string& cell) {
  std::string out;
  for (const char c : cell) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

/// What is true where nothing was diagnosed.
std::string nothing_stands_out(const OrderedJson& report) {
  const auto reference = report.at("reference").get<std::string>();
  int compared = 0;
  bool known = false;
  for (const auto& row : report.at("methods")) {
    const bool has_results = row.contains("ratio");
    if (row.at("method") == reference)
      known = row.at("seeds").get<int>() > 0;
    else
      compared += has_results ? 1 : 0;
  }
  if (!known || compared == 0)
    return text("Scores were not compared: ", known ? "there is nothing beside " : "there are no results of ",
                reference, ".");
  return text("No score is worse than ", reference,
              "'s by more than 2% and the spread; every promised budget was met; importance and selection took at most "
              "5% of training's time.");
}

/// Differences with their errors, one row for a pair of methods; empty where there are none.
std::vector<Row> paired_table(const OrderedJson& report) {
  const auto& paired = report.at("paired");
  if (paired.empty()) return {};
  Row head = {"method", "against", "seeds", "examples"};
  std::vector<std::string> fields;
  for (const auto& one : paired) {
    const auto field = one.at("field").get<std::string>();
    if (std::find(fields.begin(), fields.end(), field) == fields.end()) fields.push_back(field);
  }
  for (const std::string& field : fields) head.push_back(field);
  std::vector<Row> rows = {head};
  for (const auto& one : paired) {
    const Row begin = {one.at("method").get<std::string>(), one.at("against").get<std::string>(),
                       one.at("seeds").dump(), one.at("examples").dump()};
    if (rows.back()[0] != begin[0] || rows.back()[1] != begin[1]) {
      rows.push_back(begin);
      rows.back().resize(head.size());
    }
    const auto column = std::find(fields.begin(), fields.end(), one.at("field").get<std::string>()) - fields.begin();
    const double difference = one.at("difference").get<double>(), error = one.at("standard_error").get<double>();
    rows.back()[4 + static_cast<std::size_t>(column)] =
        text(difference > 0 ? "+" : "", fixed(difference, 4), " ± ", fixed(error, 4));
  }
  return rows;
}

constexpr const char* paired_legend =
    "Mean difference of the same seeds and test examples ± standard error, by a bootstrap over seeds and examples.";

std::string markdown_table(const std::vector<Row>& rows, std::size_t left) {
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out += "|";
    for (const std::string& cell : rows[i]) out += " " + in_table(cell) + " |";
    out += "\n";
    if (i > 0) continue;
    out += "|";
    for (std::size_t c = 0; c < rows[0].size(); ++c) out += c < left ? " --- |" : " ---: |";
    out += "\n";
  }
  return out;
}

std::string html_table(const std::vector<Row>& rows) {
  std::string out = "<div class=\"wide\"><table>\n";
  bool head = true;
  for (const Row& row : rows) {
    out += "<tr>";
    for (const std::string& cell : row)
      out += (head ? "<th>" : "<td>") + escape_markup(cell) + (head ? "</th>" : "</td>");
    out += "</tr>\n";
    head = false;
  }
  return out + "</table></div>\n";
}

std::string paragraph(const std::string& markup) { return markup.empty() ? "" : "<p>" + markup + "</p>\n"; }

}  // namespace

std::string experiment_markdown(const OrderedJson& report) {
  std::string out = "# " + report.at("name").get<std::string>() + "\n\n";
  if (const auto note = report.at("note").get<std::string>(); !note.empty()) out += note + "\n\n";
  out += text("Machine: ", report.at("machine").get<std::string>(), ". greentrainer ",
              report.at("version").get<std::string>(), ".\n\n");
  out += markdown_table(method_table(report), 1);
  out += text("\n", legend, "\n\n## Frontier\n\n");
  for (const auto& frontier : report.at("frontiers")) {
    for (const auto& line : frontier.at("words")) out += "- " + line.get<std::string>() + "\n";
  }
  if (const auto rows = paired_table(report); !rows.empty())
    out += "\n## Paired differences\n\n" + markdown_table(rows, 2) + "\n" + paired_legend + "\n";
  out += "\n## What stands out\n\n";
  for (const auto& line : report.at("diagnoses")) out += "- " + line.get<std::string>() + "\n";
  if (report.at("diagnoses").empty()) out += nothing_stands_out(report) + "\n";
  out += "\n## Commands\n\n";
  for (const auto& cell : report.at("cells")) {
    for (const auto& command : cell.at("commands")) out += "    " + command.get<std::string>() + "\n";
  }
  return out;
}

std::string experiment_page(const OrderedJson& report) {
  const std::string name = escape_markup(report.at("name").get<std::string>());
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + name +
                    "</"
                    "title><style>body{font-family:sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse}"
                    "td,th{padding:.25em .7em;text-align:right;"
                    "border-bottom:1px solid "
                    "#ddd}td:first-child,th:first-child{text-align:left}td{white-space:nowrap}.wide{overflow-x:auto}"
                    "svg{margin:.5em}pre{white-space:pre-wrap}</"
                    "style></head><body>\n<h1>" +
                    name + "</h1>\n";
  out += paragraph(escape_markup(report.at("note").get<std::string>()));
  out += paragraph(escape_markup(text("Machine: ", report.at("machine").get<std::string>(), ". greentrainer ",
                                      report.at("version").get<std::string>(), ".")));
  out += html_table(method_table(report)) + paragraph(legend) + "<h2>Frontier</h2>\n<ul>\n";
  for (const auto& frontier : report.at("frontiers")) {
    for (const auto& line : frontier.at("words")) out += "<li>" + escape_markup(line.get<std::string>()) + "</li>\n";
  }
  out += "</ul>\n";
  for (const auto& frontier : report.at("frontiers")) out += frontier_plot(report, frontier).svg() + "\n";
  if (const auto rows = paired_table(report); !rows.empty())
    out += "<h2>Paired differences</h2>\n" + html_table(rows) + paragraph(paired_legend);
  out += "<h2>What stands out</h2>\n<ul>\n";
  for (const auto& line : report.at("diagnoses")) out += "<li>" + escape_markup(line.get<std::string>()) + "</li>\n";
  if (report.at("diagnoses").empty()) out += "<li>" + escape_markup(nothing_stands_out(report)) + "</li>\n";
  out += "</ul>\n<h2>Curves</h2>\n";

  Plot losses{.title = "Training loss", .x_label = "steps", .y_label = "loss, mean over seeds", .series = {}};
  for (std::size_t i = 0; i < report.at("methods").size(); ++i) {
    PlotSeries series = loss_curve(report, i);
    if (!series.points.empty()) losses.series.push_back(std::move(series));
  }
  losses.width = 620;
  if (!losses.series.empty()) out += losses.svg() + "\n";
  out += score_against(report, report.at("score").get<std::string>(), "train_seconds", 1, "seconds").svg() + "\n";

  std::string maps;
  for (const auto& cell : report.at("cells")) {
    if (const std::string map = selection_map(cell); !map.empty())
      maps += "<details><summary>" + escape_markup(cell.at("method").get<std::string>()) + ", seed " +
              cell.at("seed").dump() + "</summary>" + map + "</details>\n";
  }
  if (!maps.empty()) {
    out += "<h2>What was selected</h2>\n" +
           paragraph(
               "Colour: importance of a tensor as a share of the largest of that selection (white 0, blue positive, "
               "orange negative). A green bar: selected.");
    out += maps;
  }
  out += "<h2>Commands</h2>\n<pre>";
  for (const auto& cell : report.at("cells")) {
    for (const auto& command : cell.at("commands")) out += escape_markup(command.get<std::string>()) + "\n";
  }
  return out + "</pre>\n</body></html>\n";
}

}  // namespace greentrainer::program
