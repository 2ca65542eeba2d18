#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/access.hpp"
#include "greentrainer/templates/arithmetic.hpp"
#include "greentrainer/templates/filters.hpp"
#include "greentrainer/templates/functions.hpp"
#include "greentrainer/templates/methods.hpp"
#include "greentrainer/templates/operations.hpp"
#include "greentrainer/templates/syntax.hpp"
#include "greentrainer/templates/tests.hpp"

namespace greentrainer::templates {

/// Runs the statements of one template once. What it reads is immutable; nothing but text comes out.
class Renderer {
 public:
  /// What one `generation` block wrote: how much text was there when it was run, and its own characters.
  struct Generated {
    std::size_t begin = 0;       ///< byte of the text
    std::size_t characters = 0;  ///< code points
  };

  explicit Renderer(Context& context) : context_(context) {}

  void set(std::string_view name, Value value) { variables_.set(name, std::move(value)); }

  /// Throws DataError naming file, line and construct.
  std::string render(const Statements& statements) {
    Scope& top = new_scope(&variables_);
    run(statements, top, text_);
    return std::move(text_);
  }
  const std::vector<Generated>& generated() const { return generated_; }

 private:
  using Kind = Expression::Kind;
  enum class Flow { on, break_loop, continue_loop };

  Scope& new_scope(Scope* outer) {
    context_.spend(scope_steps);
    return objects_.scopes.emplace_back(Scope{outer});
  }

  // Statements

  Flow run(const Statements& statements, Scope& scope, std::string& out) {
    const Context::Depth depth(context_);
    for (const Statement& statement : statements) {
      context_.at_line(statement.line);
      context_.spend(1);
      const Flow flow = run(statement, scope, out);
      if (flow != Flow::on) return flow;
    }
    return Flow::on;
  }

  Flow run(const Statement& statement, Scope& scope, std::string& out) {
    using S = Statement::Kind;
    switch (statement.kind) {
      case S::data: write(statement.data, out); break;
      case S::output: output(statement, scope, out); break;
      case S::condition: return condition(statement, scope, out);
      case S::loop: loop(statement, statement.expressions, scope, out); break;
      case S::assignment: assign(statement.targets[0], evaluate(*statement.expressions[0], scope), scope); break;
      case S::capture: capture(statement, scope); break;
      case S::with: return with(statement, scope, out);
      case S::macro: scope.set(statement.macro->name, function(Function::Kind::macro, *statement.macro, scope)); break;
      case S::call_block: call_block(statement, scope, out); break;
      case S::filter_block: {
        std::string body;
        run(statement.bodies[0], new_scope(&scope), body);
        write(to_text(context_, filtered(*statement.expressions[0], context_.text_value(std::move(body)), scope)), out);
        break;
      }
      case S::generation: generation(statement, scope, out); break;
      case S::break_loop: return Flow::break_loop;
      case S::continue_loop: return Flow::continue_loop;
    }
    return Flow::on;
  }

  void write(std::string_view bytes, std::string& out) {
    context_.make(out.size() + bytes.size() > max_checked ? out.size() + bytes.size() : bytes.size());
    out += bytes;
  }

  void output(const Statement& statement, Scope& scope, std::string& out) {
    const Value value = evaluate(*statement.expressions[0], scope);
    if (const Text* text = value.text())
      write(text->bytes, out);
    else
      write(to_text(context_, value), out);
  }

  Flow condition(const Statement& statement, Scope& scope, std::string& out) {
    for (std::size_t i = 0; i < statement.bodies.size(); ++i) {
      if (i == statement.expressions.size() || is_true(evaluate(*statement.expressions[i], scope)))
        return run(statement.bodies[i], scope, out);
    }
    return Flow::on;
  }

  void loop(const Statement& statement, const std::vector<ExpressionPointer>& expressions, Scope& scope,
            std::string& out) {
    std::vector<Value> items = items_of(context_, evaluate(*expressions[0], scope), "for");
    loop_over(statement, std::move(items), scope, 0, out);
  }

