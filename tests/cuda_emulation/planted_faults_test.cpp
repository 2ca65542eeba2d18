#include "cuda_emulation/planted_faults.hpp"

#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "cuda_emulation/emulation.hpp"
#include "cuda_emulation/source/sanitizers.hpp"

using namespace greentrainer::cuda_emulation;

namespace {

/// Which builds a fault shows itself in.
enum class Build { every, thread_sanitizer_alone };

struct PlantedFault {
  std::string name;
  bool (*results_differ)();
  const char* finding;  ///< part of the fault's text, or "results differ"
  Build build = Build::every;
  bool needs_protection = false;
};

const char* const differ = "results differ";

// Each comes to light in at least one mode.
const std::vector<PlantedFault> planted_faults = {
    {"divergent barrier", planted::divergent_barrier,
     "expected every thread of the block at the barrier planted_faults.hpp:"},
    {"two barriers for one", planted::two_barriers, "got one at planted_faults.hpp:"},
    {"early return before a barrier", planted::early_return, "got one that has returned"},
    {"divergent shuffle", planted::divergent_shuffle, "got lane 1 that has returned"},
    {"shuffle against barrier", planted::shuffle_against_barrier, "got lane 16 at planted_faults.hpp:"},
    {"lane not in its mask", planted::lane_not_in_mask, "expected a mask with lane "},
    {"source not in the mask", planted::source_not_in_mask, "expected a value of a lane in mask 0xffff"},
    {"mask for half a warp", planted::half_a_warp, "got lane 1"},
    {"missing barrier after writing", planted::reverse<false>, differ},
    {"missing barrier before overwriting", planted::rounds<false>, differ},
    {"missing __syncwarp before a higher lane is read", planted::higher_neighbour<false>, differ},
    {"missing __syncwarp before a lower lane is read", planted::lower_neighbour<false>, differ},
    {"accumulation by threads without atomics", planted::accumulate<false, 1, 64>, "data race",
     Build::thread_sanitizer_alone},
    {"accumulation by warps' first lanes without atomics", planted::accumulate<false, 8, 1>, "data race",
     Build::thread_sanitizer_alone},
    {"read behind device memory", planted::read_at<64>,
     "got one to 0 bytes behind the end of device memory (256 bytes)"},
    {"read far behind device memory", planted::read_at<100'000>, "bytes behind the end of device memory (256 bytes)"},
    {"write before device memory", planted::write_at<-1, 64>, "device memory"},
    {"write behind device memory of an odd size", planted::write_at<63, 63>,
     "expected writes in device memory, got some around device memory"},
    {"null pointer", planted::null_pointer, "got one to a null pointer"},
    {"pointer to memory of the host", planted::host_pointer, "argument 0: expected a pointer to device memory"},
    {"use after free", planted::use_after_free, "got one to byte 0 of freed device memory (256 bytes)"},
    {"freed while a kernel is pending", planted::freed_too_early, "of freed device memory"},
    {"freed twice", planted::free_twice,
     "[cudaFree] expected the start of live memory, got byte 0 of freed device memory"},
    {"write behind a shared array", planted::static_shared<8>,
     "0 bytes behind the end of shared array 'row' (32 bytes)"},
    {"write before a shared array", planted::static_shared<-1>, "around shared array 'row'"},
    {"read behind dynamic shared memory", planted::dynamic_shared_read,
     "0 bytes behind the end of dynamic shared memory (32 bytes)"},
    {"misaligned vector", planted::misaligned, "aligned"},
    {"stack too deep", planted::deep_stack, "bytes of its stack"},
    {"uninitialised device memory", planted::uninitialised_device_memory, differ},
    {"uninitialised shared memory", planted::uninitialised_shared_memory, differ},
    {"shared memory of the block before", planted::left_over, differ},
    {"host dereferences device memory", planted::host_dereference, "[host] expected accesses to memory of the host",
     Build::every, true},
    {"missing wait before reading", planted::download<false>, differ},
    {"host buffer reused too early", planted::upload_twice<false>, differ},
    {"streams without order", planted::two_streams<false>, differ},
    {"copy out of range", planted::copy_out_of_range, "[cudaMemcpy] destination: expected 20 bytes in device memory"},
    {"copy in the wrong direction", planted::copy_direction, "[cudaMemcpy] destination: expected 16 bytes of the host"},
    {"too many threads", planted::too_many_threads, "threads of a block: expected 1 to 1024, got 1056"},
    {"over 48 KB of dynamic shared memory", planted::too_much_dynamic_shared,
     "expected at most 49152 bytes, as cudaFuncSetAttribute"},
    {"over 48 KB of static and dynamic shared memory", planted::too_much_shared,
     "got 256 static and 49152 dynamic ones"},
    {"bad leading dimension", planted::bad_leading_dimension, "leading dimension of A: expected at least 8, got 7"},
    {"product out of range", planted::product_out_of_range, "[cublasGemm] A: expected 192 bytes in device memory"},
    {"misaligned factor", planted::misaligned_factor, "address of A: expected a multiple of 4"},
    {"overlapping batches", planted::overlapping_batches, "stride of C: expected at least 4"},
};

std::string findings(const PlantedFault& fault, Settings mode) {
  mode.protect_device_memory = fault.needs_protection;
  const Session session(mode);
  std::string found = fault.results_differ() ? "results differ\n" : "";
  cudaDeviceSynchronize();
  for (const std::string& text : take_faults()) found += text + "\n";
  return found;
}

/// In a process of its own, which a report of AddressSanitizer or UndefinedBehaviorSanitizer ends.
std::string findings_of_child(const PlantedFault& fault, const Settings& mode) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    const std::string found = findings(fault, mode);
    _exit(write(STDOUT_FILENO, found.data(), found.size()) < 0 ? 1 : 0);
  }
  close(ends[1]);
  std::string found;
  char part[4096];
  for (ssize_t bytes = 0; (bytes = read(ends[0], part, sizeof part)) > 0;)
    found.append(part, static_cast<std::size_t>(bytes));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return found;
}

