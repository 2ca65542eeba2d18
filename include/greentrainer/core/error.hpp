#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "greentrainer/core/text.hpp"

namespace greentrainer {

/// Root of everything the library throws. The text reads `[where] subject: detail`, where the detail says `expected X,
/// got Y; what to do`. The parts can be read one by one, so that a program can add its own name for a subject (a flag
/// for an option's field) or its own detail without searching the text.
class Error : public std::runtime_error {
 public:
  /// `where`: the function or part that found it. `subject`: the tensor, file, field or row that it is about; may be
  /// empty. Longer subjects and details are cut in the middle: a damaged file may have a name or a shape of megabytes.
  Error(std::string_view where, std::string_view subject, std::string_view detail)
      : Error(Part(where, most_of_subject), Part(subject, most_of_subject),
              Part(detail, most - std::min(subject.size(), most_of_subject))) {}

  Error(std::string_view where, std::string_view detail) : Error(where, {}, detail) {}

  std::string_view where() const { return all().substr(1, where_size_); }
  std::string_view subject() const { return all().substr(subject_begin(), subject_size_); }
  /// `subject: detail`, without `where`: for code that catches an error and throws it again with a subject of its own.
  std::string_view message() const { return all().substr(subject_begin()); }
  /// What was expected, what was there instead, and what to do.
  std::string_view detail() const {
    return all().substr(subject_begin() + (subject_size_ == 0 ? 0 : subject_size_ + separator.size()));
  }

 private:
  static constexpr std::size_t most_of_subject = 1000, most = 2000;
  static constexpr std::string_view after_where = "] ", separator = ": ";

  /// A text without its middle where it is longer than `size` bytes, and without zero bytes, which end `what()`.
  struct Part {
    Part(std::string_view whole, std::size_t size) : text(whole) {
      if (whole.size() > size) {
        const auto within_character = [&](std::size_t at) {  // of UTF-8
          return at < whole.size() && (static_cast<unsigned char>(whole[at]) & 0xC0U) == 0x80U;
        };
        std::size_t end = size / 2, begin = whole.size() - size / 2;
        while (end > 0 && within_character(end)) --end;
        while (within_character(begin)) ++begin;
        text.assign(whole.substr(0, end)).append(" ... ").append(whole.substr(begin));
      }
      for (auto at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) text.replace(at, 1, "\\0");
    }

    std::string text;
  };

  Error(const Part& where, const Part& subject, const Part& detail)
      : std::runtime_error(joined(where.text, subject.text, detail.text)),
        where_size_(where.text.size()),
        subject_size_(subject.text.size()) {}

  static std::string joined(std::string_view where, std::string_view subject, std::string_view detail) {
    std::string out = "[";
    out.append(where).append(after_where);
    if (!subject.empty()) out.append(subject).append(separator);
    return out.append(detail);
  }

  // The parts are views of the one text, which std::runtime_error copies without throwing.
  std::string_view all() const { return what(); }
  std::size_t subject_begin() const { return 1 + where_size_ + after_where.size(); }

  std::size_t where_size_, subject_size_;
};

/// Shapes do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A file cannot be read, or its contents are not what they should be.
class LoadError : public Error {
 public:
  using Error::Error;
};

/// A file cannot be written.
class SaveError : public Error {
 public:
  using Error::Error;
};

/// A model configuration or an option has a value that cannot be honoured.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// An option or configuration key does not exist. Its own type of ConfigError, so that programs can exit with "bad
/// usage".
class UsageError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// Training data or token ids cannot be used.
class DataError : public Error {
 public:
  using Error::Error;
};

/// Loss, gradients or weights are infinite or NaN.
class NumericalError : public Error {
 public:
  using Error::Error;
};

/// A backend ran out of memory, lacks a device or failed in a call.
class BackendError : public Error {
 public:
  using Error::Error;
};

/// A device that a backend needs is not there. Its own type of BackendError, so that programs can exit with "no
/// device".
class MissingDevice : public BackendError {
 public:
  using BackendError::BackendError;
};

}  // namespace greentrainer
