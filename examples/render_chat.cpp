// render_chat TEMPLATE.jinja ROWS.jsonl: what a chat template makes of conversations, one JSON object a line: {"text",
// "generated"} (ranges of bytes that {% generation %} marks), or {"error"}. Rows: {"messages"} and, where they are
// wanted, "tools", "documents", "add_generation_prompt" and "variables", an object.
#include <exception>
#include <greentrainer/data/text_lines.hpp>
#include <greentrainer/io/json.hpp>
#include <greentrainer/templates/chat_template.hpp>
#include <iostream>
#include <string_view>
namespace gt = greentrainer;

namespace {

gt::ChatInput input_of(const gt::OrderedJson& row) {
  gt::ChatInput input{.messages = row.at("messages")};
  if (row.contains("tools")) input.tools = row["tools"];
  if (row.contains("documents")) input.documents = row["documents"];
  input.add_generation_prompt = row.value("add_generation_prompt", false);
  if (row.contains("variables")) {
    for (const auto& [name, value] : row["variables"].items()) input.variables.emplace_back(name, value);
  }
  return input;
}

gt::OrderedJson rendered(const gt::ChatTemplate& chat, std::string_view line) {
  try {
    const gt::RenderedChat result = chat.render(input_of(gt::parse_json<gt::OrderedJson>(line, "row")));
    gt::OrderedJson generated = gt::OrderedJson::array();
    for (const auto& [begin, end] : result.generated) generated.push_back({begin, end});
    return {{"text", result.text}, {"generated", generated}};
  } catch (const gt::DataError& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: render_chat TEMPLATE.jinja ROWS.jsonl\n";
    return 2;
  }
  try {
    const gt::ChatTemplate chat(argv[1], gt::read_file(argv[1], gt::Bytes{16} << 20));
    gt::for_each_line("render_chat", argv[2], gt::read_data_file(argv[2]),
                      [&](std::string_view line, gt::Extent) { std::cout << rendered(chat, line).dump() << '\n'; });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