  void loop_over(const Statement& statement, std::vector<Value> items, Scope& scope, std::size_t depth,
                 std::string& out) {
    if (statement.expressions.size() > 1) {
      std::vector<Value> kept;
      for (Value& item : items) {
        Scope& inner = new_scope(&scope);
        assign(statement.targets[0], item, inner);
        if (is_true(evaluate(*statement.expressions[1], inner))) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    context_.spend(scope_steps);
    Loop& loop = objects_.loops.emplace_back(Loop{.items = std::move(items), .depth = depth});
    if (statement.recursive) {
      loop.statement = &statement;
      loop.scope = &scope;
    }
    for (; loop.index < loop.items.size(); ++loop.index) {
      Scope& inner = new_scope(&scope);
      inner.set("loop", &loop);
      assign(statement.targets[0], loop.items[loop.index], inner);
      if (run(statement.bodies[0], inner, out) == Flow::break_loop) break;
    }
    if (loop.items.empty() && statement.bodies.size() > 1) run(statement.bodies[1], new_scope(&scope), out);
  }

  void assign(const Target& target, const Value& value, Scope& scope) {
    if (target.is_tuple) {
      const auto items = items_of(context_, value, "assignment");
      if (items.size() != target.parts.size())
        context_.fail("assignment", text("expected ", target.parts.size(), " values, got ", items.size()));
      for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i], scope);
    } else if (target.attribute.empty()) {
      scope.set(target.name, value);
    } else {
      const Value* found = scope.find(target.name);
      Namespace* const* space = found != nullptr ? found->get<Namespace*>() : nullptr;
      if (space == nullptr)
        context_.fail("assignment", text("expected a namespace as \"", target.name, "\", got ",
                                         found != nullptr ? found->type_name() : "nothing"));
      detail::require_attribute_name(context_, target.attribute);
      if (Value* old = (*space)->find(target.attribute))
        *old = value;
      else
        (*space)->attributes.emplace_back(target.attribute, value);
    }
  }

  void capture(const Statement& statement, Scope& scope) {
    std::string body;
    run(statement.bodies[0], new_scope(&scope), body);
    Value value = context_.text_value(std::move(body));
    if (!statement.expressions.empty()) value = filtered(*statement.expressions[0], std::move(value), scope);
    assign(statement.targets[0], value, scope);
  }

  Flow with(const Statement& statement, Scope& scope, std::string& out) {
    Scope& inner = new_scope(&scope);
    for (std::size_t i = 0; i < statement.targets.size(); ++i)
      assign(statement.targets[i], evaluate(*statement.expressions[i], scope), inner);
    return run(statement.bodies[0], inner, out);
  }

  Value function(Function::Kind kind, const MacroNode& macro, Scope& scope) {
    return std::make_shared<const Function>(
        Function{.kind = kind, .name = macro.name, .macro = &macro, .scope = &scope});
  }

  void call_block(const Statement& statement, Scope& scope, std::string& out) {
    const Expression& expression = *statement.expressions[0];
    const Value callee = evaluate(*expression.items[0], scope);
    Arguments arguments = evaluated(expression.arguments, scope);
    arguments.keyword.emplace_back("caller", function(Function::Kind::caller, *statement.macro, scope));
    write(to_text(context_, call(callee, arguments)), out);
  }

  void generation(const Statement& statement, Scope& scope, std::string& out) {
    const std::string said = call_macro(*statement.macro, scope, {});
    generated_.push_back({text_.size(), python::length(said)});
    write(said, out);
  }

  // Calls

  Arguments evaluated(const CallArguments& arguments, Scope& scope) {
    Arguments result;
    for (const auto& argument : arguments.positional) result.positional.push_back(evaluate(*argument, scope));
    for (const auto& [name, argument] : arguments.keyword)
      result.keyword.emplace_back(name, evaluate(*argument, scope));
    if (arguments.star) {
      for (Value& item : items_of(context_, evaluate(*arguments.star, scope), "call"))
        result.positional.push_back(std::move(item));
    }
    if (arguments.double_star) {
      const Value more = evaluate(*arguments.double_star, scope);
      if (more.dict() == nullptr) context_.fail("call", text("expected a dict behind **, got ", more.type_name()));
      for (const auto& [key, value] : more.dict()->entries) {
        const std::string_view name = required_text(context_, "call", key);
        for (const auto& [other, old] : result.keyword) {
          if (other == name)
            context_.fail("call", text("expected each argument once, got \"", name.substr(0, 40), "\" twice"));
        }
        result.keyword.emplace_back(name, value);
      }
    }
    return result;
  }

