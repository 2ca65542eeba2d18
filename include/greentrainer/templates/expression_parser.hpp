#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/lexer.hpp"
#include "greentrainer/templates/syntax.hpp"

namespace greentrainer::templates {

/// Reads expressions by Jinja 3.1's grammar, as its parser does. Throws LoadError naming source, line and construct for
/// what is none.
class ExpressionParser {
 protected:
  using Kind = Expression::Kind;
  using Type = Token::Type;

  ExpressionParser(std::string_view source, std::string_view jinja)
      : source_(source), tokens_(Lexer(source, jinja).tokens()) {}

  /// Of expressions and statements in each other.
  static constexpr std::size_t deepest = 100;
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.nesting_ > deepest) parser_.refuse("", text("expected at most ", deepest, " levels, got more"));
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  // Tokens

  const Token& token(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& current = token();
    last_ = at_;
    if (at_ + 1 < tokens_.size()) ++at_;
    return current;
  }
  bool is(Type type, std::string_view value, std::size_t ahead = 0) const {
    return token(ahead).type == type && token(ahead).value == value;
  }
  bool is_sign(std::string_view value) const { return is(Type::sign, value); }
  bool is_name(std::string_view value) const { return is(Type::name, value); }
  bool skip(Type type, std::string_view value) {
    if (!is(type, value)) return false;
    next();
    return true;
  }
  void expect(Type type, std::string_view value) {
    if (!skip(type, value)) refuse("", text("expected ", value, ", got ", shown()));
  }
  void expect_sign(std::string_view value) { expect(Type::sign, value); }
  std::string expect_name() {
    if (token().type != Type::name) refuse("", text("expected a name, got ", shown()));
    words_.insert(token().value);
    return next().value;
  }
  std::string shown() const {
    static constexpr std::array kinds = {"text", "{{", "}}", "{%", "%}"};
    const auto type = static_cast<std::size_t>(token().type);
    if (token().type == Type::end) return "the end of the template";
    return type < kinds.size() ? kinds[type] : text('"', token().value.substr(0, 40), '"');
  }
  [[noreturn]] void refuse(std::string_view construct, std::string_view detail) const {
    refuse_template(source_, token().line, construct, detail);
  }

  /// For a token that was taken already.
  [[noreturn]] void back_and_refuse(std::string_view expected) {
    at_ = last_;
    refuse("", text("expected ", expected, ", got ", shown()));
  }

  bool ends_list(std::initializer_list<std::string_view> ends) const {
    const Token& current = token();
    if (current.type == Type::variable_end || current.type == Type::block_end || is_sign(")")) return true;
    return current.type == Type::name && std::find(ends.begin(), ends.end(), current.value) != ends.end();
  }

  // Expressions

  ExpressionPointer node(Kind kind, std::size_t line) {
    auto result = std::make_unique<Expression>();
    result->kind = kind;
    result->line = line;
    return result;
  }

  /// Sets the depth, which bounds how deep evaluation recurses. Chains such as a.b.c or a | b | c nest, too.
  ExpressionPointer finished(ExpressionPointer expression) const {
    const auto count = [&](const ExpressionPointer& item) {
      if (item) expression->depth = std::max(expression->depth, item->depth + 1);
    };
    for (const auto& item : expression->items) count(item);
    for (const auto& item : expression->arguments.positional) count(item);
    for (const auto& [name, item] : expression->arguments.keyword) count(item);
    count(expression->arguments.star);
    count(expression->arguments.double_star);
    if (expression->depth > deepest) refuse("", text("expected at most ", deepest, " levels, got more"));
    return expression;
  }

  ExpressionPointer expression_list(bool conditionals, std::initializer_list<std::string_view> ends,
                                    bool in_brackets = false) {
    ExpressionPointer tuple = node(Kind::tuple, token().line);
    bool is_tuple = false;
    while (!ends_list(ends)) {
      tuple->items.push_back(conditionals ? expression() : disjunction());
      if (!is_sign(",")) break;
      is_tuple = true;
      next();
    }
    if (!is_tuple && !tuple->items.empty()) return std::move(tuple->items.front());
    if (!is_tuple && !in_brackets) refuse("", text("expected an expression, got ", shown()));
    return finished(std::move(tuple));
  }

  ExpressionPointer expression() {
    const Nesting nesting(*this);
    ExpressionPointer value = disjunction();
    while (is_name("if")) {
      ExpressionPointer result = node(Kind::conditional, next().line);
      result->items.push_back(std::move(value));
      result->items.push_back(disjunction());
      result->items.push_back(skip(Type::name, "else") ? expression() : nullptr);
      value = finished(std::move(result));
    }
    return value;
  }

  /// Operands of one level that a word or signs join.
  template <class Operand>
  ExpressionPointer joined(Kind kind, Type type, std::initializer_list<std::string_view> signs, Operand operand) {
    const std::size_t line = token().line;
    ExpressionPointer first = operand();
    ExpressionPointer result;
    while (token().type == type && std::find(signs.begin(), signs.end(), token().value) != signs.end()) {
      if (!result) {
        result = node(kind, line);
        result->items.push_back(std::move(first));
      }
      result->signs.push_back(next().value);
      result->items.push_back(operand());
    }
    return result ? finished(std::move(result)) : std::move(first);
  }

