// Every input that the fuzzers' corpora have, for the readers of files.

#include <doctest/doctest.h>

#include "fuzz/replay.hpp"
#include "fuzz/targets/checkpoint_index.hpp"
#include "fuzz/targets/gguf.hpp"
#include "fuzz/targets/gzip.hpp"
#include "fuzz/targets/manifest.hpp"
#include "fuzz/targets/safetensors.hpp"
#include "fuzz/targets/training_state.hpp"

using namespace greentrainer::fuzz;

TEST_CASE("files of the fuzzers' corpora are read, or refused by an error") {
  replay("safetensors", safetensors);
  replay("checkpoint_index", checkpoint_index);
  replay("manifest", manifest);
  replay("gguf", gguf);
  replay("gzip", gzip);
  replay("training_state", training_state);
}
