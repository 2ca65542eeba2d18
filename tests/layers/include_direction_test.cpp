#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/paths.hpp"

// The layers of the library, and a scanner that reports every #include whose arrow points the wrong way. A new folder
// gets a row here.

namespace {

using Files = std::map<std::string, std::string>;  // path from the root of the repository -> text

struct Layer {
  std::vector<std::string> includes;   // the layers next to its left; those to their left come with them
  bool standard_library_alone = true;  // of headers that are not ours
};

const std::map<std::string, Layer> layers = {
    {"core", {{}}},
    {"concepts", {{"core"}}},
    {"parallel", {{"concepts"}}},
    {"tensor", {{"concepts"}}},
    {"ops", {{"tensor"}}},
    {"graph", {{"ops"}}},
    {"cost", {{"graph"}}},
    {"select", {{"cost"}}},
    {"executor", {{"ops", "graph"}}},
    {"blocks", {{"executor"}}},
    {"optim", {{"graph"}}},
    {"io", {{"core"}, false}},
    {"tokenizers", {{"io"}, false}},
    {"templates", {{"tokenizers"}, false}},  // texts of tokens as UTF-8, and ICU
    {"data", {{"templates"}, false}},
    {"metrics", {{"tokenizers"}, false}},           // regular expressions and UTF-8
    {"models", {{"blocks", "cost", "io"}, false}},  // io: reads config.json; cost: prices by the published rules
    {"importance", {{"models", "select", "optim"}, false}},
    {"train", {{"importance", "data", "metrics", "parallel"}, false}},
    {"generate", {{"train"}, false}},
    {"report", {{"train"}, false}},
    {"pretrained", {{"generate", "report"}, false}},  // joins folders of checkpoints, tokenizers and models
    {"umbrella", {{"pretrained"}, false}},            // greentrainer.hpp
    {"backends", {{"concepts"}, false}},              // and each its own files
};

// Backends that may include another one's files. These three wrap any backend by the same forwarding of every kernel.
const std::set<std::pair<std::string, std::string>> shared_between_backends = {
    {"backends/opaque", "backends/counting"}, {"backends/comparing", "backends/counting"}};

std::set<std::string> everything_left_of(const std::string& layer) {
  std::set<std::string> all;
  for (const std::string& next : layers.at(layer).includes) {
    all.insert(next);
    all.merge(everything_left_of(next));
  }
  return all;
}

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return text.starts_with(prefix); });
}

/// "include/greentrainer/ops/x.hpp" -> "ops"; empty for a path that belongs to no layer.
std::string layer_of(const std::string& path) {
  const std::string root = "include/greentrainer/";
  if (path.starts_with("backends/")) return "backends";
  if (path == root + "greentrainer.hpp") return "umbrella";
  const std::size_t slash = path.find('/', root.size());
  if (!path.starts_with(root) || slash == std::string::npos) return "";
  const std::string folder = path.substr(root.size(), slash - root.size());
  return layers.contains(folder) ? folder : "";
}

/// "backends/eigen/include/greentrainer/x.hpp" -> "backends/eigen".
std::string backend_of(const std::string& path) {
  return path.substr(0, path.find('/', std::string("backends/").size()));
}

struct Include {
  std::string spelled;
  bool quoted = false;
};

std::vector<Include> includes_of(const std::string& text) {
  std::vector<Include> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove_if(line.begin(), line.end(), [](unsigned char c) { return std::isspace(c) != 0; }),
               line.end());
    const std::string directive = "#include";
    if (!line.starts_with(directive) || line.size() < directive.size() + 2) continue;
    const char open = line[directive.size()];
    const std::size_t close = line.find(open == '<' ? '>' : '"', directive.size() + 1);
    if ((open != '<' && open != '"') || close == std::string::npos) continue;
    found.push_back({line.substr(directive.size() + 1, close - directive.size() - 1), open == '"'});
  }
  return found;
}

/// The path of the file an #include means, or an empty one if it is not ours.
std::string resolve(const Files& files, const std::string& from, const Include& include) {
  if (include.quoted) {
    const std::string beside =
        (std::filesystem::path(from).parent_path() / include.spelled).lexically_normal().generic_string();
    if (files.contains(beside)) return beside;
  }
  if (files.contains("include/" + include.spelled)) return "include/" + include.spelled;
  const std::string tail = "/include/" + include.spelled;
  for (const auto& [path, text] : files) {
    if (path.starts_with("backends/") && path == backend_of(path) + tail) return path;
  }
  return "";
}

