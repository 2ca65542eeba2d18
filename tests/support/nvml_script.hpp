#pragma once

namespace greentrainer::testing {

/// What the made-up library answers. Statuses are of nvmlReturn_t; 0 is success.
struct NvmlScript {
  int init = 0, device = 0, energy = 0;
  unsigned long long millijoules = 0;
  bool names_errors = true;  ///< whether nvmlErrorString knows them
  char address[32] = {};     ///< that was asked for last
  int initialised = 0;       ///< nvmlInit_v2 without nvmlShutdown
};

}  // namespace greentrainer::testing
