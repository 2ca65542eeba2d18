// Templates are rendered as transformers' apply_chat_template renders them, byte for byte; what it refuses is refused,
// and what cannot be rendered names line and construct.

#include "greentrainer/templates/chat_template.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using testing::has;

namespace {

std::vector<OrderedJson> lines_of(const char* file) {
  std::ifstream in(testing::source_folder() / "tests/golden/templates" / file);
  std::vector<OrderedJson> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(parse_json<OrderedJson>(line, file));
  return lines;
}

ChatInput input_of(const OrderedJson& json) {
  ChatInput input{.messages = json.at("messages"), .tools = json.at("tools"), .documents = json.at("documents")};
  for (const auto& [name, value] : json.at("variables").items()) input.variables.emplace_back(name, value);
  return input;
}

std::string render(const std::string& jinja, const ChatInput& input = {}) {
  return ChatTemplate("t.jinja", jinja).render(input).text;
}

/// What a template that cannot be read, or cannot be rendered, says.
std::string error_of(const std::string& jinja, const ChatInput& input = {}) {
  return testing::error_of<Error>([&] { render(jinja, input); });
}

}  // namespace

TEST_CASE("every construct gives the text and the generated ranges that transformers gives, and no other error") {
  const auto lines = lines_of("constructs.jsonl");
  REQUIRE(lines.size() > 150);
  const ChatInput input = input_of(lines.front());
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto jinja = lines[i].at("template").get<std::string>();
    CAPTURE(jinja);
    if (lines[i].contains("error")) {
      CHECK(error_of(jinja, input) != "");
      continue;
    }
    RenderedChat got;
    REQUIRE_NOTHROW(got = ChatTemplate("t.jinja", jinja).render(input));
    CHECK(got.text == lines[i].at("text").get<std::string>());
    std::vector<ByteRange> generated;
    for (const auto& range : lines[i].at("generated"))
      generated.push_back({range.at(0).get<std::size_t>(), range.at(1).get<std::size_t>()});
    CHECK(got.generated == generated);
  }
}

TEST_CASE("what cannot be read is refused with line and construct") {
  CHECK(has(error_of("a\n{% include 'x' %}"), "t.jinja, line 2, statement \"include\": expected if, for"));
  CHECK(has(error_of("a\n\n{{ 1 +\n }}"), "t.jinja, line 4: expected an expression, got }}"));
  CHECK(has(error_of("{% for x in y %}\n{% if x %}{% endfor %}"), "line 2, statement \"endfor\""));
  CHECK(has(error_of("{% if x %}\n"), "expected endif, got the end of the template"));
  CHECK(has(error_of("{{ 'a"), "line 1, string: expected its end"));
  CHECK(has(error_of("\n{{ a ? b }}"), "line 2, ?: expected an expression"));
  CHECK(has(error_of("\n{{ (1] }}"), "line 2, ]: expected the bracket that is open"));
  CHECK(has(error_of("{{ '\\N{DASH}' }}"), "\\N"));
  CHECK(has(error_of("{{ '\\ud800' }}"), "expected the code of a character"));
  CHECK(has(error_of("{{ 99999999999999999999 }}"), "expected a number of 64 bits"));
  CHECK(has(error_of("\xff"), "t.jinja: expected UTF-8, got something else at byte 0"));
}

