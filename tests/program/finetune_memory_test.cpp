// greentrainer finetune within a memory limit, and with a cached prefix.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program/tiny_run.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("a cached prefix spares FLOPs and changes no loss, in memory and on disk") {
  const TinyRun run;
  const auto with = [&](const std::string& folder, std::vector<std::string> options) {
    options.insert(options.end(), {"--method", "last:1", "--epochs", "3", "--output", (run.folder / folder).string()});
    return run.report(std::move(options));
  };
  const auto plain = with("plain", {});
  CHECK(plain["flops"]["saved_by_cache"] == 0);
  CHECK(plain["cached_bytes"] == 0);
  CHECK(plain["selections"][0]["not_cached"] == "");
  for (const std::string mode : {"memory", "disk"}) {
    CAPTURE(mode);
    const auto cached = with(mode, {"--prefix-cache", mode});
    CHECK(cached["loss_after"] == plain["loss_after"]);
    CHECK(cached["flops"]["saved_by_cache"].get<Flops>() > 0);
    CHECK(cached["flops"]["train"].get<Flops>() + cached["flops"]["saved_by_cache"].get<Flops>() ==
          plain["flops"]["train"].get<Flops>());
    CHECK(cached["selections"][0]["cached_below"] != "");
    CHECK(cached["selections"][0]["cached_bytes"] == cached["cached_bytes"]);
    CHECK(cached["warnings"].empty());
    const auto rounded = with(mode + "-rounded", {"--prefix-cache", mode, "--prefix-cache-type", "bfloat16"});
    CHECK(rounded["flops"] == cached["flops"]);
    CHECK(rounded["loss_after"].get<double>() == doctest::Approx(plain["loss_after"].get<double>()).epsilon(1e-3));
    CHECK(rounded["cached_bytes"].get<Bytes>() < (mode == "disk" ? 7 : 5) * cached["cached_bytes"].get<Bytes>() / 9);
  }
  CHECK(run.folder.entries() == 6);  // the data and five outputs: no file of a cache
}

TEST_CASE("a cache that spares nothing, and one that cannot be, say why") {
  const TinyRun run;
  const auto note = [&](std::vector<std::string> options) {
    options.insert(options.end(), {"--prefix-cache", "memory", "--overwrite"});
    const auto outcome = run_program(run.arguments(std::move(options)));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK(outcome.json()["cached_bytes"] == 0);
    return outcome.json()["selections"][0]["not_cached"].get<std::string>();
  };
  CHECK(has(note({"--method", "full", "--epochs", "2"}), "embed_tokens.weight is trained"));
  CHECK(has(note({"--method", "prefix", "--epochs", "2"}), "prompt_embeddings.0 is trained"));
  CHECK(has(note({"--method", "last:1", "--dropout", "0.1", "--epochs", "2"}), "draws random numbers (dropout)"));
  CHECK(has(note({"--method", "last:1", "--prefix-cache-limit", "100", "--epochs", "2"}), "the limit has no room"));
  CHECK(has(note({"--method", "last:1"}), "no example whose values fit is read twice"));

  const auto refused = [&](std::vector<std::string> options, int status) {
    const auto outcome = run_program(run.arguments(std::move(options)));
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    return outcome.err;
  };
  CHECK(has(refused({"--prefix-cache", "memory", "--prefix-cache-limit", "4 GB"}, 2),
            "--prefix-cache-limit: expected a number of bytes"));
  CHECK(has(refused({"--prefix-cache", "memory", "--prefix-cache-folder", "/tmp"}, 2), "--prefix-cache-folder"));
  CHECK(has(refused({"--prefix-cache-type", "bfloat16"}, 2), "--prefix-cache-type"));
  CHECK(
      has(refused({"--prefix-cache", "disk", "--prefix-cache-folder", (run.folder / "absent").string()}, 1),
          "--prefix-cache-folder: " + (run.folder / "absent").string() + ": expected a folder that files can be made"));
}

TEST_CASE("finetune keeps a memory limit with the same result, and plan says what it takes") {
  const TinyRun run;
  const auto with = [&](const std::string& limit, const std::string& folder) {
    return run.report(
        {"--method", "full", "--epochs", "3", "--memory-limit", limit, "--output", (run.folder / folder).string()});
  };
  const auto plain = with("1GiB", "plain");
  CHECK(plain["flops"]["recomputed"] == 0);
  CHECK(plain["selections"][0]["recomputed_from"].empty());
  const auto refused = run_program(run.arguments({"--method", "full", "--memory-limit", "1000"}));
  CHECK(refused.status == 1);
  const std::string begin = "--memory-limit: expected at least ";
  const auto at = refused.err.find(begin);
  REQUIRE(at != std::string::npos);
  const std::string least = refused.err.substr(at + begin.size(), refused.err.find(" bytes", at) - at - begin.size());
  const auto limited = with(least, "limited");
  CHECK(limited["loss_after"] == plain["loss_after"]);
  CHECK(limited["flops"]["train"] == plain["flops"]["train"]);
  CHECK(limited["flops"]["recomputed"].get<Flops>() > 0);
  CHECK(limited["ratio"].get<double>() > 1);
  CHECK(limited["memory_bytes"]["planned_peak"].get<Bytes>() <= std::stoll(least));
  CHECK(limited["memory_bytes"]["planned_peak"] < plain["memory_bytes"]["planned_peak"]);
  for (const char* bad : {"0", "-1", "much", "2 GB", "", "1.5GiB", "99999999999999999999"}) {
    CAPTURE(bad);
    const auto outcome = run_program(run.arguments({"--memory-limit", bad}));
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("--memory-limit: expected a number of bytes") != std::string::npos);
  }
}
