#pragma once

#include <string>

#include "greentrainer/core/types.hpp"

namespace greentrainer::program {

/// The processor and how many of its cores are ours, such as "AMD EPYC, 2 cores".
std::string machine_name();

/// The most memory that this process has had, as the system counts it.
Bytes peak_memory();
/// What it has now.
Bytes resident_memory();
/// Gives memory that nothing uses any more, but that lies between what is used, back to the system. Does nothing where
/// the C library cannot (glibc can).
void give_back_memory();
/// What the machine has, and what programs can still get of it without others being pushed out: as the system says,
/// or what the process's control groups (version 2) leave, where that is less. 0: not known.
Bytes machine_memory();
Bytes available_memory();

/// FLOPs a second that `threads` threads can do in float, from a short measurement.
double measured_peak(int threads);

/// Takes Ctrl-C and SIGTERM, so that a run can end after the step it is in. A second one ends the program at once.
void watch_for_interrupts();
bool interrupted();

}  // namespace greentrainer::program