  ExpressionPointer disjunction() {
    return joined(Kind::disjunction, Type::name, {"or"}, [&] { return conjunction(); });
  }
  ExpressionPointer conjunction() {
    return joined(Kind::conjunction, Type::name, {"and"}, [&] { return negation(); });
  }
  ExpressionPointer negation() {
    if (!is_name("not")) return comparison();
    const Nesting nesting(*this);
    ExpressionPointer result = node(Kind::negation, next().line);
    result->items.push_back(negation());
    return finished(std::move(result));
  }

  ExpressionPointer comparison() {
    const std::size_t line = token().line;
    ExpressionPointer first = sum();
    ExpressionPointer result;
    for (;;) {
      static constexpr std::array signs = {"==", "!=", "<", ">", "<=", ">="};
      std::string sign;
      if (token().type == Type::sign && std::find(signs.begin(), signs.end(), token().value) != signs.end()) {
        sign = next().value;
      } else if (skip(Type::name, "in")) {
        sign = "in";
      } else if (is_name("not") && is(Type::name, "in", 1)) {
        next();
        next();
        sign = "not in";
      } else {
        return result ? finished(std::move(result)) : std::move(first);
      }
      if (!result) {
        result = node(Kind::comparison, line);
        result->items.push_back(std::move(first));
      }
      result->signs.push_back(sign);
      result->items.push_back(sum());
    }
  }

  ExpressionPointer sum() {
    return joined(Kind::arithmetic, Type::sign, {"+", "-"}, [&] { return concatenation(); });
  }
  ExpressionPointer concatenation() {
    return joined(Kind::concatenation, Type::sign, {"~"}, [&] { return product(); });
  }
  ExpressionPointer product() {
    return joined(Kind::arithmetic, Type::sign, {"*", "/", "//", "%"}, [&] { return power(); });
  }
  ExpressionPointer power() {
    return joined(Kind::arithmetic, Type::sign, {"**"}, [&] { return unary(true); });
  }

  ExpressionPointer unary(bool with_filters) {
    const Nesting nesting(*this);
    ExpressionPointer result;
    if (is_sign("-") || is_sign("+")) {
      result = node(is_sign("-") ? Kind::minus : Kind::plus, token().line);
      next();
      result->items.push_back(unary(false));
      result = finished(std::move(result));
    } else {
      result = primary();
    }
    result = postfix(std::move(result));
    while (with_filters) {
      if (is_sign("|"))
        result = filters(std::move(result));
      else if (is_name("is"))
        result = test(std::move(result));
      else if (is_sign("("))
        result = call(std::move(result));
      else
        break;
    }
    return result;
  }

  ExpressionPointer constant(Value value, std::size_t line) {
    ExpressionPointer result = node(Kind::constant, line);
    result->constant = std::move(value);
    return result;
  }

  ExpressionPointer primary() {
    const Token& current = next();
    const std::size_t line = current.line;
    switch (current.type) {
      case Type::name: return name(current);
      case Type::text: {
        std::string value = current.value;
        while (token().type == Type::text) value += next().value;
        words_.insert(value);
        return constant(Value(std::move(value)), line);
      }
      case Type::integer: {
        std::int64_t value = 0;
        const char* end = current.value.data() + current.value.size();
        if (std::from_chars(current.value.data(), end, value).ec != std::errc())
          refuse(current.value, "expected a number of 64 bits, got one beyond it");
        return constant(value, line);
      }
      case Type::real: {
        double value = 0;
        const char* end = current.value.data() + current.value.size();
        if (std::from_chars(current.value.data(), end, value).ec == std::errc::result_out_of_range)
          value = current.value.find('-') == std::string::npos ? std::numeric_limits<double>::infinity() : 0.0;
        return constant(value, line);
      }
      case Type::sign: break;
      default: back_and_refuse("an expression");
    }
    if (current.value == "(") {
      ExpressionPointer result = expression_list(true, {}, true);
      expect_sign(")");
      return result;
    }
    if (current.value == "[" || current.value == "{") return display(current.value == "[");
    back_and_refuse("an expression");
  }

  ExpressionPointer name(const Token& current) {
    const std::string& word = current.value;
    if (word == "true" || word == "True") return constant(true, current.line);
    if (word == "false" || word == "False") return constant(false, current.line);
    if (word == "none" || word == "None") return constant(None{}, current.line);
    for (MacroNode* macro : macros_) {
      macro->uses_caller = macro->uses_caller || word == "caller";
      macro->uses_varargs = macro->uses_varargs || word == "varargs";
      macro->uses_kwargs = macro->uses_kwargs || word == "kwargs";
    }
    ExpressionPointer result = node(Kind::name, current.line);
    result->name = word;
    words_.insert(word);
    return result;
  }