bool reported_by_sanitizer(const std::string& found) {
  return found.find("ERROR: AddressSanitizer") != std::string::npos ||
         found.find("runtime error:") != std::string::npos;
}

}  // namespace

TEST_CASE("every planted fault is found, and in words") {
  for (const PlantedFault& fault : planted_faults) {
    if (fault.build == Build::thread_sanitizer_alone && !thread_sanitizer) continue;
    CAPTURE(fault.name);
    std::string all;
    bool found = false;
    for (const Settings& mode : every_mode()) {
      const std::string here = address_sanitizer ? findings_of_child(fault, mode) : findings(fault, mode);
      found =
          found || here.find(fault.finding) != std::string::npos || (address_sanitizer && reported_by_sanitizer(here));
      all += text_of(mode) + ": " + here + "\n";
    }
    CHECK_MESSAGE(found, all);
  }
}

TEST_CASE("each order of threads alone misses some planted fault") {
  const auto shows = [](bool (*results_differ)(), const char* mode) {
    const Session session(parse_settings(mode));
    const bool shown = results_differ();
    take_faults();
    return shown;
  };
  CHECK(shows(planted::higher_neighbour<false>, "forward"));
  CHECK_FALSE(shows(planted::higher_neighbour<false>, "reverse"));
  CHECK_FALSE(shows(planted::lower_neighbour<false>, "forward"));
  CHECK(shows(planted::lower_neighbour<false>, "reverse"));
  CHECK_FALSE(shows(planted::download<false>, "immediate"));
  CHECK(shows(planted::download<false>, "deferred"));
  CHECK(shows(planted::freed_too_early, "deferred"));
  CHECK_FALSE(shows(planted::freed_too_early, "immediate"));
}

TEST_CASE("the same programs without the fault are found to be right") {
  for (const Settings& mode : every_mode()) {
    CAPTURE(text_of(mode));
    for (bool (*results_differ)() :
         {planted::reverse<true>, planted::rounds<true>, planted::higher_neighbour<true>,
          planted::lower_neighbour<true>, planted::accumulate<true, 1, 64>, planted::accumulate<true, 8, 1>,
          planted::read_at<63>, planted::download<true>, planted::upload_twice<true>, planted::two_streams<true>}) {
      const Session session(mode);
      CHECK_FALSE(results_differ());
      CHECK(take_faults() == std::vector<std::string>{});
    }
  }
  CHECK(live_allocations() == 0);
}