  Value call(const Value& callee, const Arguments& arguments) {
    const Context::Depth depth(context_);
    context_.spend(8);
    if (Loop* const* loop = callee.get<Loop*>()) return call_loop(**loop, arguments);
    const Function* function = callee.function();
    if (function == nullptr) context_.fail("call", text("expected a function, got ", callee.type_name()));
    switch (function->kind) {
      case Function::Kind::macro:
      case Function::Kind::caller: {
        const std::size_t line = context_.line();
        Value result = context_.text_value(call_macro(*function->macro, *function->scope, arguments));
        context_.at_line(line);
        return result;
      }
      case Function::Kind::global: return call_function(context_, objects_, function->name, arguments);
      case Function::Kind::method: break;
    }
    if (Loop* const* loop = function->self->get<Loop*>()) return call_loop_method(**loop, function->name, arguments);
    return call_method(context_, *function->self, function->name, arguments);
  }

  std::string call_macro(const MacroNode& macro, Scope& outer, const Arguments& arguments) {
    Scope& scope = new_scope(&outer);
    const std::string construct = text("macro \"", macro.name, '"');
    std::vector<Value> rest;
    std::vector<std::pair<Value, Value>> named;
    std::vector<bool> given(macro.parameters.size());
    for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
      if (i < macro.parameters.size()) {
        scope.set(macro.parameters[i], arguments.positional[i]);
        given[i] = true;
      } else {
        rest.push_back(arguments.positional[i]);
      }
    }
    Value caller;
    for (const auto& [name, value] : arguments.keyword) {
      const auto at = std::find(macro.parameters.begin(), macro.parameters.end(), name) - macro.parameters.begin();
      const auto i = static_cast<std::size_t>(at);
      if (i < given.size() && !given[i]) {
        scope.set(name, value);
        given[i] = true;
      } else if (name == "caller" && macro.uses_caller) {
        caller = value;
      } else if (i < given.size()) {
        context_.fail(construct, text("expected each argument once, got \"", name, "\" twice"));
      } else {
        named.emplace_back(Value(name), value);
      }
    }
    if (!rest.empty() && !macro.uses_varargs)
      context_.fail(construct, text("expected at most ", given.size(), " arguments, got more"));
    if (!named.empty() && !macro.uses_kwargs)
      context_.fail(construct,
                    text("expected no argument \"", required_text(context_, construct, named[0].first), "\", got it"));
    for (std::size_t i = 0; i < given.size(); ++i) {
      const std::size_t without = given.size() - macro.defaults.size();
      if (!given[i])
        scope.set(macro.parameters[i], i >= without ? evaluate(*macro.defaults[i - without], scope) : Value());
    }
    if (macro.uses_caller) scope.set("caller", caller);
    if (macro.uses_varargs) scope.set("varargs", context_.sequence(std::move(rest), Sequence::Kind::tuple));
    if (macro.uses_kwargs) scope.set("kwargs", context_.dict(std::move(named)));
    std::string result;
    run(*macro.body, scope, result);
    return result;
  }

  /// loop(items) of a recursive loop.
  Value call_loop(const Loop& loop, const Arguments& arguments) {
    if (loop.statement == nullptr) context_.fail("loop", "expected a recursive loop to call, got another");
    const Value items = arguments.bind(context_, "loop", {"iterable"})[0];
    std::string result;
    loop_over(*static_cast<const Statement*>(loop.statement), items_of(context_, items, "loop"), *loop.scope,
              loop.depth + 1, result);
    return context_.text_value(std::move(result));
  }