  /// A list, or a dict, behind its opening bracket.
  ExpressionPointer display(bool list) {
    ExpressionPointer result = node(list ? Kind::list : Kind::dict, token().line);
    const std::string_view close = list ? "]" : "}";
    while (!is_sign(close)) {
      if (!result->items.empty()) expect_sign(",");
      if (is_sign(close)) break;
      result->items.push_back(expression());
      if (list) continue;
      expect_sign(":");
      result->items.push_back(expression());
    }
    next();
    return finished(std::move(result));
  }

  ExpressionPointer postfix(ExpressionPointer value) {
    for (;;) {
      if (is_sign("."))
        value = attribute(std::move(value));
      else if (is_sign("["))
        value = subscript(std::move(value));
      else if (is_sign("("))
        value = call(std::move(value));
      else
        return value;
    }
  }

  ExpressionPointer attribute(ExpressionPointer value) {
    const std::size_t line = next().line;
    const bool by_number = token().type == Type::integer;
    ExpressionPointer result = node(by_number ? Kind::subscript : Kind::attribute, line);
    result->items.push_back(std::move(value));
    if (by_number)
      result->items.push_back(primary());
    else
      result->name = expect_name();
    return finished(std::move(result));
  }

  ExpressionPointer subscript(ExpressionPointer value) {
    ExpressionPointer result = node(Kind::subscript, next().line);
    ExpressionPointer keys = node(Kind::tuple, result->line);
    while (!is_sign("]")) {
      if (!keys->items.empty()) expect_sign(",");
      keys->items.push_back(subscribed());
    }
    next();
    result->items.push_back(std::move(value));
    const bool single = keys->items.size() == 1;
    result->items.push_back(single ? std::move(keys->items.front()) : finished(std::move(keys)));
    return finished(std::move(result));
  }

  ExpressionPointer subscribed() {
    const std::size_t line = token().line;
    ExpressionPointer first = is_sign(":") ? nullptr : expression();
    if (!is_sign(":")) return first;
    ExpressionPointer result = node(Kind::slice, line);
    result->items.push_back(std::move(first));
    while (result->items.size() < 3) {
      const bool there = skip(Type::sign, ":") && !is_sign(":") && !is_sign("]") && !is_sign(",");
      result->items.push_back(there ? expression() : nullptr);
    }
    return finished(std::move(result));
  }

  ExpressionPointer call(ExpressionPointer callee) {
    ExpressionPointer result = node(Kind::call, token().line);
    result->items.push_back(std::move(callee));
    result->arguments = arguments();
    return finished(std::move(result));
  }

  CallArguments arguments() {
    CallArguments result;
    expect_sign("(");
    const auto ensure = [&](bool right) {
      if (!right) refuse("call", "expected arguments in Python's order, got another");
    };
    for (bool first = true; !is_sign(")"); first = false) {
      if (!first) {
        expect_sign(",");
        if (is_sign(")")) break;
      }
      if (skip(Type::sign, "*")) {
        ensure(!result.star && !result.double_star);
        result.star = expression();
      } else if (skip(Type::sign, "**")) {
        ensure(!result.double_star);
        result.double_star = expression();
      } else if (token().type == Type::name && is(Type::sign, "=", 1)) {
        ensure(!result.double_star);
        std::string name = expect_name();
        next();
        for (const auto& [other, value] : result.keyword) ensure(other != name);
        result.keyword.emplace_back(std::move(name), expression());
      } else {
        ensure(!result.star && !result.double_star && result.keyword.empty());
        result.positional.push_back(expression());
      }
    }
    next();
    return result;
  }

  std::string dotted_name() {
    std::string name = expect_name();
    while (skip(Type::sign, ".")) name += '.' + expect_name();
    return name;
  }

  /// One filter, behind its bar.
  ExpressionPointer filter(ExpressionPointer value) {
    ExpressionPointer result = node(Kind::filter, token().line);
    result->name = dotted_name();
    result->items.push_back(std::move(value));
    if (is_sign("(")) result->arguments = arguments();
    return finished(std::move(result));
  }
  ExpressionPointer filters(ExpressionPointer value) {
    while (skip(Type::sign, "|")) value = filter(std::move(value));
    return value;
  }

  ExpressionPointer test(ExpressionPointer value) {
    ExpressionPointer result = node(Kind::test, next().line);
    const bool negated = skip(Type::name, "not");
    result->name = dotted_name();
    result->items.push_back(std::move(value));
    const Token& current = token();
    const bool operand =
        current.type == Type::text || current.type == Type::integer || current.type == Type::real ||
        (current.type == Type::name && current.value != "else" && current.value != "or" && current.value != "and") ||
        is_sign("[") || is_sign("{");
    if (is_sign("(")) {
      result->arguments = arguments();
    } else if (operand) {
      if (is_name("is")) refuse("is", "expected no test behind another, got one");
      result->arguments.positional.push_back(postfix(primary()));
    }
    result = finished(std::move(result));
    if (!negated) return result;
    ExpressionPointer negation = node(Kind::negation, result->line);
    negation->items.push_back(std::move(result));
    return finished(std::move(negation));
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t last_ = 0;  // the token that was taken last
  std::size_t nesting_ = 0;
  std::vector<MacroNode*> macros_;            // that are read
  std::set<std::string, std::less<>> words_;  // names, attributes and literals
};

}  // namespace greentrainer::templates
