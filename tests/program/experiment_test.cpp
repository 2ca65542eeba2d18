#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/file.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "program/run_program.hpp"

namespace greentrainer::testing {

namespace {

/// Three methods, two of them with two seeds: five runs on a tiny model.
struct Experiment {
  explicit Experiment(const std::string& more = "") {
    folder.write("rows.jsonl", golden_rows("llama-gqa-tied"));
    write(more);
  }
  void write(const std::string& more, const std::string& rho = "0.6", const std::string& common = "") const {
    folder.write("compare.toml",
                 "name = \"Tiny <model>\"\nnote = \"random weights\"\noutput = \"" + (folder / "results").string() +
                     "\"\nseeds = [3, 4]\n" + more + "[finetune]\nmodel = \"" + golden_model("llama-gqa-tied") +
                     "\"\ntrain = \"" + rows() + "\"\nsteps = 3\nbatch-size = 2\nlearning-rate = 1e-3\n" + common +
                     "[evaluate]\ndata = \"" + rows() +
                     "\"\n[[method]]\nname = \"untouched\"\nmethod = \"none\"\n[[method]]\nname = \"full\"\nmethod = "
                     "\"full\"\nlearning-rate = 2e-3\n"
                     "[[method]]\nname = \"Green\"\nmethod = \"green\"\nreselect-every = \"2s\"\nrho = " +
                     rho + "\n");
  }
  Outcome run(std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"experiment", (folder / "compare.toml").string()});
    return run_program(options);
  }
  std::string rows() const { return (folder / "rows.jsonl").string(); }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("experiment runs every method with every seed, and its report is what the runs gave") {
  const Experiment experiment;
  const Outcome outcome = experiment.run({"--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json report = outcome.json();
  CHECK(report["cells"].size() == 5);
  CHECK(report["methods"].size() == 3);
  CHECK(report["methods"][0]["seeds"] == 1);
  CHECK(report["methods"][2]["seeds"] == 2);

  double sum = 0;
  for (const Json& cell : report["cells"]) {
    if (cell["method"] != "Green") continue;
    const std::string own = (experiment.folder / "results/cells/green-seed").string() + cell["seed"].dump();
    CHECK(cell["evaluate"] == read_json_file(own + "/evaluate.json"));
    CHECK(cell["finetune"] == read_json_file(own + "/finetune.json"));
    CHECK(cell["finetune"]["ratio"].get<double>() <= 0.6);
    CHECK(cell["steps"].size() == 3);
    sum += cell["evaluate"]["loss"].get<double>();
  }
  CHECK(report["methods"][2]["scores"]["loss"]["mean"].get<double>() == doctest::Approx(sum / 2).epsilon(1e-12));
  CHECK(report["methods"][1]["ratio"]["mean"] == 1.0);

  const std::string page = contents(experiment.folder / "results/report.html");
  CHECK(page.find("Tiny &lt;model&gt;") != std::string::npos);
  CHECK(page.find("<polyline") != std::string::npos);
  CHECK(page.find("model.layers.0.mlp.down_proj.weight, step 2") != std::string::npos);  // the map of what was selected
  for (std::size_t at = page.find("http"); at != std::string::npos; at = page.find("http", at + 1)) {
    CHECK(page.substr(at, 26) == "http://www.w3.org/2000/svg");  // the name of a language, not a place to fetch from
  }
  const std::string table = contents(experiment.folder / "results/report.md");
  CHECK(table.find("| Green | 2 |") != std::string::npos);
  CHECK(table.find("--learning-rate 0.002 ") != std::string::npos);  // as one would write it
}

TEST_CASE("controls of every budget are one line, and the report says in words how methods compare with them") {
  const Experiment experiment(
      "budget = \"0.9x\"\ncontrols = [\"full-fewer-steps\", \"lora-smaller-batches\", "
      "\"random-same-depth\"]\ncontrol-lora-learning-rate = 4e-3\n");
  const Outcome outcome = experiment.run({"--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json report = outcome.json();
  std::vector<std::string> names, controls;
  for (const Json& row : report["methods"]) {
    names.push_back(row["method"]);
    if (row["is_control"] == true) controls.push_back(row["method"]);
  }
  CHECK(controls == std::vector<std::string>{"Green, random at the same depth", "full, fewer steps, 0.9x",
                                             "LoRA, smaller batches, 0.9x"});
  CHECK(names.size() == 6);
  Flops full = 0;
  for (const Json& cell : report["cells"]) {
    if (!cell.contains("finetune")) continue;
    const Json& flops = cell["finetune"]["flops"];
    const Flops spent =
        flops["train"].get<Flops>() + flops["importance"].get<Flops>() + flops["optimizer"].get<Flops>();
    if (cell["method"] == "full") {  // the reference has no budget
      CHECK(cell["finetune"]["budget"].is_null());
      full = spent;
    } else {
      CHECK(cell["finetune"]["budget"]["spent"] == spent);
      CHECK(static_cast<double>(spent) <= 0.9 * static_cast<double>(full));
    }
  }
  const auto commands_of = [&](const std::string& method) {
    for (const Json& cell : report["cells"]) {
      if (cell["method"] == method) return cell["commands"][0].get<std::string>();
    }
    return std::string();
  };
  CHECK(commands_of("Green, random at the same depth").find("--selector random-at-depth") != std::string::npos);
  const std::string lora = commands_of("LoRA, smaller batches, 0.9x");
  for (const char* part :
       {"--lora-targets all-linear", "--budget 0.9x", "--budget-cuts batch", "--learning-rate 0.004"})
    CHECK(lora.find(part) != std::string::npos);
  CHECK(commands_of("full, fewer steps, 0.9x").find("--learning-rate 0.001") != std::string::npos);  // [finetune]'s

  REQUIRE(report["frontiers"].size() == 1);  // the score is the loss
  CHECK(report["frontiers"][0]["methods"].size() > 0);
  const std::string words = report["frontiers"][0]["words"].dump();
  CHECK(words.find("No method has a better loss for as few FLOPs") != std::string::npos);
  CHECK((words.find("Green is beaten by the control ") != words.npos ||
         words.find("Green beats the controls ") != words.npos));
  const std::string page = contents(experiment.folder / "results/report.html");
  CHECK(page.find("loss against TFLOPs") != std::string::npos);
  CHECK(page.find(">frontier<") != std::string::npos);
  CHECK(page.find("stroke-dasharray") != std::string::npos);
  CHECK(contents(experiment.folder / "results/report.md").find("## Frontier\n\n- No method has a better") !=
        std::string::npos);
}

TEST_CASE("methods are compared with the reference seed by seed and example by example") {
  const Experiment experiment;
  const Outcome outcome = experiment.run({"--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json report = outcome.json();
  REQUIRE(report["paired"].size() == 1);
  const Json& pair = report["paired"][0];
  CHECK(pair["method"] == "Green");
  CHECK(pair["against"] == "full");
  CHECK(pair["field"] == "loss");
  CHECK(pair["seeds"] == 2);
  const auto loss = [&](std::size_t method) {
    return report["methods"][method]["scores"]["loss"]["mean"].get<double>();
  };
  CHECK(pair["difference"].get<double>() == doctest::Approx(loss(2) - loss(1)).epsilon(1e-5));
  CHECK(pair["standard_error"].get<double>() > 0);
  CHECK(pair["low"].get<double>() <= pair["difference"].get<double>());
  CHECK(pair["high"].get<double>() >= pair["difference"].get<double>());
  CHECK(contents(experiment.folder / "results/report.md").find("| Green | full | 2 | ") != std::string::npos);
}

TEST_CASE("controls that cannot be made are refused before anything runs") {
  const auto error = [](const std::string& more, const std::string& rho = "0.6") {
    const Experiment experiment;
    experiment.write(more, rho);
    const Outcome outcome = experiment.run();
    CHECK(outcome.status == 2);
    CHECK_FALSE(std::filesystem::exists(experiment.folder / "results"));
    return outcome.err;
  };
  CHECK(error("budget = \"0.5x\"\ncontrols = [\"full-fewer-step\"]\n").find("did you mean full-fewer-steps?") !=
        std::string::npos);
  CHECK(error("controls = [\"full-fewer-steps\"]\n").find("expected a budget of a method beside full") !=
        std::string::npos);
  CHECK(error("controls = \"full-fewer-steps\"\nbudget = \"0.5x\"\n").find("expected an array of names") !=
        std::string::npos);
  CHECK(error("budget = \"50kg\"\n").find("[[method]] Green, --budget: expected FLOPs") != std::string::npos);
  CHECK(error("budget = \"0.5x\"\ncontrols = [\"lora-fewer-steps\"]\ncontrol-lora-learning-rate = \"high\"\n")
            .find("key \"control-lora-learning-rate\": expected a number") != std::string::npos);
}

TEST_CASE("a learning rate at which importances mean little is diagnosed") {
  const Experiment experiment;
  experiment.write("", "0.6\nlearning-rate = 0.3");
  const Outcome outcome = experiment.run({"--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json report = outcome.json();
  CHECK(report["methods"][2]["negative_importance"]["mean"].get<double>() > 0.25);
  const std::string diagnoses = report["diagnoses"].dump();
  CHECK(diagnoses.find("Green: ") != std::string::npos);
  CHECK(diagnoses.find("of the tensors have a negative importance: a step of all tensors at once overshoots") !=
        std::string::npos);
}

TEST_CASE("an experiment's commands, run by hand, give the same loss") {
  const Experiment experiment;
  REQUIRE(experiment.run().status == 0);
  const std::string tuned = (experiment.folder / "by-hand").string();
  const Outcome training = run_program({"finetune", "--model", golden_model("llama-gqa-tied"), "--train",
                                        experiment.rows(), "--steps", "3", "--batch-size", "2", "--method", "full",
                                        "--learning-rate", "2e-3", "--seed", "4", "--output", tuned, "--json"});
  REQUIRE_MESSAGE(training.status == 0, training.err);
  const Json by_hand = run_program({"evaluate", "--model", tuned, "--data", experiment.rows(), "--json"}).json();
  CHECK(by_hand["loss"] == read_json_file(experiment.folder / "results/cells/full-seed4/evaluate.json")["loss"]);
}

TEST_CASE("an experiment goes on where it was stopped, and never mixes results of other commands") {
  const Experiment experiment;
  REQUIRE(experiment.run().status == 0);
  std::filesystem::remove_all(experiment.folder / "results/cells/full-seed3");
  const Outcome again = experiment.run();
  CHECK(again.status == 0);
  CHECK(again.err.find("5 runs, 4 done already") != std::string::npos);

  experiment.folder.write("results/cells/full-seed3/metrics.jsonl", "[1]\n");
  const Outcome damaged = experiment.run({"--report"});
  CHECK(damaged.status == 1);
  CHECK(damaged.err.find("full-seed3: expected the results of a run, got damaged ones") != std::string::npos);

  experiment.write("", "0.7");
  const Outcome other = experiment.run();
  CHECK(other.status == 1);
  CHECK(other.err.find("green-seed3: expected results of the commands that the file asks for now") !=
        std::string::npos);
}

TEST_CASE("what stands in [finetune] is every method's that does not say otherwise") {
  const Experiment experiment;
  experiment.write("", "0.6", "rho = 0.8\n");
  const Outcome outcome = experiment.run({"--json"});
  CHECK(outcome.status == 2);  // rho is not for method full
  CHECK(outcome.err.find("[[method]] full, --rho: expected not to be given with --method full") != std::string::npos);

  experiment.folder.write("green.toml", "name = \"Greens\"\noutput = \"" + (experiment.folder / "greens").string() +
                                            "\"\nseeds = [1]\nreference = \"own\"\n" + "[finetune]\nmodel = \"" +
                                            golden_model("llama-gqa-tied") + "\"\ntrain = \"" + experiment.rows() +
                                            "\"\nepochs = 9\nrho = 0.8\nno-shuffle = true\nprecision = "
                                            "\"bfloat16\"\n[evaluate]\ndata = \"" +
                                            experiment.rows() +
                                            "\"\n[[method]]\nname = \"common\"\nsteps = 2\n[[method]]\nname = "
                                            "\"own\"\nsteps = 2\nrho = 0.6\nno-shuffle = false\n");
  const Outcome greens = run_program({"experiment", (experiment.folder / "green.toml").string(), "--json"});
  REQUIRE_MESSAGE(greens.status == 0, greens.err);
  const Json report = greens.json();
  CHECK(report["methods"][0]["rho"] == 0.8);
  CHECK(report["methods"][1]["rho"] == 0.6);
  CHECK(report["cells"][0]["commands"][0].get<std::string>().find("--no-shuffle") != std::string::npos);
  for (const Json& command : report["cells"][0]["commands"])  // scored as it was trained
    CHECK(command.get<std::string>().find("--precision bfloat16") != std::string::npos);
  CHECK(report["cells"][1]["commands"][0].get<std::string>().find("--no-shuffle") == std::string::npos);
  CHECK(report["diagnoses"].dump().find("not met") == std::string::npos);
}

TEST_CASE("a signal to an experiment reaches the run that it waits for") {
  const Experiment endless;
  std::string file = contents(endless.folder / "compare.toml");
  file.replace(file.find("steps = 3"), 9, "steps = 1000000");
  endless.folder.write("compare.toml", file);
  Program program({"experiment", (endless.folder / "compare.toml").string()});
  for (int i = 0; i < 600 && program.error_so_far().find("[2/5]") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  program.signal(SIGTERM);
  const Outcome outcome = program.wait();
  CHECK(outcome.status == 130);
  CHECK(outcome.err.find("stopped by a signal") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(endless.folder / "results/cells/full-seed3"));
}

TEST_CASE("a killed experiment takes its run with it, and the same command goes on; two at once are kept apart") {
  const Experiment endless;
  std::string file = contents(endless.folder / "compare.toml");
  const std::string short_file = file;
  file.replace(file.find("steps = 3"), 9, "steps = 1000000");
  endless.folder.write("compare.toml", file);
  Program program({"experiment", (endless.folder / "compare.toml").string()});
  const auto lock = endless.folder / "results/cells/.full-seed3.tmp/.model.output-lock";
  for (int i = 0; i < 600 && !std::filesystem::exists(lock); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  REQUIRE(std::filesystem::exists(lock));  // the run is on

  const Outcome second = endless.run();
  CHECK(second.status == 1);
  CHECK(second.err.find("got one that process " + std::to_string(program.process()) + " on ") != std::string::npos);
  const Outcome report = endless.run({"--report"});
  CHECK(report.status == 0);
  CHECK(report.out.find("| untouched |") != std::string::npos);
  CHECK(report.err.find("note: the report is not written") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(endless.folder / "results/report.md"));

  const int locked = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(::flock(locked, LOCK_EX | LOCK_NB) != 0);
  program.signal(SIGKILL);
  program.wait();
  bool ended = false;
  for (int i = 0; i < 100 && !ended; ++i) {
    ended = ::flock(locked, LOCK_EX | LOCK_NB) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ::close(locked);
  CHECK(ended);

  endless.folder.write("compare.toml", short_file);
  const Outcome next = endless.run();
  CHECK(next.status == 0);
  CHECK(next.err.find("5 runs, 1 done already") != std::string::npos);
  CHECK(next.err.find(".full-seed3.tmp: removed; a run had left it unfinished") != std::string::npos);
  CHECK(std::distance(std::filesystem::directory_iterator(endless.folder / "results"), {}) == 5);
}

TEST_CASE("a cell without all of its results is run again; what the program did not write is moved aside") {
  const Experiment experiment;
  REQUIRE(experiment.run().status == 0);
  const auto cells = experiment.folder / "results/cells";
  std::filesystem::remove(cells / "full-seed3/finetune.json");
  std::filesystem::remove(cells / "green-seed4/evaluate.json");
  experiment.folder.write("results/cells/green-seed4/notes.txt", "a user's");
  experiment.folder.write("results/cells/.full-seed3.tmp/notes.txt", "a user's");
  const Outcome again = experiment.run();
  CHECK(again.status == 0);
  CHECK(again.err.find("5 runs, 3 done already") != std::string::npos);
  CHECK(std::filesystem::exists(cells / "full-seed3/finetune.json"));
  CHECK(std::filesystem::exists(cells / "green-seed4/evaluate.json"));
  CHECK(contents(cells / "green-seed4.kept-1/notes.txt") == "a user's");
  CHECK(contents(cells / ".full-seed3.tmp.kept-1/notes.txt") == "a user's");
}

TEST_CASE("a report that the program did not write is not replaced, unless that is asked for") {
  const Experiment experiment;
  experiment.folder.write("results/report.md", "a user's");
  experiment.folder.write("results/notes.txt", "a user's");
  const Outcome refused = experiment.run();
  CHECK(refused.status == 1);
  CHECK(refused.err.find("got report.md") != std::string::npos);
  CHECK(refused.err.find("--overwrite") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(experiment.folder / "results/cells"));  // before anything has run
  CHECK(experiment.run({"--overwrite"}).status == 0);
  CHECK(contents(experiment.folder / "results/report.md").find("| Green | 2 |") != std::string::npos);
  CHECK(contents(experiment.folder / "results/notes.txt") == "a user's");
  CHECK(experiment.run().status == 0);
}

TEST_CASE("a budget in joules that cannot be measured is refused before the first run, by the method's name") {
  const Experiment experiment("budget = \"2kWh\"\n");  // of Green alone: "full" is the reference
  const Outcome outcome = experiment.run();
  const std::string problem = MachineEnergy().problem();
  if (problem.empty()) {
    CHECK((outcome.status == 0 || has(outcome.err, "too short for its counters")));
    return;
  }
  CHECK(outcome.status == 1);
  CHECK(outcome.err.find("[experiment] [[method]] Green, budget: expected energy that can be measured for a budget in "
                         "joules, got none: " +
                         problem) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(experiment.folder / "results/cells"));
}

TEST_CASE("a mistake in an experiment's file is found before anything runs") {
  CHECK(Experiment("scores = \"loss\"\n").run().err.find("did you mean score?") != std::string::npos);
  const Experiment wrong_rho;
  wrong_rho.write("", "1.5");
  const Outcome outcome = wrong_rho.run();
  CHECK(outcome.status == 2);
  CHECK(outcome.err.find("[[method]] Green, --rho: expected a number") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(wrong_rho.folder / "results"));
  CHECK(Experiment("reference = \"ful\"\n")
            .run()
            .err.find("key \"reference\": expected the name of a method, got ful; did you mean full?") !=
        std::string::npos);
  const Experiment same_folder;
  same_folder.write("", "0.6\n[[method]]\nname = \"FULL\"\nmethod = \"full\"");
  CHECK(same_folder.run().err.find(
            "[[method]] FULL: expected results in a folder of its own, got full-seed3 as of full") !=
        std::string::npos);
  const Experiment no_data;
  std::filesystem::remove(no_data.folder / "rows.jsonl");
  CHECK(no_data.run().err.find("expected a file or folder, got none named") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(no_data.folder / "results"));
  const Experiment deep;
  deep.folder.write("compare.toml", std::string(200000, 'a').replace(1, 100000, std::string(100000, '.')) + " = 1\n");
  CHECK(deep.run().err.find("compare.toml, line 1: expected tables and arrays nested at most 100 deep, got more") !=
        std::string::npos);
  CHECK(run_program({"experiment"}).err.find("FILE.toml: expected a value, got none") != std::string::npos);

  const Experiment wrong_score("score = \"rougeL\"\n");
  const Outcome late = wrong_score.run();
  CHECK(late.status == 1);
  CHECK_FALSE(std::filesystem::exists(wrong_score.folder / "results/cells/full-seed3"));  // found after the first run
  CHECK(late.err.find("expected a field of evaluate's report, got rougeL") != std::string::npos);
}

}  // namespace greentrainer::testing