  Value call_loop_method(Loop& loop, std::string_view name, const Arguments& arguments) {
    if (name == "cycle") {
      if (arguments.positional.empty()) context_.fail("loop.cycle", "expected values, got none");
      return arguments.positional[loop.index % arguments.positional.size()];
    }
    const auto& values = arguments.positional;
    const bool same = loop.has_changed_before && loop.changed.size() == values.size() &&
                      std::equal(values.begin(), values.end(), loop.changed.begin(),
                                 [&](const Value& a, const Value& b) { return is_equal(context_, a, b); });
    loop.changed = values;
    loop.has_changed_before = true;
    return !same;
  }

  // Expressions

  Value evaluate(const Expression& expression, Scope& scope) {
    const Context::Depth depth(context_);
    context_.spend(1);
    context_.at_line(expression.line);
    switch (expression.kind) {
      case Kind::constant: return expression.constant;
      case Kind::name: return variable(expression.name, scope);
      case Kind::list: return context_.sequence(evaluated_items(expression, scope));
      case Kind::tuple: return context_.sequence(evaluated_items(expression, scope), Sequence::Kind::tuple);
      case Kind::dict: return dict(expression, scope);
      case Kind::attribute: return get_attribute(context_, evaluate(*expression.items[0], scope), expression.name);
      case Kind::subscript: return subscript(expression, scope);
      case Kind::slice: context_.fail("slice", "expected it alone in brackets, got it in a tuple");
      case Kind::call: return call(expression, scope);
      case Kind::filter: return filtered(expression, Value(), scope);
      case Kind::test: return test(expression, scope);
      case Kind::negation: return !is_true(evaluate(*expression.items[0], scope));
      case Kind::minus:
      case Kind::plus: return signed_number(expression, scope);
      case Kind::conjunction:
      case Kind::disjunction: return junction(expression, scope);
      case Kind::comparison: return comparison(expression, scope);
      case Kind::arithmetic: return arithmetic_chain(expression, scope);
      case Kind::concatenation: return concatenation(expression, scope);
      case Kind::conditional: return conditional(expression, scope);
    }
    return Value();
  }

  std::vector<Value> evaluated_items(const Expression& expression, Scope& scope) {
    std::vector<Value> items;
    for (const auto& item : expression.items) items.push_back(evaluate(*item, scope));
    return items;
  }

  Value variable(std::string_view name, const Scope& scope) {
    if (const Value* found = scope.find(name)) return *found;
    if (!is_function(name)) return Value();
    return std::make_shared<const Function>(Function{.kind = Function::Kind::global, .name = std::string(name)});
  }

  Value dict(const Expression& expression, Scope& scope) {
    Arguments pairs;
    std::vector<Value> entries;
    for (std::size_t i = 0; i < expression.items.size(); i += 2) {
      Value key = evaluate(*expression.items[i], scope);
      entries.push_back(
          context_.sequence({std::move(key), evaluate(*expression.items[i + 1], scope)}, Sequence::Kind::tuple));
    }
    pairs.positional.push_back(context_.sequence(std::move(entries)));
    return context_.dict(detail::entries_of(context_, "dict", pairs));
  }

  Value subscript(const Expression& expression, Scope& scope) {
    const Value value = evaluate(*expression.items[0], scope);
    const Expression& key = *expression.items[1];
    if (key.kind != Kind::slice) return get_item(context_, value, evaluate(key, scope));
    const auto bound = [&](std::size_t i) { return key.items[i] ? evaluate(*key.items[i], scope) : Value(None{}); };
    const Value begin = bound(0), end = bound(1), step = bound(2);
    return slice(context_, value, begin, end, step);
  }

  Value call(const Expression& expression, Scope& scope) {
    const Value callee = evaluate(*expression.items[0], scope);
    const Arguments arguments = evaluated(expression.arguments, scope);
    context_.at_line(expression.line);
    if (callee.is_undefined()) context_.fail(shown(*expression.items[0]), "expected a function to call, got undefined");
    return call(callee, arguments);
  }

