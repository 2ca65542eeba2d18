#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/expression_parser.hpp"
#include "greentrainer/templates/lexer.hpp"
#include "greentrainer/templates/syntax.hpp"

namespace greentrainer::templates {

/// A template as statements.
struct ParsedTemplate {
  Statements statements;
  std::set<std::string, std::less<>> words;  ///< its names, attributes and literals: the fields that it can read
  bool has_generation = false;
};

/// Reads a template by Jinja 3.1's grammar, as its parser does: for, if, set, macro, call, filter, with, break,
/// continue and `generation`. Throws LoadError naming source, line and construct for anything else.
class Parser : private ExpressionParser {
 public:
  Parser(std::string_view source, std::string_view jinja) : ExpressionParser(source, jinja) {}

  ParsedTemplate parse() {
    ParsedTemplate result;
    result.statements = statements_until({});
    result.words = std::move(words_);
    result.has_generation = has_generation_;
    return result;
  }

 private:
  // Statements

  Statements statements_until(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    Statements result;
    for (;;) {
      const Token& current = token();
      if (current.type == Type::end) {
        if (ends.size() > 0) refuse("", text("expected ", *(ends.end() - 1), ", got the end of the template"));
        return result;
      }
      Statement statement{.kind = Statement::Kind::data, .line = current.line};
      if (current.type == Type::data) {
        statement.data = next().value;
      } else if (current.type == Type::variable_begin) {
        next();
        statement.kind = Statement::Kind::output;
        statement.expressions.push_back(expression_list(true, {}));
        if (next().type != Type::variable_end) back_and_refuse("}}");
      } else {
        next();
        if (token().type == Type::name && std::find(ends.begin(), ends.end(), token().value) != ends.end())
          return result;
        statement_of_tag(statement);
        if (next().type != Type::block_end) back_and_refuse("%}");
      }
      result.push_back(std::move(statement));
    }
  }

  Statements body_until(std::initializer_list<std::string_view> ends) {
    skip(Type::sign, ":");
    if (token().type != Type::block_end) refuse("", text("expected %}, got ", shown()));
    next();
    return statements_until(ends);
  }

  void statement_of_tag(Statement& statement) {
    if (token().type != Type::name) refuse("", text("expected a statement, got ", shown()));
    const std::string name = next().value;
    if (name == "if") return condition(statement);
    if (name == "for") return loop(statement);
    if (name == "set") return assignment(statement);
    if (name == "macro") return macro(statement);
    if (name == "call") return call_block(statement);
    if (name == "filter") return filter_block(statement);
    if (name == "with") return with(statement);
    if (name == "generation") return generation(statement);
    if (name == "break" || name == "continue") {
      if (loops_ == 0) refuse(name, "expected it in a for loop, got it outside");
      statement.kind = name == "break" ? Statement::Kind::break_loop : Statement::Kind::continue_loop;
      return;
    }
    refuse(text("statement \"", name.substr(0, 40), '"'),
           "expected if, for, set, macro, call, filter, with, generation, break or continue, got another; it is not "
           "supported");
  }

  void condition(Statement& statement) {
    statement.kind = Statement::Kind::condition;
    for (;;) {
      statement.expressions.push_back(expression_list(false, {}));
      statement.bodies.push_back(body_until({"elif", "else", "endif"}));
      const std::string end = next().value;
      if (end == "elif") continue;
      if (end == "else") {
        statement.bodies.push_back(body_until({"endif"}));
        next();
      }
      return;
    }
  }

  void loop(Statement& statement) {
    statement.kind = Statement::Kind::loop;
    statement.targets.push_back(target({"in"}, false));
    expect(Type::name, "in");
    statement.expressions.push_back(expression_list(false, {"recursive"}));
    if (skip(Type::name, "if")) statement.expressions.push_back(expression());
    statement.recursive = skip(Type::name, "recursive");
    ++loops_;
    statement.bodies.push_back(body_until({"endfor", "else"}));
    --loops_;
    if (next().value == "else") {
      statement.bodies.push_back(body_until({"endfor"}));
      next();
    }
  }

