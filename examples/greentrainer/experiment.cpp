// greentrainer experiment: methods x seeds on one data set, resumable, with a report as JSON, Markdown and one HTML
// page.

#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "console.hpp"
#include "experiment_cell.hpp"
#include "experiment_report.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/output_lock.hpp"
#include "machine.hpp"
#include "option_values.hpp"
#include "output.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer experiment scitldr.toml              # goes on where it was stopped; what is done is not run "
    "again\n"
    "  greentrainer experiment scitldr.toml --report     # only the report, of the runs that are done\n"
    "FILE.toml, with paths as seen from the folder that the command is started in:\n"
    "  name = \"SmolLM2-135M on SciTLDR\"\n"
    "  note = \"what a reader must know\"                  # optional\n"
    "  output = \"results/scitldr\"                        # folder; report.json, report.md, report.html and cells/\n"
    "  seeds = [1, 2, 3]\n"
    "  score = \"loss\"                                    # a field of evaluate's report that methods are compared "
    "by\n"
    "  reference = \"full\"                                # the method that others are held against\n"
    "  lower-is-better = true                            # of the score; known for loss and perplexity\n"
    "  budget = \"0.5x\"                                   # optional: finetune's, of every method but the reference "
    "that has none\n"
    "  controls = [\"full-fewer-steps\", \"full-smaller-batches\", \"lora-fewer-steps\", \"lora-smaller-batches\", "
    "\"random-same-depth\"]\n"
    "                                                    # optional: simple ways to spend the same budgets\n"
    "  control-learning-rate = 1e-4                      # of full controls ([finetune]'s); "
    "control-lora-learning-rate: of LoRA's (10 times as much)\n"
    "  keep-models = false                               # whether the trained models stay in cells/\n"
    "  [finetune]                                        # options of every run, without dashes\n"
    "  model = \"smollm2-135m\"\n"
    "  train = \"train.jsonl\"\n"
    "  [evaluate]\n"
    "  data = \"test.jsonl\"\n"
    "  [[method]]\n"
    "  name = \"full\"\n"
    "  method = \"full\"\n"
    "  [[method]]\n"
    "  name = \"GreenTrainer-0.5\"\n"
    "  method = \"green\"                                  # and any other option of finetune; \"none\" evaluates the "
    "model as it is\n"
    "  rho = 0.5";

struct Options {
  std::string file;
  bool report = false, overwrite = false, json = false;
};

constexpr std::array report_files = {"report.json", "report.md", "report.html"};

/// The folder for reports; null where only a report is asked for and a run writes there just now.
std::unique_ptr<OutputFolder> open_reports(const ExperimentPlan& plan, const Options& options) {
  try {
    return open_output(
        "experiment", plan.output,
        {.overwrite = options.overwrite, .among_others = {report_files.begin(), report_files.end()}, .on_notice = {}});
  } catch (const OutputInUse& error) {
    if (!options.report) throw;
    say(text("note: the report is not written: ", error.what()));
    return nullptr;
  }
}

/// A cell's results. Throws LoadError for what is damaged, ConfigError where the plan's score is missing.
OrderedJson read_results(const ExperimentPlan& plan, const ExperimentCell& cell) {
  try {
    OrderedJson results = cell.read();
    experiment_report(plan, OrderedJson::array({results}));
    return results;
  } catch (const OrderedJson::exception& error) {
    throw LoadError("experiment", cell.folder().string(),
                    text("expected the results of a run, got damaged ones: ", error.what(),
                         "; delete the folder, and it is run again"));
  }
}

/// Throws ConfigError for a run that is not done, and whose budget in joules cannot be measured.
void expect_energy_of(const std::vector<ExperimentCell>& cells) {
  for (const ExperimentCell& cell : cells) {
    const ExperimentMethod& method = cell.method();
    if (method.spends_joules && !cell.is_done())
      expect_energy("experiment", text("[[method]] ", method.name, ", budget"), energy_problem(method.backend));
  }
}

/// Runs what is not done. False if a signal stopped it.
bool run_cells(const ExperimentPlan& plan, const std::vector<ExperimentCell>& cells) {
  std::size_t open = 0;
  for (const ExperimentCell& cell : cells) open += cell.is_done() ? 0 : 1;
  say(text(cells.size(), " runs, ", cells.size() - open, " done already"));
  expect_energy_of(cells);
  std::size_t number = cells.size() - open;
  for (const ExperimentCell& cell : cells) {
    if (cell.is_done()) continue;
    const std::string title = text("[", ++number, "/", cells.size(), "] ", cell.method().name,
                                   cell.method().trains ? text(", seed ", cell.seed()) : "");
    say(title);
    const auto start = std::chrono::steady_clock::now();
    if (!cell.run()) return false;
    read_results(plan, cell);  // does it have the score? better now than after all runs
    say(text(title, ": ",
             duration_text(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count())));
  }
  return true;
}

int run(const Options& options) {
  const ExperimentPlan plan = read_experiment(options.file);
  const std::vector<ExperimentCell> cells = experiment_cells(plan);
  const auto output = open_reports(plan, options);
  if (!options.report) {
    watch_for_interrupts();
    if (!run_cells(plan, cells)) {
      say("[experiment] stopped by a signal; the same command goes on from here");
      return 130;
    }
  }
  OrderedJson results = OrderedJson::array();
  for (const ExperimentCell& cell : cells) {
    if (cell.is_done()) results.push_back(read_results(plan, cell));
  }
  if (results.empty())
    throw ConfigError("experiment", plan.output,
                      "expected results of at least one run, got none; leave --report out to make them");
  const OrderedJson report = experiment_report(plan, std::move(results));
  if (output) {
    atomic_write_file(output->path() / "report.json", report.dump(1) + "\n");
    atomic_write_file(output->path() / "report.md", experiment_markdown(report));
    atomic_write_file(output->path() / "report.html", experiment_page(report));
    output->commit();
  }
  if (options.json) {
    print_json(report);
  } else {
    std::cout << experiment_markdown(report).substr(0, experiment_markdown(report).find("\n## Commands"));
    if (output) std::cout << "\nWritten: " << (std::filesystem::path(plan.output) / "report.html").string() << "\n";
  }
  return 0;
}

}  // namespace

Command make_experiment_command() {
  const auto options = std::make_shared<Options>();
  Command command("experiment", "Compare methods on one data set, over seeds", examples);
  command.positional("FILE.toml", options->file, "What to run");
  command.on("report", options->report, "Run nothing: report what is done");
  command.on("overwrite", options->overwrite, "Replace reports even if this program did not write them");
  command.on("json", options->json, "Print the report as one JSON object on stdout");
  command.check = [](const Command& self) { self.require("FILE.toml"); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
