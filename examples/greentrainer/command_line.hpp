#pragma once

#include <vector>

#include "command.hpp"

namespace greentrainer::program {

inline constexpr const char* program_summary =
    "Fine-tunes Hugging Face language models within a FLOPs budget: GreenTrainer (arXiv 2309.13192) chooses which "
    "tensors to train.";

inline constexpr const char* program_examples =
    "Examples:\n"
    "  greentrainer plan --model opt-125m --tokens 256 --labelled-tokens 32\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --rho 0.5\n"
    "  greentrainer evaluate --model tuned --data validation.jsonl\n"
    "  greentrainer experiment compare.toml\n"
    "  greentrainer COMMAND --help";

inline constexpr const char* exit_statuses =
    "0 done, 1 failed (one line on stderr says why), 2 bad usage, 77 no such device here, 130 stopped by Ctrl-C.";

/// Reads the command line, and the file of --config, into the options of the command that is named. Returns it, or
/// nullptr after --help or --version, which are printed. Throws UsageError for anything unknown or malformed, with the
/// nearest known name.
Command* read_command_line(int argc, char** argv, std::vector<Command>& commands);

}  // namespace greentrainer::program
