// greentrainer calibrate: how long the operators of a model take on this machine, for budgets in time.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/cost/time_cost.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "kept_times.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer calibrate --model opt-125m --train train.jsonl\n"
    "Measures every operator of the model, forward and backward, on one batch of the data and on its first row, and "
    "the "
    "update of a weight.\n"
    "The times are kept for finetune --budget 20min, which measures by itself what is missing.";

struct Options {
  std::string model, train, config;
  BackendChoice backend;
  Extent batch_size = 4;
  DataChoice data;
  bool json = false;
};

/// Of one kind of operator, in one full fine-tuning pass over a batch.
struct KindTime {
  double forward = 0, backward = 0;  ///< seconds
  double flops = 0;
};

struct Calibration {
  std::map<std::string, KindTime> kinds;
  double pass = 0;    ///< seconds: of all of them
  double update = 0;  ///< seconds: of all weights
  double watts = 0;   ///< 0: not measured
  std::map<std::string, double, std::less<>> watts_of = {};
  Workload workload;
};

template <Backend B>
Calibration price(Model<B>& model, const OperatorTimes& times, const Workload& workload) {
  const auto& graph = model.graph();
  const TimeCost<B> time(std::make_shared<OperatorTimes>(times));
  const ExactCost<B> flops;
  const auto seconds = [&](const LinearCost& cost) {
    return static_cast<double>(evaluate(cost, workload)) / picoseconds;
  };
  Calibration result{.kinds = {}, .workload = workload};
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& op = *graph.op(id).op;
    KindTime& kind = result.kinds[std::string(op.kind())];
    kind.forward += seconds(time.forward(graph, id));
    kind.flops += static_cast<double>(evaluate(flops.forward(graph, id), workload));
    for (int part = 0; part < static_cast<int>(op.parts().size()); ++part) {
      kind.backward += seconds(time.part(graph, id, part));
      kind.flops += static_cast<double>(evaluate(flops.part(graph, id, part), workload));
    }
  }
  result.watts = times.watts;
  result.watts_of = times.watts_of;
  result.pass = times.per_pass / picoseconds;
  for (const auto& [name, kind] : result.kinds) result.pass += kind.forward + kind.backward;
  const AdamWOptions adamw;
  const auto optimizer = make_optimizer(model.backend(), adamw);
  result.update =
      times.per_update.at(update_key(optimizer->flops_per_element(), optimizer->state_bytes_per_element())) *
      static_cast<double>(parameter_elements(graph)) / picoseconds;
  return result;
}

/// `problem`: why energy was not measured.
void print(const Calibration& result, const std::string& problem, bool as_json) {
  if (as_json) {
    OrderedJson json = {{"tokens", result.workload[Measure::decoder_tokens] + result.workload[Measure::encoder_tokens]},
                        {"pass_seconds", result.pass},
                        {"update_seconds", result.update},
                        {"watts", result.watts > 0 ? OrderedJson(result.watts) : OrderedJson()},
                        {"watts_of", result.watts_of},
                        {"operators", OrderedJson::array()}};
    for (const auto& [name, kind] : result.kinds) {
      json["operators"].push_back({{"kind", name},
                                   {"forward_seconds", kind.forward},
                                   {"backward_seconds", kind.backward},
                                   {"flops", kind.flops}});
    }
    print_json(json);
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"operators", "forward", "backward", "of the pass", "FLOPs a second"}};
  const auto milliseconds = [](double seconds) { return fixed(1e3 * seconds, 1) + " ms"; };
  for (const auto& [name, kind] : result.kinds) {
    const double both = kind.forward + kind.backward;
    rows.push_back({name, milliseconds(kind.forward), milliseconds(kind.backward),
                    fixed(100 * both / result.pass, 1) + " %",
                    kind.flops > 0 && both > 0 ? with_prefix(kind.flops / both, "FLOPs") : "-"});
  }
  print_table(rows);
  std::cout << "a pass of full fine-tuning over a batch of "
            << result.workload[Measure::decoder_tokens] + result.workload[Measure::encoder_tokens] << " tokens takes "
            << milliseconds(result.pass) << ", an update of all weights " << milliseconds(result.update) << '\n';
  if (result.watts > 0) {
    std::cout << "meanwhile what computes takes " << fixed(result.watts, 1) << " W, a pass "
              << fixed(result.watts * result.pass, 3) << " J\n";
    for (const auto& [work, watts] : result.watts_of) std::cout << "  " << work << ' ' << fixed(watts, 1) << " W\n";
  } else {
    std::cout << "energy not measured: " << (problem.empty() ? "too short for its counters" : problem) << '\n';
  }
}

int run(const Options& options) {
  return with_backend(options.backend, [&](auto& backend) {
    auto model = load_pretrained(std::filesystem::path(options.model), backend);
    const Dataset data =
        load_data(options.train, model.has_tokenizer() ? &model.tokenizer() : nullptr, model.facts(), options.data);
    say_if_not_native();
    MachineEnergy energy(gpu_address(backend));
    const OperatorTimes times =
        times_of(model, std::span<const Example>(data.examples), options.batch_size, AdamWOptions{}, true, &energy);
    const Batch batch = calibration_batches(data.examples, options.batch_size).front();
    print(price(model, times, workload_of(batch, model.graph().window())), energy.problem(), options.json);
    return 0;
  });
}

}  // namespace

Command make_calibrate_command() {
  const auto options = std::make_shared<Options>();
  Command command("calibrate", "How long the operators of a model take on this machine", examples);
  command.text("model", options->model, "DIR", "Model folder in Hugging Face form (safetensors)");
  command.text("train", options->train, "FILE", "Training data, JSON lines");
  command.whole("batch-size", options->batch_size, 1, "Rows in a batch (4)", 1 << 16);
  declare_data(command, options->data);
  declare_target_tokens(command, options->data);
  declare_packing(command, options->data);
  declare_backend(command, options->backend);
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) {
    for (const char* name : {"model", "train"}) self.require(name);
    check_backend(self, options->backend);
  };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
