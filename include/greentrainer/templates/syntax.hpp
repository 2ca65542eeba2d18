#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/templates/value.hpp"

namespace greentrainer::templates {

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

/// What stands between the brackets of a call.
struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> keyword;
  ExpressionPointer star;         ///< *arguments; may be null
  ExpressionPointer double_star;  ///< **arguments; may be null
};

struct Expression {
  enum class Kind {
    constant,
    name,
    list,
    tuple,
    dict,       ///< items: keys and values in turn
    attribute,  ///< items[0].name
    subscript,  ///< items[0][items[1]]
    slice,      ///< items: begin, end, step, each may be null
    call,       ///< items[0](arguments)
    filter,     ///< items[0] | name(arguments); items[0] is null in filter blocks
    test,       ///< items[0] is name(arguments)
    negation,   ///< not items[0]
    minus,
    plus,
    conjunction,  ///< items, from left to right
    disjunction,
    comparison,  ///< items[0] signs[0] items[1] signs[1] ...
    arithmetic,  ///< the same, from left to right
    concatenation,
    conditional,  ///< items[0] if items[1] else items[2], which may be null
  };

  Kind kind;
  std::size_t line = 1;
  std::size_t depth = 1;  ///< of expressions in it
  std::string name = {};
  Value constant = {};
  std::vector<ExpressionPointer> items = {};
  std::vector<std::string> signs = {};
  CallArguments arguments = {};
};

/// What is assigned to: a name, an attribute of a namespace, or several.
struct Target {
  std::string name;
  std::string attribute;  ///< empty for a name
  std::vector<Target> parts;
  bool is_tuple = false;
};

struct Statement;
using Statements = std::vector<Statement>;

/// A macro, or the body of a call block.
struct MacroNode {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPointer> defaults;  ///< of the last parameters
  std::shared_ptr<Statements> body;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Statement {
  enum class Kind {
    data,        ///< text as it stands
    output,      ///< {{ expressions[0] }}
    condition,   ///< if bodies[i] by expressions[i], in turn; a body more is the else
    loop,        ///< for target in expressions[0] if expressions[1]: bodies[0], else bodies[1]
    assignment,  ///< set target = expressions[0]
    capture,     ///< set target | expressions[0]: bodies[0]
    with,        ///< targets and expressions in turn, bodies[0]
    macro,
    call_block,  ///< expressions[0] is the call, macro the body
    filter_block,
    generation,  ///< what the assistant says: macro
    break_loop,
    continue_loop,
  };

  Kind kind;
  std::size_t line = 1;
  std::string data = {};
  std::vector<ExpressionPointer> expressions = {};
  std::vector<Target> targets = {};
  std::vector<Statements> bodies = {};
  std::unique_ptr<MacroNode> macro = {};
  bool recursive = false;
};

}  // namespace greentrainer::templates