/// What is wrong with an #include of a header that is not ours, or nothing.
std::string foreign_fault(const std::string& layer, const Include& include) {
  if (include.quoted || include.spelled.starts_with("greentrainer/")) return "no such file";
  if (layer == "backends") return "";
  if (starts_with_any(include.spelled, {"Eigen/", "cuda", "cublas", "hip/"}))
    return "this library is for backends alone";
  const bool standard = include.spelled.find_first_of("/.") == std::string::npos;  // as in <vector>
  if (layers.at(layer).standard_library_alone && !standard) return layer + "/ needs the standard library alone";
  return "";
}

void find_cycles(const std::map<std::string, std::vector<std::string>>& edges, const std::string& path,
                 std::map<std::string, int>& state, std::vector<std::string>& trail, std::vector<std::string>& faults) {
  state[path] = 1;
  trail.push_back(path);
  for (const std::string& next : edges.at(path)) {
    if (state[next] == 1) {
      std::string text = "cycle:";
      for (auto i = std::find(trail.begin(), trail.end(), next); i != trail.end(); ++i) text += " " + *i + " ->";
      faults.push_back(text + " " + next);
    } else if (state[next] == 0) {
      find_cycles(edges, next, state, trail, faults);
    }
  }
  trail.pop_back();
  state[path] = 2;
}

/// Of files with a header's definitions: docs/decisions/0031-definitions-compiled-once.md
const std::string definitions_suffix = "_inl.hpp";

std::vector<std::string> wrong_arrows(const Files& files) {
  std::vector<std::string> faults;
  std::map<std::string, std::vector<std::string>> edges;
  for (const auto& [path, text] : files) {
    std::vector<std::string>& targets = edges[path];
    const std::string layer = layer_of(path);
    if (layer.empty()) {
      faults.push_back(path + ": this folder is not in the table of layers");
      continue;
    }
    std::set<std::string> allowed = everything_left_of(layer);
    if (layer != "umbrella") allowed.insert(layer);
    for (const Include& include : includes_of(text)) {
      const std::string target = resolve(files, path, include);
      const std::string arrow = path + ": #include " + include.spelled + ": ";
      if (target.empty()) {
        if (const std::string fault = foreign_fault(layer, include); !fault.empty()) faults.push_back(arrow + fault);
        continue;
      }
      if (target.ends_with(definitions_suffix)) {  // x.hpp and x_inl.hpp are one header in two files
        if (target != path.substr(0, path.rfind(".hpp")) + definitions_suffix)
          faults.push_back(arrow + "definitions are included by their own header alone");
        continue;
      }
      targets.push_back(target);
      const std::string to = layer_of(target);
      if (to.empty()) continue;  // reported where it is scanned
      if (!allowed.contains(to)) faults.push_back(arrow + layer + " must not include " + to);
      if (layer == "backends" && to == "backends" && backend_of(path) != backend_of(target) &&
          !shared_between_backends.contains({backend_of(path), backend_of(target)})) {
        faults.push_back(arrow + "a backend must not include another");
      }
    }
  }
  std::map<std::string, int> state;
  std::vector<std::string> trail;
  for (const auto& [path, targets] : edges) {
    if (state[path] == 0) find_cycles(edges, path, state, trail, faults);
  }
  return faults;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Files repository() {
  const std::filesystem::path root = greentrainer::testing::source_folder();
  Files files;
  for (const char* folder : {"include", "backends"}) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".hpp" || extension == ".h" || extension == ".cpp" || extension == ".cu" ||
          extension == ".cuh") {
        files[entry.path().lexically_relative(root).generic_string()] = read(entry.path());
      }
    }
  }
  return files;
}

/// One file a layer, with nothing in it, and two backends.
Files empty_tree() {
  Files files;
  for (const auto& [layer, rules] : layers) {
    if (layer != "umbrella" && layer != "backends") files["include/greentrainer/" + layer + "/x.hpp"] = "";
  }
  files["include/greentrainer/greentrainer.hpp"] = "";
  files["backends/one/include/greentrainer/backends/one.hpp"] = "";
  files["backends/one/include/greentrainer/backends/one_part.hpp"] = "";
  files["backends/two/include/greentrainer/backends/two.hpp"] = "";
  return files;
}

std::vector<std::string> faults_with(const std::string& path, const std::string& line) {
  Files files = empty_tree();
  files[path] = line + "\n";
  return wrong_arrows(files);
}

const std::string one = "backends/one/include/greentrainer/backends/one.hpp";

}  // namespace

