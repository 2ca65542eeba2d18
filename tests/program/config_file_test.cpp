// Configuration files that are made to harm: each is an error that names the file and the line.

#include <string>

#include <doctest/doctest.h>

#include "run_program.hpp"

using namespace greentrainer::testing;

namespace {

std::string repeated(const std::string& part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += part;
  return all;
}

Outcome plan_with(const std::string& toml) {
  const TemporaryFolder folder;
  folder.write("run.toml", toml);
  return run_program({"plan", "--model", golden_model("opt-pre"), "--config", (folder / "run.toml").string()});
}

void check_refused(const std::string& toml, const std::string& says) {
  const Outcome outcome = plan_with(toml);
  CAPTURE(toml.substr(0, 60));
  CAPTURE(outcome.err);
  CHECK(outcome.status == 1);
  CHECK(outcome.error_lines() == 1);
  CHECK(outcome.err.find("run.toml") != std::string::npos);
  CHECK(outcome.err.find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("nesting that would exhaust the stack is refused, however it is spelled") {
  const std::string deep = "nested at most 100 deep", key = repeated("a.", 1000) + "a";
  check_refused(key + " = 1\n", deep);
  check_refused("[" + key + "]\n", deep);
  check_refused("[[" + key + "]]\n", deep);
  check_refused("x = " + repeated("[", 200) + repeated("]", 200) + "\n", deep);
  check_refused("x = " + repeated("{a.a.a = ", 60) + "1" + repeated("}", 60) + "\n", deep);
  // 120,000 levels in 240 KB, no line of which has many dots
  check_refused("x = [\n" + repeated("{" + repeated("a.", 1000) + "a = [\n", 120), deep);
  check_refused("[" + repeated("a.", 60) + "a]\n" + repeated("b.", 60) + "b = 1\n", deep);
  check_refused("x = \"\"\"quote\"\"\"\"\" # still a comment\n" + key + " = 1\n", deep);
}

TEST_CASE("dots in texts and comments are no nesting") {
  const std::string dots(5000, '.');
  const Outcome outcome = plan_with("# " + dots + "\ntensors = ['*', # " + dots +
                                    "\n\"\"\"*\"\"\", '*weight*',\n]\nmodel = \"" + dots + "\"\n");
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
}

TEST_CASE("texts that the parser asserts on are errors, in every kind of build") {
  for (const char* toml :
       {"rho = 1979-05-27T:1\n", "[}T\n", "y = [\n}y = [\n", "rho.= 1\n", "rho . = 1\n", "[plan.]\n", "[=]\n"})
    check_refused(toml, "expected TOML, got ");
}

TEST_CASE("a character beyond ASCII in a key or a value without quotes is refused with the advice to quote") {
  for (const char* toml :
       {"\nr\u00e9 = 1\n", "\n\u03c1 = 0.5\n", "\n[\u00fcbung]\nx = 1\n", "\n[plan.\u00fc]\nx = 1\n",
        "\nx = {\u00fc = 1}\n", "\nrho\u00a0= 0.5\n", "x = \"\"\"\"\"\"\n\u00fc = 1", "\nr\xff = 1\n"}) {
    check_refused(toml, "run.toml, line 2: expected a key of ASCII characters, got one with ");
    check_refused(toml, "; put the key in quotes");
  }
  for (const char* toml : {"x = 1 # \u00fc\nmodel = opt\u00e9", "\nx = \u03d1\n", "\nrho = 0.5\u2003\n",
                           "\nx = 'a' \u00e9\n", "\nx = ['\u00e9', \u00e9]\n", "\nx = ['\u00e9' \u00e9]\n"}) {
    check_refused(toml, "run.toml, line 2: expected a value of ASCII characters, got one with ");
    check_refused(toml, "; put the value in quotes");
  }
}

TEST_CASE("characters beyond ASCII are taken in texts of every kind, in comments, and behind a byte order mark") {
  const Outcome outcome = plan_with(
      "\ufeff# r\u00e9sum\u00e9 \u03c1\ntensors = [\"*\", '*weight*', # \u2603\n]\n[generate]\nprompt = "
      "\"\"\"\n\u00e9 \\\n  \u00e9 \\\n\u03d1\"\"\"\ndata = '\u00e9'\nmodel = '''\n\u03d1'''\n");
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
}

TEST_CASE("a quoted key beyond ASCII is a key") {
  for (const char* toml : {"\"r\u00e9\" = 1\n", "'r\u00e9' = 1\n", "[plan]\n'r\u00e9' = 1\n"}) {
    const Outcome outcome = plan_with(toml);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("key \"r\u00e9\": expected an option") != std::string::npos);
  }
}

TEST_CASE("a date as an option's value is refused") {
  for (const char* value : {"1979-05-27", "07:32:00", "1979-05-27 07:32:00Z"}) {
    const Outcome outcome = plan_with("rho = " + std::string(value) + "\n");
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("expected a text, a number or true or false, got something else") != std::string::npos);
  }
}

TEST_CASE("numbers of all forms are read") {
  const Outcome outcome = plan_with(
      "tokens = 0x20\nbatch-size = +2\nlabelled-tokens = 1_0\njson = true\n"
      "[generate]\ntemperature = 5e-1\n");
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
}