  void assignment(Statement& statement) {
    statement.targets.push_back(target({}, true));
    if (skip(Type::sign, "=")) {
      statement.kind = Statement::Kind::assignment;
      statement.expressions.push_back(expression_list(true, {}));
      return;
    }
    statement.kind = Statement::Kind::capture;
    if (is_sign("|")) statement.expressions.push_back(filters(nullptr));
    statement.bodies.push_back(body_until({"endset"}));
    next();
  }

  void with(Statement& statement) {
    statement.kind = Statement::Kind::with;
    while (token().type != Type::block_end) {
      if (!statement.targets.empty()) expect_sign(",");
      statement.targets.push_back(target({}, false));
      expect_sign("=");
      statement.expressions.push_back(expression());
    }
    statement.bodies.push_back(body_until({"endwith"}));
    next();
  }

  /// The body of a macro or of what is called as one; loops around it cannot be left from within.
  void macro_body(MacroNode& node, std::string_view end) {
    macros_.push_back(&node);
    const std::size_t loops = std::exchange(loops_, 0);
    node.body = std::make_shared<Statements>(body_until({end}));
    next();
    loops_ = loops;
    macros_.pop_back();
  }

  void signature(MacroNode& node) {
    expect_sign("(");
    while (!is_sign(")")) {
      if (!node.parameters.empty()) expect_sign(",");
      node.parameters.push_back(assigned_name());
      if (skip(Type::sign, "="))
        node.defaults.push_back(expression());
      else if (!node.defaults.empty())
        refuse("macro", "expected a default for each parameter behind one that has one, got none");
    }
    expect_sign(")");
  }

  void macro(Statement& statement) {
    statement.kind = Statement::Kind::macro;
    statement.macro = std::make_unique<MacroNode>();
    statement.macro->name = assigned_name();
    signature(*statement.macro);
    macro_body(*statement.macro, "endmacro");
  }

  void call_block(Statement& statement) {
    statement.kind = Statement::Kind::call_block;
    statement.macro = std::make_unique<MacroNode>();
    if (is_sign("(")) signature(*statement.macro);
    statement.expressions.push_back(expression());
    if (statement.expressions.front()->kind != Kind::call) refuse("call", "expected a call, got something else");
    macro_body(*statement.macro, "endcall");
  }

  void filter_block(Statement& statement) {
    statement.kind = Statement::Kind::filter_block;
    statement.expressions.push_back(filters(filter(nullptr)));
    statement.bodies.push_back(body_until({"endfilter"}));
    next();
  }

  void generation(Statement& statement) {
    if (in_generation_) refuse("generation", "expected none within another, got one");
    statement.kind = Statement::Kind::generation;
    statement.macro = std::make_unique<MacroNode>();
    has_generation_ = true;
    in_generation_ = true;
    macro_body(*statement.macro, "endgeneration");
    in_generation_ = false;
  }

  // Targets

  std::string assigned_name() {
    static constexpr std::array constants = {"true", "false", "True", "False", "none", "None"};
    if (token().type == Type::name && std::find(constants.begin(), constants.end(), token().value) != constants.end())
      refuse("", text("expected a name to assign to, got ", token().value));
    return expect_name();
  }

  Target target(std::initializer_list<std::string_view> ends, bool with_attributes) {
    Target result;
    for (;;) {
      if (!result.parts.empty() && ends_list(ends)) break;
      Target part;
      if (skip(Type::sign, "(")) {
        part = target({}, with_attributes);
        expect_sign(")");
      } else {
        part.name = assigned_name();
        if (with_attributes && skip(Type::sign, ".")) part.attribute = expect_name();
      }
      result.parts.push_back(std::move(part));
      if (!is_sign(",")) break;
      result.is_tuple = true;
      next();
    }
    if (result.is_tuple) return result;
    Target single = std::move(result.parts.front());
    return single;
  }

  std::size_t loops_ = 0;
  bool in_generation_ = false;
  bool has_generation_ = false;
};

}  // namespace greentrainer::templates
