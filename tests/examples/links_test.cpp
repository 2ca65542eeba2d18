// Pages link to files that are there.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/paths.hpp"

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> pages() {
  const fs::path root = greentrainer::testing::source_folder();
  std::vector<fs::path> found;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory() && (name == "build" || name.starts_with(".") || name == "golden"))
      entry.disable_recursion_pending();
    else if (entry->path().extension() == ".md")
      found.push_back(entry->path());
  }
  return found;
}

/// What stands in the parentheses of a page's links, without the place within the target.
std::vector<std::string> links_of(const fs::path& page) {
  std::ifstream in(page);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::string> links;
  for (std::size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 2)) {
    const std::size_t end = text.find(')', at);
    if (end == std::string::npos) break;
    std::string link = text.substr(at + 2, end - at - 2);
    link = link.substr(0, link.find('#'));
    if (!link.empty() && link.find("://") == std::string::npos && link.find_first_of(" \n<>") == std::string::npos)
      links.push_back(link);
  }
  return links;
}

}  // namespace

TEST_CASE("every relative link of a page leads to a file or folder of the repository") {
  std::size_t links = 0;
  for (const fs::path& page : pages()) {
    for (const std::string& link : links_of(page)) {
      CAPTURE(page.string());
      CAPTURE(link);
      CHECK(fs::exists(page.parent_path() / link));
      ++links;
    }
  }
  CHECK(links > 100);
}