TEST_CASE("every include in the repository points to a layer on its left") {
  const Files files = repository();
  REQUIRE(files.size() > 5);
  for (const std::string& fault : wrong_arrows(files)) FAIL_CHECK(fault);
}

TEST_CASE("a wrong arrow planted in the repository is found") {
  Files files = repository();
  const std::size_t before = wrong_arrows(files).size();
  files.at("include/greentrainer/core/types.hpp") += "\n#include \"greentrainer/concepts/backend.hpp\"\n";
  const auto faults = wrong_arrows(files);
  CHECK(faults.size() > before);
  CHECK(std::any_of(faults.begin(), faults.end(),
                    [](const std::string& fault) { return fault.ends_with("core must not include concepts"); }));
}

TEST_CASE("a header may include its own definitions, which include it, and nobody else may") {
  Files files = empty_tree();
  files["include/greentrainer/io/y.hpp"] = "#include \"greentrainer/io/y_inl.hpp\"\n";
  files["include/greentrainer/io/y_inl.hpp"] = "#include \"greentrainer/io/y.hpp\"\n";
  CHECK(wrong_arrows(files).empty());
  files["include/greentrainer/io/x.hpp"] = "#include \"greentrainer/io/y_inl.hpp\"\n";
  const auto faults = wrong_arrows(files);
  REQUIRE(faults.size() == 1);
  CHECK(faults.front().ends_with("definitions are included by their own header alone"));
}

TEST_CASE("the planted tree is right as it stands") { CHECK(wrong_arrows(empty_tree()).empty()); }

TEST_CASE("includes of layers to the left are allowed") {
  const std::vector<std::pair<std::string, std::string>> arrows = {
      {"concepts", "core"},   {"ops", "core"},
      {"graph", "ops"},       {"select", "core"},
      {"select", "graph"},    {"select", "cost"},
      {"executor", "ops"},    {"blocks", "graph"},
      {"models", "executor"}, {"models", "io"},
      {"importance", "cost"}, {"importance", "optim"},
      {"train", "models"},    {"train", "data"},
      {"report", "select"},   {"tokenizers", "io"},
      {"data", "tokenizers"}, {"metrics", "tokenizers"},
      {"data", "core"},       {"train", "train"},
      {"generate", "train"},  {"pretrained", "tokenizers"}};
  for (const auto& [from, to] : arrows) {
    CAPTURE(from);
    CAPTURE(to);
    Files files = empty_tree();
    files["include/greentrainer/" + to + "/y.hpp"] = "";
    files["include/greentrainer/" + from + "/x.hpp"] = "#include \"greentrainer/" + to + "/y.hpp\"\n";
    CHECK(wrong_arrows(files).empty());
  }
}

TEST_CASE("arrows to the right, or to the side, are found") {
  const std::vector<std::pair<std::string, std::string>> arrows = {
      {"core", "concepts"},    {"core", "io"},          {"concepts", "tensor"}, {"tensor", "ops"},
      {"ops", "graph"},        {"graph", "cost"},       {"cost", "select"},     {"select", "executor"},
      {"executor", "cost"},    {"blocks", "models"},    {"graph", "executor"},  {"models", "importance"},
      {"optim", "train"},      {"importance", "train"}, {"train", "report"},    {"generate", "report"},
      {"io", "tokenizers"},    {"io", "tensor"},        {"tokenizers", "data"}, {"data", "graph"},
      {"metrics", "concepts"}, {"ops", "io"},           {"models", "select"},   {"models", "data"},
      {"train", "pretrained"}};
  for (const auto& [from, to] : arrows) {
    CAPTURE(from);
    CAPTURE(to);
    const auto faults =
        faults_with("include/greentrainer/" + from + "/x.hpp", "#include \"greentrainer/" + to + "/x.hpp\"");
    REQUIRE(!faults.empty());
    CHECK(faults[0].ends_with(from + " must not include " + to));
  }
}

TEST_CASE("a wrong arrow is found however it is spelled") {
  for (const char* line : {"#include <greentrainer/graph/x.hpp>", "  #  include   \"greentrainer/graph/x.hpp\"  // why",
                           "#include \"../graph/x.hpp\""}) {
    CAPTURE(line);
    CHECK(faults_with("include/greentrainer/core/x.hpp", line).size() == 1);
  }
  CHECK(faults_with("include/greentrainer/core/x.hpp", "/// #include <greentrainer/graph/x.hpp>").empty());
}

