#include "toml_guard.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"

namespace greentrainer::program {

namespace {

/// Walks over a text as the parser will, and knows of each character whether it stands in a key, a value or a header.
class TomlScan {
 public:
  TomlScan(const std::string& where, const std::string& path, std::string_view bytes)
      : where_(where), path_(path), bytes_(bytes) {}

  void run() {
    if (bytes_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark
    while (at_ < bytes_.size()) step();
  }

 private:
  enum class In { key, value, behind_value, header };

  /// An array or an inline table that is open.
  struct Bracket {
    char opened;
    int depth;  ///< of what it holds
  };

  void step() {
    const char c = bytes_[at_];
    if (c == '\n') {
      ++line_;
      if (brackets_.empty()) end_statement();
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '#') {
      at_ = std::min(bytes_.find('\n', at_), bytes_.size());
    } else if (c == '"' || c == '\'') {
      skip_text(c);
      if (in_ == In::value) in_ = In::behind_value;
    } else if (!is_ascii(c)) {
      refuse_character();
    } else if (in_ == In::value) {
      value(c);
    } else {
      other(c);
    }
  }

  void end_statement() {
    if (in_ == In::header) statements_depth_ = depth_;
    in_ = In::key;
    begins_ = true;
    depth_ = statements_depth_;
  }

  /// The first character of a value that is no text.
  void value(char c) {
    if (c == '[' || c == '{') return open(c);
    if (c == ']' || c == '}' || c == ',') return other(c);  // of an empty array, or a mistake
    const std::size_t end = std::min(bytes_.find_first_of(" \t\r\n,]}#", at_), bytes_.size());
    while (at_ < end && is_ascii(bytes_[at_])) ++at_;
    if (at_ < end) refuse_character();
    in_ = In::behind_value;
  }

  void other(char c) {
    if (c == '.' && in_ != In::behind_value) deepen();
    if (c == '=' && in_ == In::key) {
      in_ = In::value;
    } else if (c == '[' && in_ == In::key && begins_ && brackets_.empty()) {
      in_ = In::header;
      depth_ = 1;
    } else if (c == '[' && in_ == In::header) {
      deepen();
    } else if ((c == '[' || c == '{') && in_ != In::header) {
      return open(c);
    } else if ((c == ']' || c == '}') && !brackets_.empty()) {
      brackets_.pop_back();
      in_ = In::behind_value;
      if (!brackets_.empty()) depth_ = brackets_.back().depth;
    } else if (c == ',' && !brackets_.empty()) {
      in_ = brackets_.back().opened == '[' ? In::value : In::key;
      depth_ = brackets_.back().depth;
    }
    begins_ = false;
    ++at_;
  }

  void open(char c) {
    deepen();
    brackets_.push_back({c, depth_});
    in_ = c == '[' ? In::value : In::key;
    begins_ = false;
    ++at_;
  }

  void deepen() {
    if (++depth_ <= max_toml_depth) return;
    throw LoadError(where_, text(path_, ", line ", line_),
                    text("expected tables and arrays nested at most ", max_toml_depth, " deep, got more"));
  }

  static bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

  [[noreturn]] void refuse_character() const {
    const auto character = replace_invalid_utf8(bytes_.substr(at_, utf8_char_at(bytes_, at_).length));
    const std::string what = in_ == In::key || in_ == In::header ? "key" : "value";
    throw LoadError(
        where_, text(path_, ", line ", line_),
        text("expected a ", what, " of ASCII characters, got one with ", character, "; put the ", what, " in quotes"));
  }

  void skip_text(char quote) {
    begins_ = false;
    const std::string three(3, quote);
    const bool many_lines = bytes_.substr(at_).starts_with(three);
    for (at_ += many_lines ? 3 : 1; at_ < bytes_.size(); ++at_) {
      const char c = bytes_[at_];
      if (c == '\n') {
        if (!many_lines) return;  // not closed: an error of the parser's
        ++line_;
      } else if (c == '\\' && quote == '"') {
        if (at_ + 1 < bytes_.size() && bytes_[at_ + 1] == '\n') ++line_;
        ++at_;
      } else if (c == quote && (!many_lines || bytes_.substr(at_).starts_with(three))) {
        at_ += many_lines ? 3 : 1;
        for (int own = 0; many_lines && own < 2 && at_ < bytes_.size() && bytes_[at_] == quote; ++own) ++at_;
        return;
      }
    }
    at_ = std::min(at_, bytes_.size());
  }

  const std::string& where_;
  const std::string& path_;
  std::string_view bytes_;
  std::size_t at_ = 0;
  int line_ = 1;
  In in_ = In::key;
  bool begins_ = true;        // of a statement
  int depth_ = 0;             // of the place
  int statements_depth_ = 0;  // of statements below the last header
  std::vector<Bracket> brackets_;
};

}  // namespace

void check_toml(const std::string& where, const std::string& path, std::string_view bytes) {
  TomlScan(where, path, bytes).run();
}

}  // namespace greentrainer::program
