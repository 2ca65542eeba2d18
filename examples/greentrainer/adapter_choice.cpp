#include "adapter_choice.hpp"

namespace greentrainer::program {

void AdapterChoice::declare(Command& command) {
  command.choice("adapters", candidates, {"none", "lora"}, "green: LoRA's matrices as further candidates (none)");
  command.number("adapter-rate-factor", rate_factor, 0, true,
                 "green with --adapters lora: learning rate of LoRA's matrices, as a multiple of --learning-rate (1)");
  command.whole("lora-r", lora_rank, 1, "LoRA: rank (8)", 1 << 16);
  command.number("lora-alpha", lora_alpha, 0, true, "LoRA: scale times rank (32)");
  command.number("lora-dropout", lora_dropout, 0, false, "LoRA: share of its input that is dropped in training (0.1)",
                 0.999);
  command.list("lora-targets", lora_targets, "GLOB,...",
               "LoRA: linear layers by name, glob or end of name; all-linear: all but the output head (query and value "
               "projections)");
  command.whole("prefix-tokens", prefix_tokens, 1,
                "prefix: learned keys and values of so many tokens, in every layer (20)", 1 << 16);
  command.text("adapter-output", output, "merged|peft",
               "lora: merged into the weights, or a folder for peft (merged); prefix: peft");
  command.number("dropout", dropout, 0, false, "Share of every block's output that is dropped in training (0)", 0.999);
}

void AdapterChoice::check(const Command& command, const std::string& method) const {
  const std::string reason = "--method " + method;
  if (method != "green") command.refuse("adapters", "method", reason);
  if (candidates == "none") {
    command.refuse("adapter-rate-factor", "adapters",
                   method == "green" ? "--method green without --adapters lora" : reason);
  }
  if (method != "prefix") command.refuse("prefix-tokens", "method", reason);
  if (!has_lora(method)) {
    for (const char* name : {"lora-r", "lora-alpha", "lora-dropout", "lora-targets"}) {
      command.refuse(name, "method", reason + (method == "green" ? " without --adapters lora" : ""));
    }
  }
  if (method != "lora" && method != "prefix") command.refuse("adapter-output", "method", reason);
  if (output != "" && output != "merged" && output != "peft") {
    bad_usage("finetune", greentrainer::text("--adapter-output: expected merged or peft, got ", output,
                                             suggestion(output, {"merged", "peft"})));
  }
  if (as_adapter(method)) command.refuse("save-dtype", "adapter-output", "an adapter's output");
  if (method == "prefix" && output == "merged") {
    bad_usage("finetune",
              "--adapter-output: expected peft with --method prefix, got merged; keys and values in front of a text "
              "cannot become weights");
  }
}

void AdapterChoice::add_facts(const std::string& method, std::map<std::string, std::string>& facts) const {
  facts["dropout"] = exact_text(dropout);
  if (method == "prefix") facts["prefix_tokens"] = text(prefix_tokens);
  if (!has_lora(method)) return;
  facts["adapters"] = candidates;
  facts["lora_r"] = text(lora_rank);
  facts["lora_alpha"] = exact_text(lora_alpha);
  facts["lora_dropout"] = exact_text(lora_dropout);
  for (const std::string& target : lora_targets) facts["lora_targets"] += target + ",";
}

GraphOptions AdapterChoice::graph_options(const std::string& method) const {
  GraphOptions options{.dropout = dropout};
  if (has_lora(method))
    options.lora =
        LoraOptions{.rank = lora_rank, .alpha = lora_alpha, .dropout = lora_dropout, .targets = lora_targets};
  if (method == "prefix") options.prefix_tokens = prefix_tokens;
  return options;
}

}  // namespace greentrainer::program