TEST_CASE("backends see core, concepts and themselves, and nothing under include/ sees a backend") {
  CHECK(faults_with(one, "#include \"greentrainer/concepts/x.hpp\"").empty());
  CHECK(faults_with(one, "#include \"greentrainer/core/x.hpp\"").empty());
  CHECK(faults_with(one, "#include \"greentrainer/backends/one_part.hpp\"").empty());
  CHECK(faults_with(one, "#include \"one_part.hpp\"").empty());
  CHECK(faults_with(one, "#include <Eigen/Core>").empty());
  CHECK(faults_with(one, "#include \"greentrainer/tensor/x.hpp\"").size() == 1);
  CHECK(faults_with(one, "#include \"greentrainer/backends/two.hpp\"").size() == 1);
  CHECK(faults_with("include/greentrainer/train/x.hpp", "#include \"greentrainer/backends/one.hpp\"").size() == 1);
  CHECK(faults_with("include/greentrainer/greentrainer.hpp", "#include \"greentrainer/backends/one.hpp\"").size() == 1);
}

TEST_CASE("no header of the library includes the umbrella header") {
  CHECK(faults_with("include/greentrainer/greentrainer.hpp", "#include \"greentrainer/train/x.hpp\"").empty());
  CHECK(faults_with("include/greentrainer/train/x.hpp", "#include \"greentrainer/greentrainer.hpp\"").size() == 1);
}

TEST_CASE("headers that are not ours stay where they belong") {
  CHECK(faults_with("include/greentrainer/io/x.hpp", "#include <nlohmann/json.hpp>").empty());
  CHECK(faults_with("include/greentrainer/select/x.hpp", "#include <vector>").empty());
  CHECK(faults_with("include/greentrainer/select/x.hpp", "#include <nlohmann/json.hpp>").size() == 1);
  CHECK(faults_with("include/greentrainer/core/x.hpp", "#include <pcre2.h>").size() == 1);
  CHECK(faults_with("include/greentrainer/io/x.hpp", "#include <Eigen/Core>").size() == 1);
}

TEST_CASE("cycles, missing files and unknown folders are found") {
  Files files = empty_tree();
  files["include/greentrainer/ops/y.hpp"] = "#include \"greentrainer/ops/x.hpp\"\n";
  files["include/greentrainer/ops/x.hpp"] = "#include \"greentrainer/ops/y.hpp\"\n";
  REQUIRE(wrong_arrows(files).size() == 1);
  CHECK(wrong_arrows(files)[0].starts_with("cycle:"));
  CHECK(faults_with("include/greentrainer/core/x.hpp", "#include \"greentrainer/core/gone.hpp\"").size() == 1);
  CHECK(faults_with("include/greentrainer/utils/x.hpp", "").size() == 1);
  CHECK(faults_with("include/greentrainer/x.hpp", "").size() == 1);
}

TEST_CASE("layers that need the standard library alone lie on such layers") {
  for (const auto& [layer, rules] : layers) {
    if (!rules.standard_library_alone) continue;
    for (const std::string& below : everything_left_of(layer)) {
      CAPTURE(layer);
      CAPTURE(below);
      CHECK(layers.at(below).standard_library_alone);
    }
  }
}

// CMake sorts headers into greentrainer::greentrainer and greentrainer::io by the libraries that they reach.
TEST_CASE("every library that a header includes is one that CMake sorts headers by") {
  const std::vector<std::string> libraries = {"nlohmann/", "pcre2", "unicode/", "zlib", "openssl/"};
  const std::vector<std::string> of_the_system = {"sys/", "linux/", "dirent.h", "dlfcn.h", "fcntl.h", "unistd.h"};
  std::string regex;
  for (const std::string& library : libraries) regex += (regex.empty() ? "^(" : "|") + library;
  CHECK(read(greentrainer::testing::source_folder() / "CMakeLists.txt").find('"' + regex + ")\"") != std::string::npos);

  std::size_t found = 0;
  for (const auto& [path, text] : repository()) {
    if (!path.starts_with("include/")) continue;
    for (const Include& include : includes_of(text)) {
      if (include.quoted || include.spelled.starts_with("greentrainer/")) continue;
      if (include.spelled.find_first_of("/.") == std::string::npos) continue;  // the standard library's
      CAPTURE(path);
      CAPTURE(include.spelled);
      CHECK((starts_with_any(include.spelled, libraries) || starts_with_any(include.spelled, of_the_system)));
      ++found;
    }
  }
  CHECK(found > 10);
}
