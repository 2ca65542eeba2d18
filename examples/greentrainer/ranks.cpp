#include "ranks.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <sched.h>
#include <string_view>
#include <unistd.h>

#include "console.hpp"
#include "terminal.hpp"

namespace greentrainer::program {

namespace {

/// Seconds for which a rank that has failed waits to see whether the others fail, too.
constexpr double patience = 3;

/// Where a rank runs.
struct Place {
  std::array<char, 256> machine{};
  cpu_set_t processors;
};

Place own_place() {
  Place place;
  gethostname(place.machine.data(), place.machine.size() - 1);
  CPU_ZERO(&place.processors);
  sched_getaffinity(0, sizeof place.processors, &place.processors);
  return place;
}

void say_error(const std::string& line) { std::fprintf(stderr, "%s\n", without_controls(line).c_str()); }

}  // namespace

int launched_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {  // Open MPI; MPICH and its relatives
    const char* const value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view digits = value;
    int size = 1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (error == std::errc{} && end == digits.data() + digits.size() && size > 0) return size;
  }
  return 1;
}

int threads_of_rank(LaunchedRanks& ranks) {
  const Place own = own_place();
  int sharing = 0, on_machine = 0;
  for (const Place& other : ranks.exchange().gather(own, Traffic::control)) {
    const bool same_machine = other.machine == own.machine;
    on_machine += same_machine ? 1 : 0;
    sharing += same_machine && CPU_EQUAL(&other.processors, &own.processors) ? 1 : 0;
  }
  const int processors = CPU_COUNT(&own.processors);
  if (processors == 1 && sysconf(_SC_NPROCESSORS_ONLN) > on_machine)
    say("note: the launcher has bound each rank to one processor; mpirun --bind-to none lets them use all");
  return std::max(1, processors / std::max(1, sharing));
}

int end_together(LaunchedRanks& ranks, const Ending& own) {
  const auto spoken = [&](int rank, const std::string& error) {
    return rank == 0 ? error : text("rank ", rank, ": ", error);
  };
  const auto end_all = [&](const std::string& error, int status) {
    say_error(spoken(ranks.rank(), error));
    ranks.abort(status);
  };
  if (own.others_are_lost) end_all(own.error, own.status);
  if (!own.error.empty()) {
    if (!ranks.all_end(patience)) end_all(own.error, own.status);
  } else {
    try {
      ranks.all_end();  // the first rank may still evaluate and save for long
    } catch (const CommunicationError& error) {
      end_all(error.what(), 1);
    }
  }
  Ranks exchange = ranks.exchange();
  const auto statuses = exchange.gather(own.status, Traffic::control);
  const auto errors = exchange.gather(own.error, Traffic::control);
  const auto first = std::find_if(statuses.begin(), statuses.end(), [](int status) { return status != 0; });
  if (first == statuses.end()) return 0;
  const auto rank = static_cast<int>(first - statuses.begin());
  const std::string& error = errors[static_cast<std::size_t>(rank)];
  if (ranks.is_first() && !error.empty()) say_error(spoken(rank, error));
  return *first;
}

SilentOutput::SilentOutput(bool silent) {
  const int nowhere = silent ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
  if (nowhere < 0) return;
  out_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  error_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

SilentOutput::~SilentOutput() {
  std::cout.flush();
  std::fflush(nullptr);
  for (const auto& [kept, standard] : {std::pair{out_, STDOUT_FILENO}, std::pair{error_, STDERR_FILENO}}) {
    if (kept < 0) continue;
    dup2(kept, standard);
    close(kept);
  }
}

}  // namespace greentrainer::program
