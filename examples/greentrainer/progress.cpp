#include "progress.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "console.hpp"

namespace greentrainer::program {

void Progress::step(const StepRecord& record) {
  spent_ += record.flops + record.recomputed_flops;
  full_ += record.full_flops;
  seconds_ += record.seconds;
  recent_seconds_ += record.seconds;
  recent_flops_ += static_cast<double>(record.flops + record.recomputed_flops);
  recent_tokens_ += static_cast<double>(record.tokens);

  const int columns = terminal_columns();
  const auto now = Clock::now();
  const double since_shown = std::chrono::duration<double>(now - last_shown_).count();
  const bool ends = record.step == 1 || record.step == record.total_steps;
  const bool due =
      columns > 0 ? since_shown > 0.1 : since_shown > 30 || (record.step - last_shown_step_) * 10 >= record.total_steps;
  if (!ends && !due) return;

  if (recent_seconds_ > 0) {
    tokens_per_second_ = recent_tokens_ / recent_seconds_;
    share_of_peak_ = peak_ > 0 ? recent_flops_ / recent_seconds_ / peak_ : 0;
  }
  recent_seconds_ = recent_flops_ = recent_tokens_ = 0;
  last_shown_ = now;
  last_shown_step_ = record.step;
  show(status(record, columns), columns);
}

void Progress::go_on_from(const TrainingReport& report) {
  for (const StepRecord& record : report.history) {
    spent_ += record.flops + record.recomputed_flops;
    full_ += record.full_flops;
    seconds_ += record.seconds;
    last_shown_step_ = record.step;
  }
}

void Progress::evaluation(std::size_t done, std::size_t of, const std::string& when) {
  const auto now = Clock::now();
  if (!evaluating_) {  // its first pass is over
    evaluation_started_ = last_shown_ = now;
    first_done_ = done;
  }
  evaluating_ = done < of;
  const int columns = terminal_columns();
  if (std::chrono::duration<double>(now - last_shown_).count() < (columns > 0 ? 0.1 : 10)) return;
  last_shown_ = now;
  const double spent = std::chrono::duration<double>(now - evaluation_started_).count();
  const double left =
      done == first_done_ ? 0 : spent / static_cast<double>(done - first_done_) * static_cast<double>(of - done);
  show(text("evaluated ", done, " of ", of, " examples", when.empty() ? "" : " ", when, "  ETA ", duration_text(left)),
       columns);
}

void Progress::show(const std::string& line, int columns) {
  if (columns > 0) {
    std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    std::fflush(stderr);
    bar_drawn_ = true;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

void Progress::clear() {
  if (bar_drawn_) std::fprintf(stderr, "\n");
  bar_drawn_ = false;
}

std::string Progress::status(const StepRecord& record, int columns) const {
  const double left =
      seconds_ / static_cast<double>(record.step) * static_cast<double>(record.total_steps - record.step);
  std::vector<std::string> fields = {
      text("step ", record.step, '/', record.total_steps), "loss " + fixed(record.loss, 4),
      with_prefix(tokens_per_second_, "tok/s"), "ETA " + duration_text(left),
      with_prefix(static_cast<double>(spent_), "FLOPs") + ", " +
          fixed(full_ == 0 ? 0 : static_cast<double>(spent_) / static_cast<double>(full_), 3) + " of full"};
  if (share_of_peak_ > 0) fields.push_back(fixed(100 * share_of_peak_, 0) + "% of peak");
  std::string line;
  for (const std::string& field : fields) {
    const std::size_t width = line.size() + (line.empty() ? 0 : 2) + field.size();
    if (columns > 0 && width >= static_cast<std::size_t>(columns)) break;
    line += (line.empty() ? "" : "  ") + field;
  }
  if (columns == 0) return line;

  const int room = std::min(30, columns - 1 - static_cast<int>(line.size()) - 4);
  if (room < 5) return line;
  const auto done = static_cast<std::size_t>(static_cast<Extent>(room) * record.step / record.total_steps);
  return '[' + std::string(done, '#') + std::string(static_cast<std::size_t>(room) - done, '.') + "]  " + line;
}

}  // namespace greentrainer::program
