#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace greentrainer {

/// Root of everything the library throws. The text reads `[where] subject: expected X, got Y; what to do`.
class Error : public std::runtime_error {
 public:
  Error(std::string_view where, std::string_view what) : std::runtime_error(format(where, what)) {}

 private:
  static std::string format(std::string_view where, std::string_view what) {
    constexpr std::size_t most = 2000;  // a damaged file may have a name or a shape of megabytes
    std::string text = "[";
    text.append(where).append("] ");
    if (what.size() <= most) return text.append(what);
    std::size_t end = most / 2, begin = what.size() - most / 2;
    while ((static_cast<unsigned char>(what[end]) & 0xC0U) == 0x80U) --end;  // not within a character of UTF-8
    while (begin < what.size() && (static_cast<unsigned char>(what[begin]) & 0xC0U) == 0x80U) ++begin;
    return text.append(what.substr(0, end)).append(" ... ").append(what.substr(begin));
  }
};

/// Shapes that do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read, or whose contents are not what they should be.
class LoadError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be written.
class SaveError : public Error {
 public:
  using Error::Error;
};

/// A model configuration or an option whose value cannot be honoured.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// An option or configuration key that does not exist. A ConfigError of its own so that programs can exit with "bad
/// usage".
class UsageError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// Training data or token ids that cannot be used.
class DataError : public Error {
 public:
  using Error::Error;
};

/// Loss, gradients or weights that are no longer numbers.
class NumericalError : public Error {
 public:
  using Error::Error;
};

/// A backend that ran out of memory, lacks a device or failed in a call.
class BackendError : public Error {
 public:
  using Error::Error;
};

/// A device that a backend needs is not there. A BackendError of its own so that programs can exit with "no device".
class MissingDevice : public BackendError {
 public:
  using BackendError::BackendError;
};

/// Concatenates its arguments as a stream would: the text of an error in one expression.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace greentrainer
