// greentrainer advise, and finetune --method auto that does what it says.

#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// About rows of scitldr on the embedded model.
Outcome advise(std::vector<std::string> more, const std::string& rows = "40") {
  more.insert(more.begin(), {"advise", "--model", source_path("examples/data/stories260k").string(), "--data",
                             source_path("examples/data/scitldr/train.jsonl").string(), "--rows", rows, "--max-tokens",
                             "128", "--batch-size", "2"});
  return run_program(more);
}

}  // namespace

TEST_CASE("advise tries candidates within a twentieth of the budget, and finetune does what it says") {
  const TemporaryFolder folder;
  const Outcome outcome = advise({"--budget", "0.6x", "--epochs", "40", "--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json advice = outcome.json();
  const Json& budget = advice["budget"];
  CHECK(budget["flops"].get<Flops>() < budget["full"].get<Flops>());
  CHECK(budget["pilot_allowed"].get<Flops>() == budget["flops"].get<Flops>() / 20);
  const Flops training = budget["pilot_training"].get<Flops>();
  CHECK(training > 0);
  CHECK(budget["pilot_evaluation"].get<Flops>() > 0);
  CHECK(training + budget["pilot_evaluation"].get<Flops>() <= budget["pilot_allowed"].get<Flops>());
  CHECK(advice["held_out"]["data"] == "training");
  CHECK(advice["held_out"]["rows"].get<int>() >= 8);
  CHECK(advice["held_out"]["of"].get<int>() <= 40);

  Flops in_last_rounds = 0;
  std::size_t tried = 0, last_round = 1000;
  double last_loss = 0;
  for (const Json& c : advice["candidates"]) {
    CAPTURE(c.dump());
    in_last_rounds += c["pilot_flops"].get<Flops>();
    CHECK(c["planned"].get<Flops>() <= budget["flops"].get<Flops>());
    if (c["round"] == 0) {
      CHECK(c["loss"].is_null());
      continue;
    }
    ++tried;
    CHECK(c["pilot_steps"].get<int>() >= 2);
    const auto round = c["round"].get<std::size_t>();
    const double loss = c["loss"].get<double>();
    CHECK(c["decrease"].get<double>() == doctest::Approx(advice["loss_before"].get<double>() - loss));
    CHECK(c["behind"].is_null() == (round != advice["rounds"].get<std::size_t>()));
    CHECK(round <= last_round);  // later rounds first, then lower losses
    if (round == last_round) CHECK(loss >= last_loss);
    last_round = round;
    last_loss = loss;
  }
  CHECK(tried >= 3);
  CHECK(in_last_rounds <= training);
  CHECK(advice["candidates"][0]["behind"] == 0);

  const Json& recommended = advice["recommendation"];
  const std::string command = recommended["command"].get<std::string>();
  CHECK(command.starts_with("greentrainer finetune --model "));
  CHECK(command.find(" --train-rows 0:40 --output tuned --method ") != std::string::npos);
  CHECK(command.find(" --epochs 40 --batch-size 2 --budget 0.6x --max-tokens 128") != std::string::npos);
  for (const auto& [name, value] : recommended["options"].items())
    CHECK(command.find(" --" + name + " " + value.get<std::string>()) != std::string::npos);

  const std::string file = folder.write("advice.json", outcome.out).string();
  const Outcome trained = run_program({"finetune",        "--json",
                                       "--model",         source_path("examples/data/stories260k").string(),
                                       "--train",         source_path("examples/data/scitldr/train.jsonl").string(),
                                       "--train-rows",    "8",
                                       "--max-tokens",    "128",
                                       "--steps",         "1",
                                       "--method",        "auto",
                                       "--advice",        file,
                                       "--learning-rate", "3e-4",
                                       "--output",        (folder / "out").string()});
  REQUIRE_MESSAGE(trained.status == 0, trained.err);
  CHECK(trained.json()["method"] == recommended["options"]["method"]);
  CHECK(trained.json()["is_auto"] == true);
  CHECK(trained.err.find("method auto: --method " + recommended["options"]["method"].get<std::string>()) !=
        std::string::npos);
  CHECK(trained.err.find(" --learning-rate 0.0003\n") != std::string::npos);  // what is given stays
}

TEST_CASE("a budget too small for pilots leaves the default, and nothing is spent") {
  const Outcome outcome = advise({"--epochs", "1", "--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json advice = outcome.json();
  CHECK(advice["rounds"] == 0);
  CHECK(advice["loss_before"].is_null());
  CHECK(advice["budget"]["flops"] == advice["budget"]["full"]);
  CHECK(advice["budget"]["pilot_training"] == 0);
  CHECK(advice["budget"]["pilot_evaluation"] == 0);
  CHECK(advice["recommendation"]["is_sure"] == false);
  CHECK(advice["recommendation"]["options"] == Json{{"method", "lora"},
                                                    {"lora-targets", "all-linear"},
                                                    {"context-gradients", "keys"},
                                                    {"learning-rate", "0.001"}});
  CHECK(advice["recommendation"]["reason"].get<std::string>().find("does not pay for two candidates") !=
        std::string::npos);

  const Outcome table = advise({"--epochs", "1"});
  CHECK(table.status == 0);
  CHECK(table.out.find("recommended: LoRA, all linear, gradients to the context's keys, 0.001, all blocks, ") !=
        std::string::npos);
  CHECK(table.out.find("\ngreentrainer finetune --model ") != std::string::npos);
}

TEST_CASE("candidates are compared on validation rows where there are some, and a run of its own is advised about") {
  const Outcome outcome = advise({"--validation", source_path("examples/data/scitldr/validation.jsonl").string(),
                                  "--validation-rows", "10", "--steps", "300", "--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json advice = outcome.json();
  CHECK(advice["held_out"]["data"] == "validation");
  CHECK(advice["held_out"]["rows"] == 10);
  CHECK(advice["held_out"]["of"] == 10);
  CHECK(advice["candidates"][0]["steps"] == 300);
  const std::string command = advice["recommendation"]["command"].get<std::string>();
  CHECK(command.find("--validation-rows 0:10") != std::string::npos);
  CHECK(command.find(" --steps 300") != std::string::npos);
}

TEST_CASE("too few rows to hold some out are named, whatever the budget") {
  const Outcome outcome = advise({"--epochs", "1000", "--json"}, "20");
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  CHECK(
      outcome.json()["recommendation"]["reason"].get<std::string>().find("training rows are too few to compare by, 32 "
                                                                         "are needed") != std::string::npos);
}

TEST_CASE("what advise and --advice cannot take is refused by name") {
  const auto error = [](const Outcome& outcome, int status) {
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    return outcome.err;
  };
  CHECK(error(advise({"--budget", "20min"}), 2).find("time is planned by finetune, which measures it") !=
        std::string::npos);
  CHECK(error(advise({"--validation-rows", "10"}), 2)
            .find("--validation-rows: expected not to be given with advice without --validation") != std::string::npos);
  CHECK(error(run_program({"advise", "--model", "x"}), 2).find("--data: expected a value, got none") !=
        std::string::npos);

  const TemporaryFolder folder;
  const auto with = [&](const std::string& method, const std::string& file) {
    return run_program({"finetune", "--model", source_path("examples/data/stories260k").string(), "--train",
                        source_path("examples/data/scitldr/train.jsonl").string(), "--output",
                        (folder / "out").string(), "--method", method, "--advice", file});
  };
  const std::string other =
      folder.write("other.json", R"({"recommendation": {"options": {"method": "lora", "output": "/"}}})").string();
  CHECK(error(with("full", other), 2).find("--advice: expected not to be given with --method full") !=
        std::string::npos);
  CHECK(error(with("auto", other), 1)
            .find("other.json: expected what greentrainer advise --json prints, got the option \"output\" of") !=
        std::string::npos);
  CHECK(error(with("auto", folder.write("none.json", "[]").string()), 1).find("got no object \"recommendation\"") !=
        std::string::npos);
  for (const auto& [options, what] : {std::pair{R"({"method": "auto"})", "got the method \"auto\""},
                                      std::pair{R"({"rho": "0.5", "method": "lora"})", "got the option \"rho\" of"},
                                      std::pair{R"({"learning-rate": "1e-3"})", "got no method"}}) {
    const std::string file =
        folder.write("odd.json", text(R"({"recommendation": {"options": )", options, "}}")).string();
    CHECK(error(with("auto", file), 1).find(what) != std::string::npos);
  }
  const std::string wrong =
      folder.write("wrong.json", R"({"recommendation": {"options": {"method": "full", "learning-rate": "x"}}})")
          .string();
  CHECK(error(with("auto", wrong), 2).find("--learning-rate: expected a number of more than 0, got x") !=
        std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
}