TEST_CASE("what cannot be rendered is refused with line and construct, where it is reached") {
  CHECK(has(error_of("\n{{ 1 | nofilter }}"), "t.jinja, line 2, filter nofilter: expected a filter that is supported"));
  CHECK(has(error_of("\n\n{{ 1 is notest }}"), "line 3, test notest: expected a test that is supported"));
  CHECK(has(error_of("{{ lipsum() }}"), "line 1, lipsum: expected a function that is supported"));
  CHECK(has(error_of("{{ 'a'.encode() }}"), "line 1, method encode: expected a method of texts"));
  CHECK(has(error_of("{{ (5).real }}"), "attribute \"real\""));
  CHECK(has(error_of("{{\n a.b }}"), "line 2, \"b\": expected a defined value to look in, got undefined"));
  CHECK(has(error_of("{{ f() }}"), "line 1, \"f\": expected a function to call, got undefined"));
  CHECK(has(error_of("x\n{{ raise_exception('Only\nusers') }}"),
            "line 2, raise_exception: the template refuses the conversation: Only\nusers"));
  CHECK(has(error_of("{{ 9223372036854775807 + 1 }}"), "expected numbers of 64 bits"));
  CHECK(has(error_of("{{ x }}", {.variables = {{"x", 1e19}}}), "number: expected one of 64 bits"));
  CHECK(render("{% if false %}{{ 1 | nofilter }}{% endif %}a") == "a");
}

TEST_CASE("a template sees what it is given, and cannot change it") {
  for (const char* hidden : {"''.__class__", "[].append", "{}.update", "messages.pop", "range.__globals__",
                             "namespace.__init__", "cycler.x"})
    CHECK(render(text("{{ (", hidden, ") is defined }}")) == "False");
  CHECK(error_of("{{ messages.append(1) }}") != "");
}

TEST_CASE("limits: a template that would take steps, text or recursion without end is refused") {
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  CHECK(has(error_of(loops), "expected fewer steps"));
  CHECK(has(error_of("{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}"),
            "bytes of text"));
  CHECK(has(error_of("{{ 'a' * 999999999999 }}"), "bytes of text"));
  CHECK(has(error_of("{{ 'a' | center(99999999999) }}"), "bytes of text"));
  CHECK(has(error_of("{{ {} | tojson(indent=99999999999) }}"), "bytes of text"));
  CHECK(has(error_of("{{ '%s' * 1000000 % ('a' * 3000000) }}"), "expected"));
  CHECK(has(error_of("{% for i in range(9999) %}{% for j in range(999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}"
                     "{% endfor %}"),
            "expected"));
  CHECK(has(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), "expected less recursion"));
  CHECK(has(error_of("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}"),
            "lists nested at most"));
  CHECK(has(error_of("{% set n = namespace(x='') %}{% for i in range(9999) %}{% set n.x = n.x.strip %}{% endfor %}"),
            "got undefined"));
  std::string chain = "{{ a", sum = "{{ 1";
  for (int i = 0; i < 100000; ++i) {
    chain += ".b";
    sum += " + 1";
  }
  CHECK(has(error_of("{{ " + std::string(100000, '(') + std::string(100000, ')') + " }}"), "levels"));
  CHECK(has(error_of("{{ " + std::string(100000, '-') + "1 }}"), "levels"));
  CHECK(has(error_of(chain + " }}"), "levels"));
  CHECK(render(sum + " }}") == "100001");
  std::string ifs;
  for (int i = 0; i < 100000; ++i) ifs += "{% if 1 %}";
  CHECK(has(error_of(ifs), "levels"));
}

TEST_CASE("objects that refer to themselves are freed") {
  CHECK(render("{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n] %}{% macro m() %}{% endmacro %}"
               "{% set n.m = m %}{{ n.n.n.l | length }}") == "1");
}

TEST_CASE("strftime_now gives the time that it is told") {
  ChatInput input;
  std::tm parts{};
  parts.tm_year = 124, parts.tm_mon = 6, parts.tm_mday = 4, parts.tm_hour = 12;
  input.now = std::mktime(&parts);
  CHECK(render("{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H%%%Z') }}", input) ==
        "04 Jul 2024|2024-07-04 12%");
}

TEST_CASE("a template names the fields that it reads") {
  const ChatTemplate chat("t.jinja", "{% for m in messages %}{{ m.role }}{{ m['content'] }}{% endfor %}");
  CHECK(chat.names("role"));
  CHECK(chat.names("content"));
  CHECK_FALSE(chat.names("tool_calls"));
}