  static std::string shown(const Expression& expression) {
    return expression.name.empty() ? "call" : text('"', expression.name, '"');
  }

  /// `input`: what a filter block's first filter gets.
  Value filtered(const Expression& expression, Value input, Scope& scope) {
    const Context::Depth depth(context_);
    const Expression* inner = expression.items[0].get();
    const bool chained = inner != nullptr && inner->kind == Kind::filter;
    Value value = chained            ? filtered(*inner, std::move(input), scope)
                  : inner == nullptr ? std::move(input)
                                     : evaluate(*inner, scope);
    const Arguments arguments = evaluated(expression.arguments, scope);
    context_.at_line(expression.line);
    return apply_filter(context_, expression.name, value, arguments);
  }

  Value test(const Expression& expression, Scope& scope) {
    const Value value = evaluate(*expression.items[0], scope);
    const Arguments arguments = evaluated(expression.arguments, scope);
    if (expression.name == "filter" || expression.name == "test")
      context_.fail(text("test ", expression.name), "expected a test that is supported, got another");
    return apply_test(context_, expression.name, value, arguments);
  }

  Value signed_number(const Expression& expression, Scope& scope) {
    const Value value = evaluate(*expression.items[0], scope);
    const bool minus = expression.kind == Kind::minus;
    if (!value.is_number())
      context_.fail(minus ? "operator -" : "operator +", text("expected a number, got ", value.type_name()));
    if (value.get<double>() != nullptr) return minus ? -value.number() : value.number();
    return minus ? arithmetic(context_, "-", Value(std::int64_t{0}), value) : Value(value.integer());
  }

  Value junction(const Expression& expression, Scope& scope) {
    Value value;
    for (const auto& item : expression.items) {
      value = evaluate(*item, scope);
      if (is_true(value) == (expression.kind == Kind::disjunction)) return value;
    }
    return value;
  }

  Value comparison(const Expression& expression, Scope& scope) {
    Value left = evaluate(*expression.items[0], scope);
    for (std::size_t i = 0; i < expression.signs.size(); ++i) {
      Value right = evaluate(*expression.items[i + 1], scope);
      if (!holds(expression.signs[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  bool holds(std::string_view sign, const Value& left, const Value& right) {
    if (sign == "==") return is_equal(context_, left, right);
    if (sign == "!=") return !is_equal(context_, left, right);
    if (sign == "in") return contains(context_, right, left);
    if (sign == "not in") return !contains(context_, right, left);
    const std::partial_ordering order = compare(context_, left, right);
    if (sign == "<") return order < 0;
    if (sign == "<=") return order <= 0;
    return sign == ">" ? order > 0 : order >= 0;
  }

  Value arithmetic_chain(const Expression& expression, Scope& scope) {
    Value left = evaluate(*expression.items[0], scope);
    for (std::size_t i = 0; i < expression.signs.size(); ++i) {
      const Value right = evaluate(*expression.items[i + 1], scope);
      if (expression.signs[i] == "%" && left.text() != nullptr)
        left = context_.text_value(percent_formatted(context_, left.text()->bytes, right));
      else
        left = arithmetic(context_, expression.signs[i], left, right);
    }
    return left;
  }

  Value concatenation(const Expression& expression, Scope& scope) {
    std::string result;
    for (const auto& item : expression.items) append_text(context_, evaluate(*item, scope), result);
    return context_.text_value(std::move(result));
  }

  Value conditional(const Expression& expression, Scope& scope) {
    if (is_true(evaluate(*expression.items[1], scope))) return evaluate(*expression.items[0], scope);
    return expression.items[2] ? evaluate(*expression.items[2], scope) : Value();
  }

  static constexpr std::uint64_t scope_steps = 32;  // its memory stays until the end
  static constexpr std::size_t max_checked = std::size_t{1}
                                             << 20;  // below it, a text's size is checked where it is used

  Context& context_;
  Objects objects_;
  Scope variables_;
  std::string text_;
  std::vector<Generated> generated_;
};

}  // namespace greentrainer::templates
